#!/usr/bin/env python3
"""Holds the chart against the binary: every setting it can write exists, and no setting is out of the operator's reach.

Usage: values.py CARILLON VALUES.SCHEMA.JSON RENDERED.yaml...
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import tomllib

import yaml

# Settings the chart decides, by values of its own or by where things are in a pod.
DECIDED = """
ops_listen drain_seconds_max start_seconds_max name master_key_file modem_farm demo.enabled demo.modems_per_route
lanes.url lanes.replication lanes.min_insync_replicas lanes.tls lanes.ca_file lanes.certificate_file lanes.key_file
lanes.sasl_mechanism lanes.user lanes.password_file
state.url state.replication state.local_datacenter state.tls state.ca_file state.certificate_file state.key_file
state.user state.password_file
gateway.listen gateway.tls_certificate_file gateway.tls_key_file gateway.tls_others
sms_router.name sms_router.price_deck_file sms_router.control
""".split()


def checked(carillon, role, text):
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(text)
        file.flush()
        line = [carillon, *role, "--config", file.name, "--check-config"]
        return subprocess.run(line, capture_output=True, text=True, env={})


def keys(table, path=""):
    for key, value in table.items():
        here = path + key
        if here in DECIDED:
            continue
        # An empty table is one whose keys are the operator's.
        if isinstance(value, dict) and value:
            yield from keys(value, here + ".")
        else:
            yield here


def offered(schema, path=""):
    for key, value in schema.get("properties", {}).items():
        if value.get("properties"):
            yield from offered(value, path + key + ".")
        else:
            yield path + key


def settings(carillon, schema):
    told = checked(carillon, [], "")
    exist = set(keys(tomllib.loads(told.stdout)))
    known = set(offered(schema["properties"]["settings"]))
    for key in sorted(known - exist):
        yield f"values.schema.json: `settings.{key}`: there is no such setting"
    for key in sorted(exist - known):
        yield f"values.schema.json: setting `{key}` can't be given by `settings`"


def rendered(carillon, path):
    for document in yaml.safe_load_all(pathlib.Path(path).read_text()):
        if not document or document["kind"] != "ConfigMap":
            continue
        for name, text in document["data"].items():
            if name.endswith(".toml"):
                role = ["modem-farm"] if name == "modem-farm.toml" else ["gateway"]
                told = checked(carillon, role, text)
                if told.returncode:
                    yield f"{path}: `{document['metadata']['name']}`: {told.stderr.strip()}"


def main():
    carillon, schema = sys.argv[1], json.loads(pathlib.Path(sys.argv[2]).read_text())
    found = list(settings(carillon, schema))
    for path in sys.argv[3:]:
        found.extend(rendered(carillon, path))
    print("\n".join(found) or f"the settings of {len(sys.argv) - 3} renderings are settings of the binary")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
