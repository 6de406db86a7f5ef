"""Validates result documents of the OMS door against the schemas with lxml, which nobody here has written.

Usage: validate.py SCHEMAS RESULTS. Ends with status 0 only when every document of the folder RESULTS is valid.
"""

import pathlib
import sys

from lxml import etree

SERVICE_INFO = "{http://schemas.microsoft.com/office/Outlook/2006/OMS/serviceInfo}serviceInfo"


def main():
    schemas, results = map(pathlib.Path, sys.argv[1:])
    others = etree.XMLSchema(etree.parse(schemas / "oms.xsd"))
    service_info = etree.XMLSchema(etree.parse(schemas / "oms-serviceinfo.xsd"))
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    bad, count = [], 0
    for path in sorted(results.iterdir()):
        count += 1
        try:
            document = etree.fromstring(path.read_bytes(), parser)
        except etree.XMLSyntaxError as error:
            bad.append(f"{path.name}: {error}")
            continue
        schema = service_info if document.tag == SERVICE_INFO else others
        if not schema.validate(document):
            bad.append(f"{path.name}: {schema.error_log.last_error}")
    # A validator that accepts anything proves nothing.
    wrong = etree.fromstring('<xmsResponse xmlns="http://schemas.microsoft.com/office/Outlook/2006/OMS"><error/></xmsResponse>')
    if others.validate(wrong):
        bad.append("an error without a code is found valid")
    if count == 0:
        bad.append("there is no result document")
    for line in bad:
        print(line)
    print(f"{count} result documents, {len(bad)} findings")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
