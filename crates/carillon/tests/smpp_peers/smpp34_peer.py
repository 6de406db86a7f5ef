"""A service centre made with smpp34 (PyPI): takes messages, writes each down as a line of JSON, reports them as delivered.

Usage: smpp34_peer.py PORT RECORD [--slow-ms N] [--throttle-every N]. Answers ids in decimal and reports them in padded
hexadecimal, as many suppliers do.
"""

import argparse
import asyncio
import json
import time

import smpp34

RECEIPT = 0x04


async def report(esme, event, number):
    text = f"id:{number:010X} sub:001 dlvrd:001 submit date:2701150800 done date:2701150801 stat:DELIVRD err:000 text:"
    await esme.deliver_sm(
        event.source_addr,
        text.encode(),
        source_addr=event.destination_addr,
        source_addr_ton=event.dest_addr_ton,
        source_addr_npi=event.dest_addr_npi,
        esm_class=RECEIPT,
    )


async def main(habits):
    server = smpp34.Server("127.0.0.1", habits.port, system_id="smpp34")
    await server.start()
    print("listening", flush=True)
    # Ids of an earlier life do not come again.
    sessions, reports, number, seen = {}, set(), int(time.time()) << 8, 0
    with open(habits.record, "a", encoding="utf-8") as lines:
        while True:
            event = await server.next()
            if isinstance(event, smpp34.Esme):
                sessions[event.session_id] = event
            elif isinstance(event, smpp34.Unbound):
                sessions.pop(event.session_id, None)
            else:
                seen += 1
                if habits.throttle_every and seen % habits.throttle_every == 0:
                    event.reject(smpp34.ESME_RTHROTTLED)
                    continue
                number += 1
                payload = next((tlv.value for tlv in event.tlvs if tlv.tag == smpp34.TLV_MESSAGE_PAYLOAD), b"")
                line = {
                    "to": event.destination_addr,
                    "esm_class": event.esm_class,
                    "data_coding": event.data_coding,
                    "octets": (event.short_message or payload).hex(),
                    "tlvs": {f"{tlv.tag:#06x}": tlv.value.hex() for tlv in event.tlvs},
                }
                lines.write(json.dumps(line) + "\n")
                lines.flush()
                answer = answered(habits.slow_ms, sessions.get(event.session_id), event, number)
                reports.add(asyncio.ensure_future(answer))


async def answered(slow_ms, esme, event, number):
    await asyncio.sleep(slow_ms / 1000)
    event.accept(str(number))
    if event.registered_delivery and esme:
        await report(esme, event, number)


def habits():
    words = argparse.ArgumentParser()
    words.add_argument("port", type=int)
    words.add_argument("record")
    words.add_argument("--slow-ms", type=int, default=0)
    words.add_argument("--throttle-every", type=int, default=0)
    return words.parse_args()


asyncio.run(main(habits()))
