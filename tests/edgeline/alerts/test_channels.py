"""Each channel with a real server or program: one that works, and others that fail, refuse or hang."""

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
from tests.edgeline.alerts.servers import SECRET, Mailbox, make_mail_server

PASSWORD = "right-and-s3cr3t"
TROUBLE = Trouble("Held back: <!channel> & no push.", ("Accuracy is 0.7.",), "edgeline show latest")
MESSAGE = Message("shelf", "Written on host.", (TROUBLE,), (), ("In production: version 2.",))


def configure(**values):
    return AlertSettings.model_validate_json(json.dumps(values))


def deliver(settings, channel, messages=(MESSAGE,)):
    """Sends messages; returns how many the channel took, and the failure that stopped it."""
    queue = list(messages)
    failure = send(settings, {channel: queue})[channel]
    assert SECRET not in failure and PASSWORD not in failure
    return len(messages) - len(queue), failure


@pytest.fixture
def hurry(patient, monkeypatch):
    """Gives up a server or command that hangs after 0.2 s."""
    monkeypatch.setattr(channels, "PATIENCE", replace(channels.PATIENCE, timeout_s=0.2))


@pytest.fixture
def webhook(hook):
    return configure(webhook="$HOOK")


@pytest.fixture
def mail(tmp_path, monkeypatch, patient):
    """Starts mail servers and returns their settings; the certificate is trusted, the login is in files."""
    authority, certificate = tmp_path / "authority.pem", tmp_path / "mail.pem"
    pems = make_certificate(tmp_path, "127.0.0.1")
    certificate.write_bytes(pems.chain)
    authority.write_bytes(pems.authority)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    for name, text in (("user", "edgeline"), ("password", PASSWORD)):
        (tmp_path / name).write_text(f"{text}\n")
    secrets = {name: str(tmp_path / name) for name in ("user", "password")}
    servers = []

    def start(*answers, certificate=certificate, password=PASSWORD, **values):
        mailbox = Mailbox(*answers)
        server = make_mail_server(mailbox, certificate, password)
        server.start()
        servers.append(server)
        values |= {"host": "127.0.0.1", "port": server.port, **secrets}
        return mailbox, configure(email={"to": ["on-call@example.com", "b@example.com"], **values})

    yield start
    for server in servers:
        server.stop()


def test_a_webhook_gets_the_message_as_slack_takes_it_and_mentions_nobody(hook, webhook):
    assert deliver(webhook, "webhook") == (1, "")
    (text,) = hook.messages
    assert "Held back: &lt;!channel&gt; &amp; no push." in text
    assert text.endswith(
        "\n- Accuracy is 0.7.\nTo do: edgeline show latest\n\nIn production: version 2.\nWritten on host."
    )


def test_a_server_that_fails_for_a_while_is_asked_again(hook, webhook):
    hook.statuses = [500, 429]
    assert deliver(webhook, "webhook") == (1, "")
    assert len(hook.messages) == 1


def test_messages_before_the_one_that_failed_are_sent(hook, webhook):
    hook.statuses = [200, 500, 500, 500]
    assert deliver(webhook, "webhook", [MESSAGE] * 3) == (1, "the server answered 500")


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
    assert deliver(webhook, "webhook") == (0, f"the server answered {status}")
    assert hook.messages == []


def test_a_server_that_hangs_holds_nothing_up(hook, webhook, hurry):
    hook.hangs = True
    assert deliver(webhook, "webhook") == (0, "no answer within 0.2 s")


def test_a_command_that_does_not_end_is_left_alone_at_the_bound(monkeypatch, patient):
    """Nor does a server that sends a byte now and then: no timeout of a socket passes."""
    monkeypatch.setattr(channels, "PATIENCE", replace(channels.PATIENCE, bound_s=0.2))
    settings = configure(command=[sys.executable, "-c", "import time; time.sleep(2)"])
    assert deliver(settings, "command") == (0, "it did not end within 0.2 s")


def test_a_refused_connection_is_reported_in_the_words_of_the_system(monkeypatch, patient, caplog):
    caplog.set_level(logging.WARNING)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HOOK", f"http://127.0.0.1:{free.getsockname()[1]}/services/{SECRET}")
        assert deliver(configure(webhook="$HOOK"), "webhook") == (0, "Connection refused")
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
def test_an_invalid_secret_is_not_shown(tmp_path, patient, content, reason):
    if content is not None:
        (tmp_path / "hook").write_text(content)
    count, failure = deliver(configure(webhook=str(tmp_path / "hook")), "webhook")
    assert count == 0 and reason in failure
    unset = "the secret that alerts.webhook names cannot be read: it is not set"
    assert deliver(configure(webhook="$NO_SUCH_HOOK"), "webhook") == (0, unset)


def test_a_mail_goes_out_encrypted_and_logged_in(mail):
    mailbox, settings = mail()
    assert deliver(settings, "email") == (1, "")
    (envelope,) = mailbox.mails
    assert envelope.rcpt_tos == ["on-call@example.com", "b@example.com"]
    message = message_from_bytes(envelope.content, policy=policy.default)
    assert message["Subject"] == "[edgeline] shelf: Held back: <!channel> & no push."
    assert (message["From"], message["To"]) == ("on-call@example.com", "on-call@example.com, b@example.com")
    assert "To do: edgeline show latest" in message.get_content()


def test_a_mail_server_that_is_busy_is_asked_again_and_one_that_refuses_once(mail):
    mailbox, settings = mail("451 later", "451 later", sender="edgeline@example.com")
    assert deliver(settings, "email") == (1, "")
    (envelope,) = mailbox.mails
    assert message_from_bytes(envelope.content)["From"] == "edgeline@example.com"
    mailbox, settings = mail("550 no", "250 OK")
    assert deliver(settings, "email") == (0, "the server answered 550")
    assert mailbox.answers == ["250 OK"]


def test_a_recipient_whom_the_server_refuses_is_named(mail):
    mailbox, settings = mail()
    mailbox.strangers = {"b@example.com"}
    failure = "the server refused b@example.com: 550; it took the message for the others"
    # A mail kept for this recipient would go to the others again at each run, before any newer one.
    assert deliver(settings, "email", [MESSAGE] * 2) == (2, failure)
    assert [mail.rcpt_tos for mail in mailbox.mails] == [["on-call@example.com"]] * 2


@pytest.mark.parametrize(
    ("server", "trusted", "reason"),
    [
        ({"password": "another"}, True, "the server answered 535"),
        ({"certificate": None}, True, "the server offers no STARTTLS"),
        ({}, False, "certificate verify failed"),
    ],
)
def test_nothing_is_sent_to_a_server_without_the_login_or_a_trusted_certificate(
    mail, monkeypatch, server, trusted, reason
):
    mailbox, settings = mail(**server)
    if not trusted:
        monkeypatch.delenv("SSL_CERT_FILE")
    count, failure = deliver(settings, "email")
    assert count == 0 and reason in failure and mailbox.mails == []


def test_a_mail_server_that_hangs_holds_nothing_up(hurry):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        settings = configure(email={"host": "127.0.0.1", "port": deaf.getsockname()[1], "to": ["a@b"]})
        assert deliver(settings, "email") == (0, "no answer within 0.2 s")


def test_a_command_gets_the_message_as_json(tmp_path, patient):
    script = f"import sys; open({str(tmp_path / 'got')!r}, 'w').write(sys.stdin.read())"
    assert deliver(configure(command=[sys.executable, "-c", script]), "command") == (1, "")
    message = json.loads((tmp_path / "got").read_text())
    assert message["model"] == "shelf" and message["text"] == MESSAGE.text
    assert message["troubles"][0]["do"] == "edgeline show latest"


def test_a_command_that_fails_is_reported_without_its_output(patient, capfd):
    settings = configure(command=["sh", "-c", f"echo its own {SECRET} | tee /dev/stderr; exit 7"])
    assert deliver(settings, "command") == (0, "it ended with exit code 7")
    assert SECRET not in "".join(capfd.readouterr())


def test_a_command_that_hangs_or_is_missing_is_reported(hurry):
    assert deliver(configure(command=["sleep", "60"]), "command") == (0, "no answer within 0.2 s")
    assert deliver(configure(command=["/no/such/program"]), "command") == (0, "No such file or directory")


def test_a_channel_that_hangs_keeps_no_other_from_sending(tmp_path, hook):
    """The command ends only when the webhook has its message."""
    command = ["sh", "-c", f"until [ -e '{tmp_path}/sent' ]; do sleep 0.02; done"]
    hook.on_message = (tmp_path / "sent").touch
    failures = send(configure(webhook="$HOOK", command=command), {"command": [MESSAGE], "webhook": [MESSAGE]})
    assert failures == {"command": "", "webhook": ""}
