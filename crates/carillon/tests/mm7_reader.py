"""Reads MM7 exchanges with Python's email package and lxml, which nobody here has written.

Usage: mm7_reader.py SCHEMA EXCHANGES. Every file of the folder EXCHANGES is one HTTP message: a Content-Type and a body. Ends with
status 0 only when each is MIME without defects, its envelope valid, and every reference in it leads somewhere.
"""

import copy
import email
import email.policy
import pathlib
import sys
from collections import Counter

from lxml import etree

SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"
MM7 = "{http://www.3gpp.org/ftp/Specs/archive/23_series/23.140/schema/REL-6-MM7-1-4}"
PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
PICTURE = bytes([0, 1, 2, 3, 4, 5]) * 3000
TEXT = "Grüße <3"


def parts(message, subtype):
    """The parts of a multipart of this kind, by Content-ID without brackets."""
    if message.get_content_type() != f"multipart/{subtype}":
        raise ValueError(f"`{message.get_content_type()}` is not `multipart/{subtype}`")
    return {part["Content-ID"].strip("<>"): part for part in message.iter_parts()}


def start(message):
    return message["Content-Type"].params["start"].strip("<>")


def check_media(content):
    related = content.get_content_type() == "multipart/related"
    media = parts(content, "related" if related else "mixed")
    if related:
        smil = media.pop(start(content))
        if content["Content-Type"].params["type"] != smil.get_content_type() != "application/smil":
            raise ValueError("the presentation is no SMIL")
        shown = [node.get("src") for node in etree.fromstring(smil.get_content(), PARSER).iter() if node.get("src")]
        if shown != [f"cid:{name}" for name in media]:
            raise ValueError(f"the presentation shows {shown} of {list(media)}")
    picture, text = media.values()
    if picture.get_content_type() != "image/jpeg" or picture.get_content() != PICTURE:
        raise ValueError("the picture is another")
    if text.get_content_charset() != "utf-8" or text.get_content().rstrip("\r\n") != TEXT:
        raise ValueError("the text is another")
    if picture.get_filename() != "pic.jpg":
        raise ValueError("the picture has another name")


def check(octets, schema):
    message = email.message_from_bytes(octets, policy=email.policy.default)
    for part in message.walk():
        if part.defects:
            raise ValueError(f"MIME: {part.defects}")
    beside = {}
    soap = message
    if message.is_multipart():
        beside = parts(message, "related")
        soap = beside.pop(start(message))
    if soap.get_content_type() != "text/xml":
        raise ValueError("the envelope is no text/xml")
    envelope = etree.fromstring(soap.get_payload(decode=True), PARSER)
    body = envelope.find(f"{SOAP}Body")[0]
    transaction = envelope.find(f"{SOAP}Header/{MM7}TransactionID")
    call = body.find("detail")[0] if body.tag == f"{SOAP}Fault" else body
    for element in (transaction, call):
        if element is None or not schema.validate(etree.ElementTree(copy.deepcopy(element))):
            raise ValueError(f"schema: {schema.error_log.last_error}")
    content = call.find(f"{MM7}Content")
    if content is not None:
        check_media(beside[content.get("href").removeprefix("cid:")])
    return etree.QName(call).localname, transaction.text


def main():
    schema = etree.XMLSchema(etree.parse(sys.argv[1]))
    findings, seen, transactions = [], Counter(), Counter()
    for path in sorted(pathlib.Path(sys.argv[2]).iterdir()):
        try:
            name, transaction = check(path.read_bytes(), schema)
            seen[name] += 1
            transactions[name, transaction] += 1
        except (ValueError, KeyError, AttributeError, TypeError, LookupError, etree.XMLSyntaxError) as error:
            findings.append(f"{path.name}: {error!r}")
    for name in ("SubmitReq", "SubmitRsp", "RSErrorRsp", "DeliveryReportReq", "DeliveryReportRsp"):
        if not seen[name]:
            findings.append(f"there is no {name}")
    findings += [f"{name} {transaction} came twice" for (name, transaction), n in transactions.items() if n > 1]
    # A validator that accepts anything proves nothing.
    wrong = etree.fromstring(f'<SubmitRsp xmlns="{MM7[1:-1]}"><Status/><MM7Version>6.8.0</MM7Version></SubmitRsp>')
    if schema.validate(wrong):
        findings.append("a wrong order is found valid")
    for line in findings:
        print(line)
    print(", ".join(f"{count} {name}" for name, count in sorted(seen.items())), f"read, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
