"""Sends messages through a real process and service centres nobody of this house wrote, and looks at what they took.

Usage: drive.py CARILLON DIRECTORY. Needs the packages of crates/xtask/python-clients.txt.
"""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE = 90

# Name, settings of the supplier, and whether it says no to a wrong password.
PEERS = [
    ("smpp34", {"response_id": "decimal", "receipt_id": "hex", "long_texts": "udh8"}),
    ("smpp34", {"response_id": "decimal", "receipt_id": "hex", "long_texts": "sar"}),
    ("twisted", {"response_id": "loose", "receipt_id": "loose", "long_texts": "udh16"}),
    ("twisted", {"response_id": "loose", "receipt_id": "loose", "bind": "transmitter-receiver"}),
]
TEXTS = ["plain", "Grüße @ 1€ {}", "привет 🦀", "long " * 100]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait(what, condition):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise SystemExit(f"waited in vain: {what}")


def ask(demo, method, path, body=None):
    request = urllib.request.Request(demo["rest"] + path, method=method)
    request.add_header("authorization", f"Bearer {demo['api_key']}")
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        request.add_header("content-type", "application/json")
    try:
        with urllib.request.urlopen(request, data, timeout=PATIENCE) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return {}
        raise


def settings(port, supplier, password_file):
    keys = {
        "name": "peer",
        "route": "blue-modems",
        "address": f"127.0.0.1:{port}",
        "system_id": "carillon",
        "password_file": str(password_file),
        "rebind_ms_first": 100,
        "enquire_seconds": 1,
        **supplier,
    }
    lines = ["[demo]", "modems_per_route = 0", "", "[modem_farm]", 'name = "demo-farm"', "", "[[modem_farm.smpp]]"]
    return "\n".join(lines + [f"{key} = {json.dumps(value)}" for key, value in keys.items()]) + "\n"


def text_of(parts):
    """Puts the parts of one text together, and reads it."""
    bodies = []
    for part in parts:
        octets, number = bytes.fromhex(part["octets"]), 1
        if part["esm_class"] & 0x40:
            header, octets = octets[1 : octets[0] + 1], octets[octets[0] + 1 :]
            number = header[-1]
        elif "0x020f" in part["tlvs"]:
            number = int(part["tlvs"]["0x020f"], 16)
        bodies.append((number, octets))
    octets = b"".join(octets for _, octets in sorted(bodies))
    if str(parts[0]["data_coding"]) in ("8", "DataCodingDefault.UCS2"):
        return octets.decode("utf-16-be")
    return gsm7(octets)


def gsm7(octets):
    """The characters of the default alphabet that the texts above use."""
    plain = {0x00: "@", 0x7E: "ü", 0x1E: "ß"}
    escaped = {0x65: "€", 0x28: "{", 0x29: "}"}
    text, rest = "", iter(octets)
    for octet in rest:
        text += escaped[next(rest)] if octet == 0x1B else plain.get(octet, chr(octet))
    return text


def run(carillon, directory, name, supplier):
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    record, port = directory / "record.jsonl", free_port()
    record.touch()
    password_file = directory / "password"
    password_file.touch(mode=0o600)
    password_file.write_text("secret\n", encoding="utf-8")
    config = directory / "settings.toml"
    config.write_text(settings(port, supplier, password_file), encoding="utf-8")
    log = open(directory / "log", "w", encoding="utf-8")
    peer = subprocess.Popen(
        [sys.executable, str(HERE / f"{name}_peer.py"), str(port), str(record)], stdout=subprocess.PIPE, stderr=log
    )
    process = None
    try:
        assert peer.stdout.readline() == b"listening\n", "the service centre does not start"
        words = [carillon, "--data", str(directory / "data"), "--listen", "127.0.0.1:0", "--config", str(config)]
        process = subprocess.Popen(words, stdout=log, stderr=log)
        file = directory / "data" / "demo.json"

        def started():
            try:
                demo = json.loads(file.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                return None
            return demo if demo["rest"] else None

        demo = wait("the process starts", started)
        numbers = [demo["numbers"][0][:-4] + f"{n:04}" for n in range(len(TEXTS))]
        ids = [ask(demo, "POST", "/v1/messages", {"to": to, "text": text})["id"] for to, text in zip(numbers, TEXTS)]
        for message_id in ids:
            wait("it is delivered", lambda: ask(demo, "GET", f"/v1/messages/{message_id}").get("state") == "delivered")
        # Silence is asked about, and the bind holds.
        time.sleep(2.5)
        last = ask(demo, "POST", "/v1/messages", {"to": numbers[0], "text": "last"})["id"]
        wait("the bind holds", lambda: ask(demo, "GET", f"/v1/messages/{last}").get("state") == "delivered")
        taken = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
        for to, text in list(zip(numbers, TEXTS))[1:]:
            found = text_of([line for line in taken if line["to"] == to.lstrip("+")])
            assert found == text, f"{name}: sent {text!r}, taken {found!r}"
        ledger = ask(demo, "GET", "/v1/ledger")
        assert ledger["difference"] == 0, ledger
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0, "it does not stop in order"
        process = None
        print(f"{name} {supplier}: {len(taken)} messages taken, all delivered")
    except BaseException:
        print((directory / "log").read_text(encoding="utf-8")[-6000:])
        raise
    finally:
        for one in (process, peer):
            if one is not None:
                one.kill()
                one.wait()
        log.close()


if __name__ == "__main__":
    for number, (peer_name, wishes) in enumerate(PEERS):
        run(sys.argv[1], pathlib.Path(sys.argv[2]) / f"{number}", peer_name, wishes)
