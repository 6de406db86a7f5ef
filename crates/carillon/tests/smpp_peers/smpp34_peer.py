"""A service centre made with smpp34 (PyPI): takes messages, writes each down as a line of JSON, reports them as delivered.

Usage: smpp34_peer.py PORT RECORD. Answers ids in decimal and reports them in padded hexadecimal, as many suppliers do.
"""

import asyncio
import json
import sys

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


async def main(port, record):
    server = smpp34.Server("127.0.0.1", port, system_id="smpp34")
    await server.start()
    print("listening", flush=True)
    sessions, reports, number = {}, set(), 0x1A2B
    with open(record, "a", encoding="utf-8") as lines:
        while True:
            event = await server.next()
            if isinstance(event, smpp34.Esme):
                sessions[event.session_id] = event
            elif isinstance(event, smpp34.Unbound):
                sessions.pop(event.session_id, None)
            else:
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
                event.accept(str(number))
                esme = sessions.get(event.session_id)
                if event.registered_delivery and esme:
                    reports.add(asyncio.ensure_future(report(esme, event, number)))


asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
