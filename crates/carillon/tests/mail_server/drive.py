"""Brings replies of a real process into a mail server nobody of this house wrote, and reads the mails with Python's own parser.

Usage: drive.py CARILLON DIRECTORY. Needs the packages of crates/xtask/python-clients.txt, and openssl.
The server wants STARTTLS and a login. Looked at: headers, charset, subject; a mailbox that does not exist; a server that does not
take mails for a while; kill -9 between the phone's message and the mail, each reply counted; what answers nobody.
"""

import asyncio
import email
import email.policy
import html
import json
import os
import pathlib
import re
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

import ways
from ways import PATIENCE, check, free_port, wait

CONNECTIONS = 4
USER, PASSWORD = b"carillon", b"correct horse"
MAILBOX, GONE, CARA, DAN, EVE = (f"{name}@example.com" for name in ("ann", "gone", "cara", "dan", "eve"))
STRANGER = "+447700900999"


class Mailboxes:
    """What the server does with mails: keeps them, refuses one mailbox for good, takes none while it is away, and keeps them without
    a word while it is mute."""

    def __init__(self):
        self.mails, self.refused, self.put_off, self.lock = [], 0, 0, threading.Lock()
        self.away, self.mute, self.held = False, False, []

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address == GONE:
            self.refused += 1
            return f"550 5.1.1 <{address}>: no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 good"

    async def handle_DATA(self, server, session, envelope):
        check(session.ssl is not None and session.authenticated, "a mail comes by TLS and after a login")
        if self.away:
            self.put_off += 1
            return "451 4.3.0 not now"
        with self.lock:
            self.mails.append((envelope.mail_from, list(envelope.rcpt_tos), envelope.original_content))
            if self.mute:
                self.held.append(envelope.original_content)
        while self.mute:
            await asyncio.sleep(0.02)
        return "250 2.0.0 taken"

    def read(self):
        with self.lock:
            return [(sender, to, email.message_from_bytes(raw, policy=email.policy.default), raw) for sender, to, raw in self.mails]


class Server(Controller):
    def factory(self):
        return SMTP(
            self.handler, require_starttls=True, auth_required=True, tls_context=self.context, authenticator=login, hostname="localhost"
        )


def login(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (USER, PASSWORD)
    return AuthResult(success=good)


def serve(directory, mailboxes):
    key, certificate = directory / "server.key", directory / "server.crt"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    words += " -addext basicConstraints=critical,CA:FALSE"
    command = ["openssl", *words.split(), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = Server(mailboxes, hostname="127.0.0.1", port=free_port(), ready_timeout=PATIENCE)
    server.context = context
    server.start()
    return server, server.port, certificate


class Carillon:
    """An all-in-one process, killed and started again at will."""

    def __init__(self, program, directory, port, certificate, more):
        self.program, self.directory = program, directory
        password = directory / "password"
        password.touch(mode=0o600)
        password.write_bytes(PASSWORD)
        settings = {"host": "localhost", "port": port, "ca_file": str(certificate), "user": USER.decode()}
        settings |= {"password_file": str(password), "retry_ms_first": 100, "retry_ms_max": 500, "connections_max": CONNECTIONS}
        lines = ["[sms_router]", "inbound_settle_ms = 500", "{owners}", "[sms_router.mail]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        self.settings, self.config = "\n".join(lines) + "\n" + more, directory / "settings.toml"
        self.owned_by_demo([])
        self.log, self.process = open(directory / "log", "w", encoding="utf-8"), None

    def owned_by_demo(self, accounts):
        """From the next start on, what comes there and answers nobody is the demo's."""
        owners = ", ".join(f'"{account}" = "demo"' for account in accounts)
        self.config.write_text(self.settings.replace("{owners}", f"inbound_owners = {{ {owners} }}"), encoding="utf-8")

    def start(self):
        data = self.directory / "data"
        file, before = data / "demo.json", 0
        if file.exists():
            before = file.stat().st_mtime_ns
        words = [self.program, "--data", str(data), "--listen", "127.0.0.1:0", "--config", str(self.config)]
        self.process = subprocess.Popen(words, stdout=self.log, stderr=self.log)
        wait("the process starts", lambda: file.exists() and file.stat().st_mtime_ns != before or self.process.poll() is not None)
        check(self.process.poll() is None, "the process lives")
        self.demo = wait("its addresses", lambda: demo_of(file))
        wait("it is ready", lambda: is_ready(self.demo))

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            return self.process.wait(timeout=PATIENCE)

    def ask(self, method, path, body=None):
        request = urllib.request.Request(self.demo["rest"] + path, method=method)
        request.add_header("authorization", f"Bearer {self.demo['api_key']}")
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            request.add_header("content-type", "application/json")
        with urllib.request.urlopen(request, data, timeout=PATIENCE) as answer:
            return json.load(answer)

    def send_as(self, user, to, text, kind="SMS"):
        """Sends a text by the OMS door."""
        inner = (
            f'<xmsData client="drive" xmlns="{OMS}"><user><userId>{user}</userId><password>secret-{user}</password></user>'
            f"<xmsHead><requiredService>{kind}_SENDER</requiredService><to><recipient>{to}</recipient></to></xmsHead>"
            f'<xmsBody format="{kind}"><content contentType="text/plain" contentId="1" contentLocation="1.txt">{text}</content></xmsBody></xmsData>'
        )
        escaped = inner.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        soap = (
            '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
            f'<DeliverXms xmlns="{OMS}"><xmsData>{escaped}</xmsData></DeliverXms></s:Body></s:Envelope>'
        )
        request = urllib.request.Request(self.demo["oms"], soap.encode(), {"content-type": "text/xml; charset=utf-8"})
        answer = urllib.request.urlopen(request, timeout=PATIENCE).read().decode()
        check('code="ok"' in answer.replace("&quot;", '"'), f"the door takes it: {answer}")

    def visit(self, url=None, **fields):
        """Posts a form of the sign-up page."""
        form = urllib.parse.urlencode(fields).encode()
        with urllib.request.urlopen(url or self.demo["rest"] + "/signup", form, timeout=PATIENCE) as answer:
            return answer.read().decode()

    def follow(self, link, **more):
        """Looks where a link leads, and presses the button there."""
        with urllib.request.urlopen(link, timeout=PATIENCE) as answer:
            shown = answer.read().decode()
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', shown))
        return self.visit(link, **{name: html.unescape(value) for name, value in hidden.items()}, **more)

    def sent_to(self, number, words):
        for line in pathlib.Path(self.demo["sim_log"]).read_text(encoding="utf-8").splitlines():
            row = json.loads(line) if line.endswith("}") else {}
            if row.get("to") == number and words in (row.get("text") or ""):
                return row["text"]

    def received(self, text):
        """What the simulated network says of a text: which modem it came through."""
        for line in pathlib.Path(self.demo["sim_log"]).read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if row.get("text") == text:
                return row

    def say(self, link, sender, text):
        with open(self.directory / "data" / "sim" / "phones.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps({"link": link, "from": sender, "text": text}) + "\n")

    def inbound(self):
        return self.ask("GET", "/v1/inbound")["messages"]

    def metric(self, name):
        text = urllib.request.urlopen(self.demo["ops"] + "/metrics", timeout=PATIENCE).read().decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


OMS = "http://schemas.microsoft.com/office/Outlook/2006/OMS"


def demo_of(file):
    try:
        demo = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return demo if demo.get("ops") else None


def is_ready(demo):
    try:
        return urllib.request.urlopen(demo["ops"] + "/readyz", timeout=5).status == 200
    except (urllib.error.URLError, OSError):
        return False


def make_user(carillon, user, mailbox, **more):
    body = {"password": f"secret-{user}", "mailAddress": mailbox} | more
    carillon.ask("PUT", f"/v1/oms/users/{user}", body)
    made = carillon.ask("POST", f"/v1/oms/users/{user}:vouch-mail")
    check(made["mailVerified"] is True, "the mailbox counts as proved")
    return made["smtpAddress"]


def converse(carillon, user, number, text):
    """A text to a phone; the modem it went through."""
    carillon.send_as(user, number, text)
    return wait(f"the network has `{text}`", lambda: carillon.received(text))["link"]


def expect(mail, address, number, text, subject, charset):
    sender, to, parsed, raw = mail
    check(not parsed.defects, f"no defects: {parsed.defects}")
    check(sender == address and to == [MAILBOX], "the envelope's addresses")
    check(parsed["From"].addresses[0].addr_spec == address, "the user's own address sends")
    check(parsed["To"] == MAILBOX, "it is for the user's mailbox")
    check(parsed["Content-Class"] == "MS-OMS-SMS", "Content-Class")
    check(parsed["X-MS-Reply-To-Mobile"] == number, "X-MS-Reply-To-Mobile")
    check(parsed["MIME-Version"] == "1.0" and parsed["Date"] and parsed["Message-ID"], "Date, Message-ID, MIME-Version")
    check(parsed["Subject"] == subject, f"the subject: {parsed['Subject']!r}")
    check(parsed.get_content_type() == "text/plain", "a plain text")
    check(parsed.get_content_charset() == charset, f"the charset: {parsed.get_content_charset()}")
    check(parsed["Content-Transfer-Encoding"] == "quoted-printable", "quoted-printable")
    check(parsed.get_content().replace("\r\n", "\n") == text + "\n", f"the text: {parsed.get_content()!r}")
    head, body = raw.split(b"\r\n\r\n", 1)
    check(all(len(line) <= 998 for line in head.split(b"\r\n")), "no endless line in the head")
    check(all(len(line) <= 76 for line in body.split(b"\r\n")), "short lines in the body")
    check(raw.isascii() and b"\n" not in raw.replace(b"\r\n", b""), "ASCII, and lines that end in CRLF")


REPLIES = [
    ("On my way, ten minutes.", "On my way, ten minutes.", "us-ascii"),
    ("Буду через 10 минут\nили раньше", "Буду через 10 минут", "utf-8"),
    ("", "(no text)", "us-ascii"),
    ("= dots and spaces \n.\n..end", "= dots and spaces", "us-ascii"),
    ("long " * 60 + "end", ("long " * 8).strip(), "us-ascii"),
    ("😀" * 100, "😀" * 40, "utf-8"),
]


def mails_are_right(carillon, mailboxes, address, number):
    link = converse(carillon, "ann", number, "where are you?")
    for count, (text, subject, charset) in enumerate(REPLIES, 1):
        carillon.say(link, number, text)
        wait(f"mail {count}", lambda: len(mailboxes.read()) >= count)
        expect(mailboxes.read()[count - 1], address, number, text, subject, charset)
    listed = wait("all are told of", lambda: told(carillon, len(REPLIES), "mailed"))
    check([row["text"] for row in listed] == [text for text, _, _ in REPLIES], "the list has the same texts in order")
    check({row["userId"] for row in listed} == {"ann"}, "the list names the user")


def told(carillon, count, state):
    rows = [row for row in carillon.inbound() if row.get("mail", {}).get("state") == state and row["userId"] in ("ann", "bob")]
    return rows if len(rows) == count else None


def bounces_are_told(carillon, mailboxes, number):
    make_user(carillon, "bob", GONE)
    link = converse(carillon, "bob", number, "are you there, bob?")
    carillon.say(link, number, "to nobody")
    [row] = wait("the bounce", lambda: told(carillon, 1, "bounced"))
    check("550" in row["mail"]["reason"] and row["userId"] == "bob" and row["text"] == "to nobody", "the bounce says why")
    check(mailboxes.refused == 1, "the server was asked once")
    check(carillon.metric('carillon_router_mails_total{result="bounced"}') == 1, "it is counted")


def strangers_are_kept(carillon, link):
    carillon.say(link, STRANGER, "who is this?")
    wait("the stranger", lambda: carillon.metric('carillon_router_inbound_taken_total{by="operator"}') == 1)


def the_operator_sees_them(carillon):
    words = [carillon.program, "--data", str(carillon.directory / "data"), "--config", str(carillon.config), "inbound", "list", "--json"]
    rows = [json.loads(line) for line in subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()]
    said = [row["text"] for row in rows]
    check(said == ["who is this?", "I am driving"] and rows[0]["from"] == STRANGER, f"the operator's list: {rows}")


def kills_lose_nothing(carillon, mailboxes, address, number):
    link = converse(carillon, "ann", number, "once more?")
    before, expected = len(mailboxes.read()), []
    # Killed with the messages in the modems and lanes; with mails the server refuses for now; with mails it has and said nothing of.
    for round in ("waiting", "refused", "unanswered"):
        mailboxes.away, mailboxes.mute = round == "refused", round == "unanswered"
        put_off, heard = mailboxes.put_off, carillon.metric("carillon_router_inbound_total")
        texts = [f"reply {round} {n}" for n in range(5)]
        for text in texts:
            carillon.say(link, number, text)
        expected += texts
        # A phone's message that is still in the simulated network's file would go with the process.
        wait("a farm has them", lambda: carillon.metric("carillon_router_inbound_total") >= heard + len(texts))
        if round == "refused":
            wait("the server puts them off", lambda: mailboxes.put_off > put_off)
        elif round == "unanswered":
            wait("the server takes them", lambda: len(mailboxes.held) == CONNECTIONS)
        carillon.kill()
        mailboxes.away, mailboxes.mute = False, False
        carillon.start()
        wait(f"all of round `{round}`", lambda: {text_of(mail) for mail in mailboxes.read()[before:]} >= set(expected))
    wait("all are told of", lambda: told(carillon, len(REPLIES) + len(expected), "mailed"))
    # A mail that the server had and had not answered for is sent again, and nothing tells the two apart but that they are the same.
    mails = mailboxes.read()[before:]
    doubled = [raw for raw in {mail[3] for mail in mails} if sum(mail[3] == raw for mail in mails) == 2]
    check(len(mails) == len(expected) + len(doubled), "none came three times, and one that came twice is the same to the octet")
    check(set(mailboxes.held) <= set(doubled), "what was unanswered came again")
    check(len(doubled) <= 2 * CONNECTIONS, f"{len(doubled)} came twice: at most one a connection and kill")
    check(len({mail[2]["Message-ID"] for mail in mails}) == len(expected), "each has a Message-ID of its own, whenever it is sent")
    print(f"{len(expected)} replies under three kills: none lost, {len(doubled)} sent twice, of which {len(mailboxes.held)} had no answer")


def phones_get_them(carillon, mailboxes, numbers):
    phone, number = numbers
    address = make_user(carillon, "cara", CARA, replyPhone=phone, replyTo="both")
    link = converse(carillon, "cara", number, "where is the car, cara?")
    carillon.say(link, number, "in the yard")
    wait("the user's phone has it", lambda: carillon.received(f"{number}: in the yard"))
    check(carillon.received(f"{number}: in the yard")["to"] == phone, "it went to the user's own phone")
    [mail] = wait("the mailbox has it", lambda: [mail for mail in mailboxes.read() if mail[1] == [CARA]])
    check(mail[0] == address and text_of(mail) == "in the yard", "and to the mailbox")
    [row] = [row for row in carillon.inbound() if row["text"] == "in the yard"]
    check(row["sentOnAs"].startswith("msg_") and "mail" in row, f"the list tells of both: {row}")
    check(carillon.ask("GET", f"/v1/messages/{row['sentOnAs']}")["id"] == row["sentOnAs"], "it is a message like others")
    # What that phone answers is no reply to the user, else two phones that answer by themselves would go on for ever.
    link = carillon.received(f"{number}: in the yard")["link"]
    carillon.say(link, phone, "I am driving")
    wait("the phone's answer is listed", lambda: strangers(carillon, "I am driving"))


def strangers(carillon, text):
    rows = carillon.ask("GET", "/v1/operator/inbound")["messages"]
    return [row for row in rows if row["text"] == text]


def pictures_become_mails(carillon, mailboxes, relay, number):
    make_user(carillon, "dan", DAN, services=["SMS_SENDER", "MMS_SENDER"])
    carillon.send_as("dan", number, "look!", kind="MMS")
    wait("the relay has the message", lambda: relay.submitted)
    for _ in range(2):
        # The second time it is a repeat, and answered the same.
        check(relay.deliver(number) == 200, "the farm takes the handset's message")
    [mail] = wait("the mail with the pictures", lambda: [mail for mail in mailboxes.read() if mail[1] == [DAN]])
    _, _, parsed, raw = mail
    check(not parsed.defects and parsed["Content-Class"] == "MS-OMS-MMS", "Content-Class")
    check(parsed["X-MS-Reply-To-Mobile"] == number, "X-MS-Reply-To-Mobile")
    check(parsed["Subject"] == "Grüße (Open the message to view content)", f"the subject: {parsed['Subject']}")
    check(parsed.get_content_type() == "multipart/related", parsed.get_content_type())
    check(parsed.get_param("type") == "application/smil", "the type of what is related")
    parts = list(parsed.iter_parts())
    kinds = [part.get_content_type() for part in parts]
    check(kinds == ["application/smil", "image/gif", "text/plain"], f"as the presentation shows them: {kinds}")
    check(parts[0].get_filename() == "mmspresent.smil" and parts[0]["Content-Location"] == "mmspresent.smil", "the presentation's name")
    check(all(part["Content-Transfer-Encoding"] == "base64" for part in parts), "base64")
    check(parts[1].get_content() == ways.GIF, "the picture")
    check(parts[2].get_content() == "schöne Grüße" and parts[2].get_content_charset() == "utf-8", "the text")
    check(all(len(line) <= 998 for line in raw.split(b"\r\n")), "no endless line")
    rows = [row for row in carillon.inbound() if row.get("multimedia")]
    check(len(rows) == 1 and rows[0]["multimedia"]["subject"] == "Grüße", f"it is listed once: {len(rows)}")


def mailboxes_are_proved(carillon, mailboxes, phone):
    """Signs up as a visitor does: a code from the phone, a link from the mailbox; then a password is forgotten."""
    carillon.visit(action="register", userId="eve", newPassword="first", phone=phone, mailAddress=EVE)
    link = letter(mailboxes, 1)
    carillon.follow(link)
    check(carillon.ask("GET", "/v1/oms/users/eve")["state"] == "unregistered", "the phone is not proved yet")
    text = wait("the code", lambda: carillon.sent_to(phone, "your code is"))
    carillon.visit(action="confirm", userId="eve", phone=phone, code=text.rsplit(" ", 1)[1])
    user = carillon.ask("GET", "/v1/oms/users/eve")
    check((user["state"], user["mailVerified"], user["replyTo"]) == ("active", True, "mailbox"), f"both are proved: {user}")
    carillon.visit(action="forgot", userId="eve", by="mail")
    carillon.follow(letter(mailboxes, 2), newPassword="second")
    try:
        carillon.follow(link)
        carillon.follow(letter(mailboxes, 2), newPassword="third")
        check(False, "a link that changed a password is dead")
    except urllib.error.HTTPError as error:
        check(error.code == 403, "a link that changed a password is dead")


def letter(mailboxes, count):
    """The link in the count-th letter."""
    letters = wait(f"letter {count}", lambda: (lambda all: all if len(all) >= count else None)([mail for mail in mailboxes.read() if mail[1] == [EVE]]))
    sender, _, parsed, _ = letters[count - 1]
    check(not parsed.defects and parsed["Auto-Submitted"] == "auto-generated", "a letter that no machine answers")
    check(parsed["Content-Class"] is None and parsed["X-MS-Reply-To-Mobile"] is None, "a letter is no phone's reply")
    check(parsed["From"].addresses[0].addr_spec == sender, "it comes from the user's own address")
    [link] = [line for line in parsed.get_content().splitlines() if line.startswith("http")]
    return link


def text_of(mail):
    return mail[2].get_content().strip()


def main():
    program, directory = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    mailboxes, began = Mailboxes(), time.monotonic()
    server, port, certificate = serve(directory, mailboxes)
    hook, relay = ways.Hook(), ways.Relay(directory)
    carillon = Carillon(program, directory, port, certificate, hook.settings() + relay.settings())
    try:
        carillon.start()
        address = make_user(carillon, "ann", MAILBOX)
        numbers = [carillon.demo["numbers"][0][:-4] + f"{n:04}" for n in (101, 102, 103)]
        mails_are_right(carillon, mailboxes, address, numbers[0])
        bounces_are_told(carillon, mailboxes, numbers[1])
        link = carillon.received("where are you?")["link"]
        strangers_are_kept(carillon, link)
        phones_get_them(carillon, mailboxes, [numbers[0][:-1] + "6", numbers[0][:-1] + "7"])
        pictures_become_mails(carillon, mailboxes, relay, numbers[0][:-1] + "8")
        mailboxes_are_proved(carillon, mailboxes, numbers[0][:-1] + "9")
        carillon.owned_by_demo([row["account"] for row in carillon.inbound() if row["from"] == numbers[0]][:1])
        kills_lose_nothing(carillon, mailboxes, address, numbers[2])
        hook.takes_what_is_nobodys(carillon, link)
        check(carillon.stop() == 0, "it stops in order")
        the_operator_sees_them(carillon)
    finally:
        if carillon.process and carillon.process.poll() is None:
            carillon.kill()
        server.stop()
        hook.stop()
        relay.stop()
    print(f"{len(mailboxes.read())} mails were right in {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
