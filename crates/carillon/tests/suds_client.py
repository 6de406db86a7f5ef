"""Sends in the RPC style with suds, an OMS client nobody here has written.

Knows suds; what is sent and what must come of it is `oms_client`'s. Usage: suds_client.py DIR/demo.json
It ends with status 0 only when every answer is the right one, every accepted text reached the simulated network exactly
once for each recipient, and the ledger adds up.
"""

import json
import pathlib
import sys
import urllib.request

import requests
import suds.cache
import suds.client
import suds.sax.text
import suds.transport.http
from oms_client import check, count_in_network, escape, exercise, settle

DESCRIPTION = pathlib.Path(__file__).with_name("oms_rpc.wsdl")


class Straight(suds.transport.http.HttpTransport):
    """Asks no proxy of the environment, and keeps what was sent and what came back."""

    sent, came = b"", b""

    def u2handlers(self):
        return [urllib.request.ProxyHandler({})]

    def send(self, request):
        reply = super().send(request)
        self.sent, self.came = request.message, reply.message
        return reply


class Service:
    """The operations, with arguments escaped by us: suds takes a document's own entities for its own."""

    def __init__(self, service):
        self.service = service

    def __getattr__(self, name):
        operation = getattr(self.service, name)
        return lambda *arguments: operation(*[suds.sax.text.Raw(escape(argument)) for argument in arguments])


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        demo = json.load(file)
    transport = Straight(timeout=30)
    client = suds.client.Client(
        DESCRIPTION.as_uri(), location=demo["oms"], transport=transport, cache=suds.cache.NoCache()
    )
    expected = {}
    exercise(Service(client.service), demo, expected)
    # In this style the argument and the result have no namespace: else this would be the other style once more.
    check(b"<xmsData" in transport.sent or b"<packageXml" in transport.sent, "suds did not write the RPC style")
    check(b"<DeliverXms" in transport.came.replace(b"q1:", b""), "no answer to DeliverXms")
    check(b'type="xsd:string"' in transport.came, "the answer is not in the RPC style")
    session = requests.Session()
    session.trust_env = False
    settle(session, demo)
    count_in_network(demo, expected)
    print(f"ok: RPC style, {len(expected)} texts, {sum(expected.values())} deliveries, each on the network once")


if __name__ == "__main__":
    main()
