"""Each channel against a real server or program: one that works, and those that fail, refuse and hang."""

import json
import logging
import socket
import sys
from dataclasses import replace
from email import message_from_bytes, policy

import pytest

from edgeline.alerts import channels
from edgeline.alerts.channels import Message, send
from edgeline.alerts.settings import AlertSettings
from edgeline.alerts.troubles import Trouble
from edgeline.phone.certificate import make_certificate
from tests.edgeline.alerts.servers import SECRET, Mailbox, mail_server

PASSWORD = "right-and-s3cr3t"
TROUBLE = Trouble("Held back: <!channel> & no push.", ("Accuracy is 0.7.",), "edgeline show latest")
MESSAGE = Message("shelf", "Written on host.", (TROUBLE,), (), ("In production: version 2.",))


def settings(**given):
    return AlertSettings.model_validate_json(json.dumps(given))


def sent(given, channel, messages=(MESSAGE,)):
    """Returns how many messages a channel took, and why it took no more."""
    queue = list(messages)
    failure = send(given, {channel: queue})[channel]
    assert SECRET not in failure and PASSWORD not in failure
    return len(messages) - len(queue), failure


@pytest.fixture
def hurried(patient, monkeypatch):
    """No patience with what hangs here, which it does for good."""
    monkeypatch.setattr(channels, "PATIENCE", replace(channels.PATIENCE, timeout_s=0.2))


@pytest.fixture
def webhook(hook):
    return settings(webhook="$HOOK")


@pytest.fixture
def mail(tmp_path, monkeypatch, patient):
    """Settings of a mail server that a test starts, with a login from files; the certificate is trusted."""
    made, certificate = make_certificate(tmp_path, "127.0.0.1"), tmp_path / "mail.pem"
    certificate.write_bytes(made.chain)
    (tmp_path / "authority.pem").write_bytes(made.authority)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    for name, text in (("user", "edgeline"), ("password", PASSWORD)):
        (tmp_path / name).write_text(f"{text}\n")
    secrets = {name: str(tmp_path / name) for name in ("user", "password")}
    started = []

    def start(*answers, certificate=certificate, password=PASSWORD):
        mailbox = Mailbox(*answers)
        server = mail_server(mailbox, certificate, password)
        server.start()
        started.append(server)
        to = ["on-call@example.com", "b@example.com"]
        return mailbox, settings(email={"host": "127.0.0.1", "port": server.port, "to": to, **secrets})

    yield start
    for server in started:
        server.stop()


def test_a_webhook_gets_the_message_as_slack_takes_it_and_mentions_nobody(hook, webhook):
    assert sent(webhook, "webhook") == (1, "")
    (text,) = hook.messages
    assert "Held back: &lt;!channel&gt; &amp; no push." in text
    assert text.endswith(
        "\n- Accuracy is 0.7.\nTo do: edgeline show latest\n\nIn production: version 2.\nWritten on host."
    )


@pytest.mark.parametrize("status", [500, 429])
def test_a_server_that_fails_for_a_while_is_asked_again(hook, webhook, status):
    hook.statuses = [status, status]
    assert sent(webhook, "webhook") == (1, "")
    assert len(hook.messages) == 1


def test_of_several_messages_those_before_the_one_that_failed_were_sent(hook, webhook):
    hook.statuses = [200, 500, 500, 500]
    assert sent(webhook, "webhook", [MESSAGE] * 3) == (1, "the server answered 500")


def test_a_message_that_the_server_refuses_is_dropped_when_it_takes_a_newer_one(hook, webhook):
    hook.statuses = [400, 200]
    queue = [MESSAGE, replace(MESSAGE, model="between"), replace(MESSAGE, model="newest")]
    (failure,) = send(webhook, {"webhook": queue}).values()
    assert failure == "the server answered 400 to an older message, which is dropped"
    assert queue == [] and "newest" in hook.messages[0] and "between" in hook.messages[1]


def test_no_message_is_dropped_where_the_server_refuses_each(hook, webhook):
    hook.statuses, queue = [404, 404], [MESSAGE, MESSAGE]
    assert send(webhook, {"webhook": queue}) == {"webhook": "the server answered 404"}
    assert len(queue) == 2 and hook.messages == []


@pytest.mark.parametrize("status", [404, 302])
def test_a_server_that_refuses_is_asked_once(hook, webhook, status):
    hook.statuses = [status, 200]
    assert sent(webhook, "webhook") == (0, f"the server answered {status}")
    assert hook.messages == []


def test_a_server_that_hangs_holds_nothing_up(hook, webhook, hurried):
    hook.hangs = True
    assert sent(webhook, "webhook") == (0, "no answer within 0.2 s")


def test_what_does_not_end_at_all_is_left_alone_at_the_bound(monkeypatch, patient):
    """The server sends a byte now and then, which keeps every timeout of a socket from passing."""
    monkeypatch.setattr(channels, "PATIENCE", replace(channels.PATIENCE, bound_s=0.2))
    given = settings(command=[sys.executable, "-c", "import time; time.sleep(2)"])
    assert sent(given, "command") == (0, "it did not end within 0.2 s")


def test_a_run_is_held_up_by_half_a_minute_at_most():
    """A server that hangs is given up before the bound, each attempt and each wait counted."""
    patience = channels.Patience()
    waits = patience.wait_s * (1 + 2)
    assert patience.attempts * patience.timeout_s + waits < patience.bound_s == 30


def test_nobody_at_the_address_is_said_in_the_systems_words(monkeypatch, patient, caplog):
    caplog.set_level(logging.WARNING)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HOOK", f"http://127.0.0.1:{free.getsockname()[1]}/services/{SECRET}")
        assert sent(settings(webhook="$HOOK"), "webhook") == (0, "Connection refused")
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "the secret that alerts.webhook names cannot be read: No such file or directory"),
        ("\n", "does not name an http(s) URL"),
        (f"hooks.example.com/{SECRET}", "does not name an http(s) URL"),
        (f"http://[{SECRET}", "InvalidURL"),
    ],
)
def test_a_secret_that_is_none_is_not_shown(tmp_path, patient, content, reason):
    if content is not None:
        (tmp_path / "hook").write_text(content)
    count, printed = sent(settings(webhook=str(tmp_path / "hook")), "webhook")
    assert count == 0 and reason in printed


def test_a_variable_that_is_not_set_is_named_by_its_setting(monkeypatch, patient):
    monkeypatch.delenv("HOOK", raising=False)
    assert sent(settings(webhook="$HOOK"), "webhook") == (
        0,
        "the secret that alerts.webhook names cannot be read: it is not set",
    )


def test_a_mail_goes_out_encrypted_and_logged_in(mail):
    mailbox, given = mail()
    assert sent(given, "email") == (1, "")
    (envelope,) = mailbox.mails
    assert envelope.rcpt_tos == ["on-call@example.com", "b@example.com"]
    got = message_from_bytes(envelope.content, policy=policy.default)
    assert got["Subject"] == "[edgeline] shelf: Held back: <!channel> & no push."
    assert (got["From"], got["To"]) == ("on-call@example.com", "on-call@example.com, b@example.com")
    assert "To do: edgeline show latest" in got.get_content()


def test_a_mail_server_that_is_busy_is_asked_again(mail):
    mailbox, given = mail("451 later", "451 later")
    assert sent(given, "email") == (1, "")
    assert len(mailbox.mails) == 1


def test_a_mail_server_that_refuses_is_not(mail):
    mailbox, given = mail("550 no", "250 OK")
    assert sent(given, "email") == (0, "the server answered 550")
    assert mailbox.answers == ["250 OK"]


def test_a_recipient_whom_the_server_refuses_is_named(mail):
    mailbox, given = mail()
    mailbox.strangers = {"b@example.com"}
    failure = "the server refused b@example.com: 550; it took the message for the others"
    # A mail that is kept for them would go to the others with each run, before any newer one.
    assert sent(given, "email", [MESSAGE] * 2) == (2, failure)
    assert [mail.rcpt_tos for mail in mailbox.mails] == [["on-call@example.com"]] * 2


def test_a_wrong_password_is_not_shown(mail):
    mailbox, given = mail(password="another")
    assert sent(given, "email") == (0, "the server answered 535")
    assert mailbox.mails == []


def test_to_a_server_without_starttls_nothing_is_sent(mail):
    mailbox, given = mail(certificate=None)
    assert sent(given, "email") == (0, "the server offers no STARTTLS")
    assert mailbox.mails == []


def test_to_a_server_whose_certificate_nobody_vouches_for_nothing_is_sent(mail, monkeypatch):
    mailbox, given = mail()
    monkeypatch.delenv("SSL_CERT_FILE")
    count, reason = sent(given, "email")
    assert count == 0 and "certificate verify failed" in reason
    assert mailbox.mails == []


def test_a_mail_server_that_hangs_holds_nothing_up(hurried):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        given = settings(email={"host": "127.0.0.1", "port": deaf.getsockname()[1], "to": ["a@b"]})
        assert sent(given, "email") == (0, "no answer within 0.2 s")


def test_a_command_gets_the_message_as_json(tmp_path, patient):
    script = f"import sys; open({str(tmp_path / 'got')!r}, 'w').write(sys.stdin.read())"
    assert sent(settings(command=[sys.executable, "-c", script]), "command") == (1, "")
    got = json.loads((tmp_path / "got").read_text())
    assert got["model"] == "shelf" and got["text"] == MESSAGE.text
    assert got["troubles"][0]["do"] == "edgeline show latest"


def test_a_command_that_fails_is_said_and_not_what_it_prints(patient, capfd):
    given = settings(command=["sh", "-c", f"echo its own {SECRET} | tee /dev/stderr; exit 7"])
    assert sent(given, "command") == (0, "it ended with exit code 7")
    assert SECRET not in "".join(capfd.readouterr())


def test_a_command_that_hangs_is_said(hurried):
    assert sent(settings(command=["sleep", "60"]), "command") == (0, "no answer within 0.2 s")


def test_a_command_that_is_not_there_is_said(patient):
    assert sent(settings(command=["/no/such/program"]), "command") == (0, "No such file or directory")


def test_a_channel_that_hangs_keeps_no_other_from_sending(tmp_path, hook):
    """The command ends only when the webhook has its message."""
    command = ["sh", "-c", f"until [ -e '{tmp_path}/told' ]; do sleep 0.02; done"]
    hook.when_told = (tmp_path / "told").touch
    ended = send(settings(webhook="$HOOK", command=command), {"command": [MESSAGE], "webhook": [MESSAGE]})
    assert ended == {"command": "", "webhook": ""}
