#!/usr/bin/env python3
"""Writes what the dashboards ask as rules, so that promtool says whether it is PromQL.

Usage: dashboards.py RULES.json DASHBOARD.json...
"""
import json
import pathlib
import sys

STANDS_FOR = {"$__rate_interval": "5m", "$namespace": "sms"}


def main():
    rules = []
    for path in sys.argv[2:]:
        for panel in json.loads(pathlib.Path(path).read_text())["panels"]:
            for target in panel.get("targets", []):
                expression = target["expr"]
                for name, value in STANDS_FOR.items():
                    expression = expression.replace(name, value)
                labels = {"board": pathlib.Path(path).stem, "panel": str(panel["id"]), "target": target["refId"]}
                rules.append({"record": "panel:asks", "expr": expression, "labels": labels})
    if not rules:
        sys.exit("the dashboards ask nothing")
    pathlib.Path(sys.argv[1]).write_text(json.dumps({"groups": [{"name": "dashboards", "rules": rules}]}))


if __name__ == "__main__":
    main()
