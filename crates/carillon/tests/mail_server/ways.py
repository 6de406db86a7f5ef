"""A webhook and a multimedia relay for drive.py, from Python's own library: what signs and frames is written here once more."""

import base64
import hashlib
import hmac
import http.server
import json
import re
import socket
import threading
import time
import urllib.error
import urllib.request

PATIENCE = 90
GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")


def wait(what, condition):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise SystemExit(f"waited in vain: {what}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def check(condition, what):
    if not condition:
        raise SystemExit(f"not so: {what}")


class Server:
    """An HTTP server with a thread of its own; `answer` gets path, headers and body and gives status, type and body."""

    def __init__(self, answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                status, kind, body = answer(self.path, self.headers, body)
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()


class Hook:
    """The demo's webhook. It has no time for the first two posts."""

    def __init__(self):
        self.posts, self.server = [], Server(self.answer)

    def answer(self, path, headers, body):
        self.posts.append((path, headers, body))
        return (503 if len(self.posts) <= 2 else 204), "text/plain", b""

    def settings(self):
        url = f"http://127.0.0.1:{self.server.port}/in"
        return (
            '[gateway]\noperator_tenant = "demo"\n'
            f'[sms_router.webhooks]\nurls = {{ demo = "{url}" }}\nnetworks = ["127.0.0.0/8"]\nretry_ms_first = 50\nretry_ms_max = 200\n'
        )

    def takes_what_is_nobodys(self, carillon, link):
        carillon.say(link, "+447700900998", "is this the shop?")
        wait("the webhook takes it", lambda: len(self.posts) >= 3)
        secret = carillon.ask("GET", "/v1/webhook")["secret"]
        key, ids = base64.b64decode(secret.removeprefix("whsec_")), set()
        for path, headers, body in self.posts:
            check(path == "/in" and headers["content-type"] == "application/json", "the address and the type")
            ids.add(headers["webhook-id"])
            check(abs(time.time() - int(headers["webhook-timestamp"])) < 60, "the time is now")
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            right = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
            check(hmac.compare_digest(headers["webhook-signature"], right), "the signature")
        check(len(ids) == 1, "what is tried again has the same id")
        event = json.loads(self.posts[-1][2])
        said = (event["type"], event["data"]["from"], event["data"]["text"])
        check(said == ("message.received", "+447700900998", "is this the shop?"), f"the event: {event}")
        row = wait("it is told of", lambda: [row for row in carillon.inbound() if row.get("webhook", {}).get("state") == "posted"])
        check(row[0]["id"] == event["data"]["id"], "the list has it under the same id")

    def stop(self):
        self.server.stop()


NAMESPACE = "http://www.3gpp.org/ftp/Specs/archive/23_series/23.140/schema/REL-6-MM7-1-4"
SMIL = b'''<smil><head><layout><root-layout/><region id="Image"/></layout></head><body>
<par dur="5s"><img src="a.gif" region="Image"/><text src="cid:words"/></par></body></smil>'''


class Relay:
    """A carrier's relay: takes what is submitted, and delivers one message of a handset."""

    def __init__(self, directory):
        self.submitted, self.server, self.door = [], Server(self.answer), free_port()
        self.password = directory / "relay-password"
        self.password.touch(mode=0o600)
        self.password.write_text("s3cret")

    def settings(self):
        return (
            f'[demo]\nmultimedia = true\n[modem_farm]\nname = "demo-farm"\n[modem_farm.reports]\nlisten = "127.0.0.1:{self.door}"\n'
            f'[[modem_farm.mm7]]\nname = "relay"\nroute = "blue-multimedia"\nurl = "http://127.0.0.1:{self.server.port}/mm7"\n'
            f'sender = "11122"\nreport_user = "relay"\nreport_password_file = "{self.password}"\n'
        )

    def answer(self, _path, _headers, body):
        transaction = re.search(rb"TransactionID[^>]*>([^<]*)<", body).group(1).decode()
        self.submitted.append(transaction)
        return 200, "text/xml", envelope(transaction, f"<SubmitRsp xmlns=\"{NAMESPACE}\"><MM7Version>6.8.0</MM7Version>"
            f"<Status><StatusCode>1000</StatusCode><StatusText>ok</StatusText></Status><MessageID>m{len(self.submitted)}</MessageID></SubmitRsp>")

    def deliver(self, number):
        """DeliverReq with a presentation, a text and a picture; the status of the answer."""
        call = envelope("in-1", f"<DeliverReq xmlns=\"{NAMESPACE}\"><MM7Version>6.8.0</MM7Version><Sender><Number>{number}</Number></Sender>"
            "<Recipients><To><ShortCode>11122</ShortCode></To></Recipients><Subject>Grüße</Subject><Content href=\"cid:all\"/></DeliverReq>")
        text = "schöne Grüße".encode("iso-8859-1")
        inner = b"".join([
            part("application/smil; name=p.smil", "<smil>", SMIL),
            part("text/plain; charset=iso-8859-1; name=w.txt", "<words>", text),
            part("image/gif; name=a.gif", "<pic>", base64.b64encode(GIF), "Content-Transfer-Encoding: base64\r\n"),
        ]).replace(b"--outer", b"--inner") + b"--inner--\r\n"
        body = part("text/xml; charset=utf-8", "<start>", call)
        body += part('multipart/related; boundary="inner"; type="application/smil"', "<all>", inner) + b"--outer--\r\n"
        request = urllib.request.Request(f"http://127.0.0.1:{self.door}/mm7/relay", body)
        request.add_header("content-type", 'multipart/related; boundary="outer"; type="text/xml"; start="<start>"')
        request.add_header("soapaction", '""')
        try:
            urllib.request.urlopen(request, timeout=PATIENCE)
            check(False, "who shows no password is refused")
        except urllib.error.HTTPError as error:
            check(error.code == 401, "who shows no password is refused")
        request.add_header("authorization", "Basic " + base64.b64encode(b"relay:s3cret").decode())
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            text = answer.read().decode()
            check("DeliverRsp" in text and ">1000<" in text and "in-1" in text, f"DeliverRsp: {text}")
            return answer.status

    def stop(self):
        self.server.stop()


def envelope(transaction, call):
    return (
        '<?xml version="1.0" encoding="utf-8"?><env:Envelope xmlns:env="http://schemas.xmlsoap.org/soap/envelope/"><env:Header>'
        f'<mm7:TransactionID xmlns:mm7="{NAMESPACE}" env:mustUnderstand="1">{transaction}</mm7:TransactionID></env:Header>'
        f"<env:Body>{call}</env:Body></env:Envelope>"
    ).encode()


def part(kind, name, body, more=""):
    return f"--outer\r\nContent-Type: {kind}\r\nContent-ID: {name}\r\n{more}\r\n".encode() + body + b"\r\n"
