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

# Name, and settings of the supplier.
PEERS = [
    ("smpp34", {"response_id": "decimal", "receipt_id": "hex", "long_texts": "udh8"}),
    ("smpp34", {"response_id": "decimal", "receipt_id": "hex", "long_texts": "sar"}),
    ("twisted", {"response_id": "loose", "receipt_id": "loose", "long_texts": "udh16"}),
    ("twisted", {"response_id": "loose", "receipt_id": "loose", "bind": "transmitter-receiver"}),
]
# Messages under way at once where the service centre is killed.
WINDOW = 8
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
    """An account for each of the demo's routes, at the same service centre: what one link is refused, the other may try."""
    router = ["[sms_router]", "retry_ms_first = 200", "retry_ms_max = 1000", "attempts_max = 1000", ""]
    lines = ["[demo]", "modems_per_route = 0", "", *router, "[modem_farm]", 'name = "demo-farm"']
    for route in ("blue", "green"):
        keys = {
            "name": route,
            "route": f"{route}-modems",
            "address": f"127.0.0.1:{port}",
            "system_id": "carillon",
            "password_file": str(password_file),
            "rebind_ms_first": 100,
            "enquire_seconds": 1,
            **supplier,
        }
        lines += ["", "[[modem_farm.smpp]]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    return "\n".join(lines) + "\n"


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


class Place:
    """A service centre and an all-in-one process with a link to it; both end with the place."""

    def __init__(self, carillon, directory, name, supplier, habits=()):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        self.directory, self.name = directory, name
        self.record, self.port, self.habits = directory / "record.jsonl", free_port(), list(habits)
        self.record.touch()
        password_file = directory / "password"
        password_file.touch(mode=0o600)
        password_file.write_text("secret\n", encoding="utf-8")
        self.config = directory / "settings.toml"
        self.config.write_text(settings(self.port, supplier, password_file), encoding="utf-8")
        self.carillon, self.log = carillon, open(directory / "log", "w", encoding="utf-8")
        self.peer = self.process = self.demo = None

    def __enter__(self):
        try:
            self.start()
        except BaseException as error:
            self.__exit__(type(error))
            raise
        return self

    def start(self):
        self.start_peer()
        words = [self.carillon, "--data", str(self.directory / "data"), "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen([*words, "--config", str(self.config)], stdout=self.log, stderr=self.log)
        file = self.directory / "data" / "demo.json"

        def started():
            try:
                demo = json.loads(file.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                return None
            return demo if demo["rest"] else None

        self.demo = wait("the process starts", started)

    def __exit__(self, kind, *_):
        for one in (self.process, self.peer):
            if one is not None:
                one.kill()
                one.wait()
        self.log.close()
        if kind:
            print((self.directory / "log").read_text(encoding="utf-8")[-6000:])

    def start_peer(self):
        script = str(HERE / f"{self.name}_peer.py")
        words = [sys.executable, script, str(self.port), str(self.record), *map(str, self.habits)]
        self.peer = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=self.log)
        assert self.peer.stdout.readline() == b"listening\n", "the service centre does not start"

    def kill_peer(self):
        self.peer.kill()
        self.peer.wait()

    def send(self, to, text):
        return ask(self.demo, "POST", "/v1/messages", {"to": to, "text": text})["id"]

    def state(self, message_id):
        return ask(self.demo, "GET", f"/v1/messages/{message_id}").get("state")

    def number(self, number):
        return self.demo["numbers"][0][:-4] + f"{number:04}"

    def taken(self):
        return [json.loads(line) for line in self.record.read_text(encoding="utf-8").splitlines()]

    def stop(self):
        ledger = ask(self.demo, "GET", "/v1/ledger")
        assert ledger["difference"] == 0, ledger
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE) == 0, "it does not stop in order"


def run(carillon, directory, name, supplier):
    """Every text arrives as it was sent, receipts find their messages, silence is asked about."""
    with Place(carillon, directory, name, supplier) as place:
        ids = [place.send(place.number(n), text) for n, text in enumerate(TEXTS)]
        for message_id in ids:
            wait("it is delivered", lambda: place.state(message_id) == "delivered")
        # Silence is asked about, and the bind holds.
        time.sleep(2.5)
        last = place.send(place.number(0), "last")
        wait("the bind holds", lambda: place.state(last) == "delivered")
        taken = place.taken()
        for n, text in list(enumerate(TEXTS))[1:]:
            to = place.number(n).lstrip("+")
            found = text_of([line for line in taken if line["to"] == to])
            assert found == text, f"{name}: sent {text!r}, taken {found!r}"
        place.stop()
    print(f"{name} {supplier}: {len(taken)} messages taken, all delivered")


def run_throttled(carillon, directory, name, supplier):
    """Too much is tried again, and arrives once."""
    with Place(carillon, directory, name, supplier, ["--throttle-every", 4]) as place:
        ids = [place.send(place.number(n), f"number {n}") for n in range(12)]
        for message_id in ids:
            wait("it is delivered", lambda: place.state(message_id) == "delivered")
        texts = sorted(text_of([line]) for line in place.taken())
        assert texts == sorted(f"number {n}" for n in range(12)), texts
        place.stop()
    print(f"{name}, throttled each fourth time: 12 messages sent, each taken once")


def run_cut(carillon, directory, name, supplier):
    """The service centre is killed with answers outstanding: those are uncertain, and never sent again."""
    with Place(carillon, directory, name, {**supplier, "window": WINDOW}, ["--slow-ms", 400]) as place:
        ids = {f"number {n}": place.send(place.number(n), f"number {n}") for n in range(60)}
        wait("it is in the middle", lambda: len(place.taken()) >= 20)
        place.kill_peer()
        before = len(place.taken())
        place.start_peer()
        open_states = ("accepted", "scheduled", "routed", "leased", "retried")
        wait("all are sent", lambda: not any(place.state(one) in open_states for one in ids.values()))
        texts = [text_of([line]) for line in place.taken()]
        states = {text: place.state(one) for text, one in ids.items()}
        uncertain = [text for text, state in states.items() if state == "uncertain"]
        assert 0 < len(uncertain) <= 2 * WINDOW, states
        assert all(texts.count(text) <= 1 for text in ids), texts
        assert all(texts.count(text) == 1 for text in ids if text not in uncertain), (states, texts)
        place.stop()
    print(f"{name}, killed after {before} of 60: {len(uncertain)} uncertain (two links, window {WINDOW}), none sent twice, none lost")


def main(carillon, directory):
    for number, (name, wishes) in enumerate(PEERS):
        run(carillon, directory / f"{number}", name, wishes)
    for name, wishes in (PEERS[0], PEERS[2]):
        quick = {**wishes, "throttle_ms_first": 50, "throttle_ms_max": 200, "answer_seconds_max": 5}
        run_throttled(carillon, directory / f"{name}-throttled", name, quick)
        run_cut(carillon, directory / f"{name}-cut", name, quick)


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
