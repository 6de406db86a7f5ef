"""A service centre made with smpp.twisted3 (PyPI), the library under Jasmin: takes messages, writes each down as a line of JSON,
reports them as delivered.

Usage: twisted_peer.py PORT RECORD [--slow-ms N] [--throttle-every N]. Answers and reports ids as texts, in capitals in the receipts.
"""

import argparse
import json
import time

from smpp.pdu.operations import DeliverSM
from smpp.pdu.pdu_types import AddrNpi, AddrTon, CommandStatus, EsmClass, EsmClassMode, EsmClassType
from smpp.twisted.config import SMPPServerConfig
from smpp.twisted.protocol import DataHandlerResponse
from smpp.twisted.server import SMPPServerFactory
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal
from twisted.internet import reactor, task
from zope.interface import implementer


@implementer(IRealm)
class Realm:
    def requestAvatar(self, avatar_id, mind, *interfaces):
        return interfaces[0], avatar_id, lambda: None


class Passwords(InMemoryUsernamePasswordDatabaseDontUse):
    """The library asks with bytes in one release and text in another."""

    def requestAvatarId(self, credentials):
        for field in ("username", "password"):
            value = getattr(credentials, field)
            if isinstance(value, str):
                setattr(credentials, field, value.encode())
        return super().requestAvatarId(credentials)


class Centre:
    def __init__(self, habits):
        self.lines = open(habits.record, "a", encoding="utf-8")
        # Ids of an earlier life do not come again.
        self.habits, self.number, self.seen = habits, int(time.time()) << 8, 0

    def take(self, system_id, connection, pdu):
        self.seen += 1
        if self.habits.throttle_every and self.seen % self.habits.throttle_every == 0:
            return DataHandlerResponse(status=CommandStatus.ESME_RTHROTTLED)
        self.number += 1
        params = pdu.params
        octets = params.get("short_message") or params.get("message_payload") or b""
        kinds = params["esm_class"]
        line = {
            "to": params["destination_addr"].decode(),
            "esm_class": 0x40 if any("UDHI" in str(feature) for feature in kinds.gsmFeatures) else 0,
            "data_coding": str(params["data_coding"].schemeData),
            "octets": octets.hex(),
            "tlvs": {},
        }
        self.lines.write(json.dumps(line) + "\n")
        self.lines.flush()
        message_id = f"tx-{self.number:x}"
        return task.deferLater(reactor, self.habits.slow_ms / 1000, self.answer, connection, params, message_id)

    def answer(self, connection, params, message_id):
        reactor.callLater(0.05, self.report, connection, params, message_id.upper())
        return DataHandlerResponse(status=CommandStatus.ESME_ROK, message_id=message_id)

    def report(self, connection, params, message_id):
        text = f"id:{message_id} sub:001 dlvrd:001 submit date:2701150800 done date:2701150801 stat:DELIVRD err:000 text:"
        receipt = DeliverSM(
            source_addr=params["destination_addr"],
            source_addr_ton=AddrTon.INTERNATIONAL,
            source_addr_npi=AddrNpi.ISDN,
            destination_addr=params["source_addr"],
            esm_class=EsmClass(EsmClassMode.DEFAULT, EsmClassType.SMSC_DELIVERY_RECEIPT),
            short_message=text.encode(),
        )
        connection.sendDataRequest(receipt)


def main(habits):
    centre = Centre(habits)
    config = SMPPServerConfig(msgHandler=centre.take, systems={"carillon": {"max_bindings": 4}})
    passwords = Passwords(carillon=b"secret")
    factory = SMPPServerFactory(config, auth_portal=Portal(Realm(), [passwords]))
    reactor.listenTCP(habits.port, factory, interface="127.0.0.1")
    print("listening", flush=True)
    reactor.run()


def habits():
    words = argparse.ArgumentParser()
    words.add_argument("port", type=int)
    words.add_argument("record")
    words.add_argument("--slow-ms", type=int, default=0)
    words.add_argument("--throttle-every", type=int, default=0)
    return words.parse_args()


main(habits())
