"""Lets a real Dovecot deliver mails with the example hook, and looks at what the phone of the account gets.

Usage: hook.py CARILLON DIRECTORY EXAMPLE. Needs Dovecot with LMTP and Sieve, and curl.
Looked at: a burst of mails is one notification, which names what the device calls its inbox; somebody else's mails are none; mails are
delivered while the gateway is away.
"""

import getpass
import json
import os
import pathlib
import pwd
import shutil
import smtplib
import subprocess
import sys
import time
import urllib.error

from drive import Carillon
from ways import PATIENCE, check, free_port, wait

ANN, NUMBER, NAME = "ann@acme.example", "+447400123456", "./Mail-of-Ann"
WINDOW_SECONDS = 5


class Dovecot:
    """A Dovecot of its own: LMTP only, mailboxes below the directory."""

    def __init__(self, directory, example, url, key):
        self.directory, self.port = directory, free_port()
        is_root = os.geteuid() == 0
        self.owner = "mail" if is_root else getpass.getuser()
        programs = directory / "bin"
        for folder in (programs, directory / "mail", directory / "run", directory / "sieve"):
            folder.mkdir()
        for name in ("carillon-notify", "carillon.sieve"):
            shutil.copy(example / name, programs if name == "carillon-notify" else directory / "sieve")
        secret = programs / "key"
        secret.write_text(key)
        (programs / "carillon-notify.conf").write_text(f"url={url}\nkey_file={secret}\n")
        if is_root:
            account = pwd.getpwnam(self.owner)
            for path in [secret, directory / "mail", directory / "sieve", *(directory / "sieve").iterdir()]:
                os.chown(path, account.pw_uid, account.pw_gid)
        secret.chmod(0o600)
        self.config = directory / "dovecot.conf"
        self.config.write_text(self.settings(is_root))
        self.process = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", str(self.config)], stderr=subprocess.STDOUT)
        wait("Dovecot listens", self.is_up)

    def settings(self, is_root):
        here, users = self.directory, ("dovecot", "dovenull") if is_root else (self.owner, self.owner)
        return f"""base_dir = {here}/run
state_dir = {here}/run
log_path = {here}/dovecot.log
protocols = lmtp
ssl = no
listen = 127.0.0.1
default_internal_user = {users[0]}
default_login_user = {users[1]}
mail_location = maildir:{here}/mail/%u
first_valid_uid = 1
first_valid_gid = 1
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid={self.owner} gid={self.owner} home={here}/mail/%u allow_all_users=yes
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {self.port}
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
protocol lmtp {{
  mail_plugins = sieve
}}
plugin {{
  sieve_plugins = sieve_extprograms
  sieve_global_extensions = +vnd.dovecot.execute
  sieve_execute_bin_dir = {here}/bin
  sieve_before = {here}/sieve/carillon.sieve
}}
"""

    def is_up(self):
        check(self.process.poll() is None, f"Dovecot lives: {self.log()}")
        try:
            smtplib.LMTP("127.0.0.1", self.port, timeout=2).quit()
        except OSError:
            return False
        return True

    def deliver(self, to, subject):
        with smtplib.LMTP("127.0.0.1", self.port, timeout=PATIENCE) as lmtp:
            lmtp.sendmail("bob@example.org", [to], f"From: bob@example.org\r\nSubject: {subject}\r\n\r\nhello\r\n")

    def mails(self, of):
        return len([path for path in (self.directory / "mail" / of).rglob("new/*") if path.is_file()])

    def log(self):
        path = self.directory / "dovecot.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=PATIENCE)


def register(carillon):
    account = {"server_id": "mail.acme.example", "sync_url": "sync.acme.example"}
    carillon.ask("PUT", f"/v1/accounts/{ANN}", account)
    device = {"account": ANN, "model": "nokia", "number": NUMBER, "resources": {"INBOX": {"name": NAME}}}
    carillon.ask("PUT", "/v1/devices/ann-phone", device)


def alerts(carillon):
    """What the network received that names Ann's inbox."""
    text = pathlib.Path(carillon.demo["sim_log"]).read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
    return [row for row in rows if row.get("to") == NUMBER and NAME.encode().hex() in row["tpdu"].lower()]


def main(program, directory, example):
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for folder in (directory, *directory.parents):
        # Dovecot delivers as another user.
        check(os.stat(folder).st_mode & 0o001 or os.geteuid() != 0, f"`{folder}` can be entered by everybody")
    carillon = Carillon(program, directory, free_port(), "", "")
    carillon.start()
    register(carillon)
    dovecot = Dovecot(directory, example, carillon.demo["rest"], carillon.demo["api_key"])
    try:
        begun = time.monotonic()
        for number in range(5):
            dovecot.deliver(ANN, f"mail {number}")
        dovecot.deliver("bob@acme.example", "not Ann's")
        wait("the phone is told", lambda: alerts(carillon))
        took = time.monotonic() - begun
        check(took < WINDOW_SECONDS + 10, f"within the window: {took:.1f} s")
        check(dovecot.mails(ANN) == 5 and dovecot.mails("bob@acme.example") == 1, "every mail is delivered")
        check("unknown_account" in dovecot.log(), "the log says whose mails nobody is told of")
        time.sleep(WINDOW_SECONDS + 2)
        check(len(alerts(carillon)) == 1, "a burst is one notification")
        carillon.stop()
        dovecot.deliver(ANN, "while the gateway is away")
        check(dovecot.mails(ANN) == 6, "mails are delivered without the gateway")
        check("carillon-notify" in dovecot.log(), "and the log says why nobody was told")
    finally:
        dovecot.stop()
        carillon.stop()
    print(f"5 mails by Dovecot, 1 notification after {took:.1f} s; mails arrive without the gateway, too")


if __name__ == "__main__":
    try:
        main(sys.argv[1], pathlib.Path(sys.argv[2]).resolve(), pathlib.Path(sys.argv[3]).resolve())
    except urllib.error.HTTPError as error:
        raise SystemExit(f"the gateway refused: {error.code} {error.read().decode()}") from error
