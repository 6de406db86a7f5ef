"""What any OMS client sends and what must come of it: documents, checks of answers, and the count on the network.

Knows `demo.json` and the public protocols; must not know a SOAP library.
"""

import collections
import datetime
import json
import sys
import time
import urllib.parse
import uuid

import lxml.etree

OMS = "http://schemas.microsoft.com/office/Outlook/2006/OMS"
SERVICE_INFO = OMS + "/serviceInfo"
SETTLE_SECONDS_MAX = 120
# How far ahead a message is scheduled.
AHEAD_SECONDS = 2


def exercise(service, demo, expected):
    """Calls all five operations, and adds to `expected` the texts that must arrive."""
    limit = ascii_limit(service.GetServiceInfo(), demo)
    check_codes(service.GetUserInfo(user(demo)), "userInfo", "ok")
    check_codes(service.GetUserInfo(user(demo, password="wrong")), "userInfo", "invalidUser")

    numbers = [number[:-4] + "0042" for number in demo["numbers"]]
    for deliver in (service.DeliverXms, service.SendXms):
        text = token("Grüße für €5 [ok]", expected, len(numbers))
        check_codes(deliver(xms(demo, numbers, text)), "xmsResponse", "ok")
    for text in ("Привет, 世界", "<&> \"'", "as long as it may be ".ljust(limit - 14, ".")):
        check_codes(service.DeliverXms(xms(demo, numbers[:1], token(text, expected, 1))), "xmsResponse", "ok")

    later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=AHEAD_SECONDS)
    text = token("scheduled", expected, 1)
    check_codes(service.DeliverXms(xms(demo, numbers[:1], text, at=later)), "xmsResponse", "ok")

    refusals = {
        "lengthLimit": xms(demo, numbers[:1], "not sent".ljust(limit + 1, ".")),
        "invalidUser": xms(demo, numbers[:1], "not sent", password="wrong"),
        "invalidRecipient": xms(demo, ["nonsense"], "not sent"),
        "invalidFormat": "<xmsData",
    }
    for code, document in refusals.items():
        check_codes(service.DeliverXms(document), "xmsResponse", code)
    batch(service, demo, numbers[0], expected)


def ascii_limit(answer, demo):
    """Checks what the service says of itself; returns the characters a part made only of ASCII may have."""
    info = parse(answer)
    check(info.tag == f"{{{SERVICE_INFO}}}serviceInfo", f"GetServiceInfo answers `{info.tag}`")
    address = info.findtext(f"{{{SERVICE_INFO}}}serviceUri")
    same_path = urllib.parse.urlsplit(address).path == urllib.parse.urlsplit(demo["oms"]).path
    check(same_path, f"serviceUri is `{address}`")
    sender = info.find(f".//{{{SERVICE_INFO}}}SMS_SENDER")
    check(sender is not None, "no SMS_SENDER in serviceInfo")
    return int(sender.get("maxSbcsPerMessage"))


def batch(service, demo, number, expected):
    """Sends a batch whose second item has a wrong password: each item is answered for itself."""
    items = [
        xms(demo, [number], token("first of a batch", expected, 1), item="0"),
        xms(demo, [number], "not sent", password="wrong", item="1"),
        xms(demo, [number], token("third of a batch", expected, 1), item="2"),
    ]
    package = f'<xmsBatch client="check" xmlns="{OMS}">{"".join(items)}</xmsBatch>'
    answers = parse(service.DeliverXmsBatch(package))
    check(answers.tag == f"{{{OMS}}}xmsResponses", f"DeliverXmsBatch answers `{answers.tag}`")
    found = [(answer.get("id"), codes(answer)) for answer in answers]
    check(found == [("0", ["ok"]), ("1", ["invalidUser"]), ("2", ["ok"])], f"the batch is answered {found}")


def settle(session, demo):
    """Waits until nothing is pending, and checks that the ledger adds up."""
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    headers = {"Authorization": "Bearer " + demo["api_key"]}
    while True:
        answer = session.get(demo["rest"] + "/v1/ledger", headers=headers, timeout=30)
        check(answer.status_code == 200, f"the ledger answers {answer.status_code}")
        ledger = answer.json()
        if ledger["pending"] == 0 or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    check(ledger["pending"] == 0, f"still pending after {SETTLE_SECONDS_MAX} s: {ledger['pending']}")
    difference = ledger["accepted"] - ledger["final"] - ledger["pending"]
    check(difference == 0, f"the ledger's difference is {difference}")


def count_in_network(demo, expected):
    """Counts against the simulated network's own record."""
    seen = collections.Counter()
    with open(demo["sim_log"], encoding="utf-8") as file:
        for line in file:
            text = json.loads(line).get("text")
            if text is not None:
                check("not sent" not in text, "a refused message reached the network")
                seen[text] += 1
    for text, times in expected.items():
        check(seen[text] == times, f"`{text}` reached the network {seen[text]} times, not {times}")


def token(text, expected, times):
    """Makes a text that nothing else sends, and expects it so many times."""
    text = f"{text} #{uuid.uuid4().hex[:12]}"
    expected[text] = times
    return text


def user(demo, password=None):
    password = demo["password"] if password is None else password
    return (
        f'<xmsUser client="check" xmlns="{OMS}"><userId>{escape(demo["user_id"])}</userId>'
        f"<password>{escape(password)}</password><customData/></xmsUser>"
    )


def xms(demo, numbers, text, password=None, item=None, at=None):
    password = demo["password"] if password is None else password
    recipients = "".join(f"<recipient>{escape(number)}</recipient>" for number in numbers)
    scheduled = "" if at is None else f"<scheduled>{at:%Y-%m-%dT%H:%M:%SZ}</scheduled>"
    head = f'client="check" xmlns="{OMS}"' if item is None else f'id="{item}"'
    return (
        f"<xmsData {head}><user><userId>{escape(demo['user_id'])}</userId><password>{escape(password)}</password>"
        "<replyPhone/><customData/></user>"
        f"<xmsHead>{scheduled}<requiredService>SMS_SENDER</requiredService><to>{recipients}</to></xmsHead>"
        '<xmsBody format="SMS"><content contentType="text/plain" contentId="1" contentLocation="1.txt">'
        f"{escape(text)}</content></xmsBody></xmsData>"
    )


def check_codes(answer, root, code):
    """Checks that an answer has the right root and exactly this code, with the severity that belongs to it."""
    document = parse(answer)
    check(document.tag == f"{{{OMS}}}{root}", f"the answer is `{document.tag}`, not `{root}`")
    found = codes(document)
    check(found == [code], f"the answer is {found}, not `{code}`")
    severity = document.find(f"{{{OMS}}}error").get("severity")
    check(severity == ("neutral" if code == "ok" else "failure"), f"`{code}` is {severity}")


def codes(document):
    return [error.get("code") for error in document.iter(f"{{{OMS}}}error")]


def parse(text):
    return lxml.etree.fromstring(text, lxml.etree.XMLParser(resolve_entities=False, no_network=True))


def escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def check(holds, otherwise):
    if not holds:
        sys.exit(f"OMS client: {otherwise}")
