"""Sends through the served WSDL with zeep, an OMS client nobody here has written.

Knows zeep; what is sent and what must come of it is `oms_client`'s. Usage: zeep_client.py DIR/demo.json
Every call goes over SOAP 1.1 and 1.2. It ends with status 0 only when every answer is the right one, every accepted
text reached the simulated network exactly once for each recipient, and the ledger adds up.
"""

import json
import sys
import urllib.parse

import requests
import requests.adapters
import zeep
import zeep.transports
from oms_client import check, count_in_network, exercise, settle


class LoopbackOnly(requests.adapters.HTTPAdapter):
    """Refuses to leave this machine: neither a WSDL nor a schema may make the test depend on somebody else's."""

    def send(self, request, **arguments):
        host = urllib.parse.urlsplit(request.url).hostname
        if host not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"the client was sent to `{host}`")
        return super().send(request, **arguments)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        demo = json.load(file)
    session = requests.Session()
    session.trust_env = False  # A proxy of the environment would not be loopback.
    session.mount("http://", LoopbackOnly())
    session.mount("https://", LoopbackOnly())
    transport = zeep.transports.Transport(session=session, timeout=30, operation_timeout=30)
    client = zeep.Client(demo["oms"] + "?WSDL", transport=transport)
    # By token of a text: how many times it must reach the network.
    expected = {}
    ports = [(service, port) for service in client.wsdl.services.values() for port in service.ports]
    check(len(ports) == 2, f"the WSDL has {len(ports)} ports, not one for SOAP 1.1 and one for 1.2")
    for service, port in ports:
        exercise(client.bind(service.name, port), demo, expected)
        print(f"ok: {port}")
    settle(session, demo)
    count_in_network(demo, expected)
    print(f"ok: {len(expected)} texts, {sum(expected.values())} deliveries, each on the network once")


if __name__ == "__main__":
    main()
