#!/usr/bin/env python3
"""Writes the schemas kubeconform reads: of Kubernetes as the package kubernetes-validate has them, and of CRDs.

Usage: schemas.py OUT VERSION,VERSION CRD-FOLDER...

OUT gets a folder per version, and `crds`. Everything is refused that a schema does not name.
"""
import json
import pathlib
import re
import sys

import kubernetes_validate
import yaml

REFERENCE = re.compile(r'"\$ref": "[^"#]*#/(?:\$defs|definitions)/([^"]+)"')
USED = re.compile(r'"\$ref": "#/definitions/([^"]+)"')


def local(text):
    return REFERENCE.sub(r'"$ref": "#/definitions/\1"', text)


def kubernetes(version, out):
    """Each kind gets the definitions it uses with it, since kubeconform reads one file at a time."""
    source = pathlib.Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / f"v{version}-local-strict"
    shared = json.loads((source / "_definitions.json").read_text())
    shared = shared.get("$defs") or shared["definitions"]
    texts = {name: local(json.dumps(schema)) for name, schema in shared.items()}
    folder = out / f"v{version}-standalone-strict"
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    for path in source.glob("*-v*.json"):
        text = local(json.dumps(json.loads(path.read_text())))
        schema = json.loads(text)
        if "kind" not in schema.get("properties", {}):
            continue
        wanted, seen = set(USED.findall(text)), set()
        while wanted:
            name = wanted.pop()
            if name not in seen:
                seen.add(name)
                wanted |= set(USED.findall(texts[name]))
        schema["definitions"] = {name: json.loads(texts[name]) for name in sorted(seen)}
        schema.pop("$schema", None)
        (folder / path.name).write_text(json.dumps(schema))
        written += 1
    return written


def strict(schema, top=True):
    """An object with named properties takes no others, unless it says so."""
    if isinstance(schema, list):
        return [strict(item, False) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: strict(value, False) for key, value in schema.items()}
    named = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    if named and "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        schema.pop("type", None)
        schema.setdefault("anyOf", [{"type": "integer"}, {"type": "string"}])
    return schema


class Loader(yaml.CSafeLoader):
    """Takes a bare `=` as text, as YAML 1.2 does."""


Loader.add_constructor("tag:yaml.org,2002:value", yaml.CSafeLoader.construct_yaml_str)


def crds(folder, out):
    written = 0
    (out / "crds").mkdir(parents=True, exist_ok=True)
    for path in sorted(pathlib.Path(folder).glob("*.yaml")):
        for document in yaml.load_all(path.read_text(), Loader=Loader):
            if not document or document.get("kind") != "CustomResourceDefinition":
                continue
            spec = document["spec"]
            for version in spec["versions"]:
                schema = version.get("schema", {}).get("openAPIV3Schema")
                if schema:
                    schema = strict(schema)
                    schema["properties"]["metadata"] = {"type": "object"}
                    name = f"{spec['group']}_{spec['names']['kind'].lower()}_{version['name']}.json"
                    (out / "crds" / name).write_text(json.dumps(schema))
                    written += 1
    return written


def main():
    out, versions, folders = pathlib.Path(sys.argv[1]), sys.argv[2].split(","), sys.argv[3:]
    for version in versions:
        print(f"kubernetes {version}: {kubernetes(version, out)} kinds")
    for folder in folders:
        found = crds(folder, out)
        if not found:
            sys.exit(f"no CRD in `{folder}`")
        print(f"{folder}: {found} kinds")


if __name__ == "__main__":
    main()
