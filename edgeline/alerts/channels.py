"""The message of an alert, and its channels: webhook, mail and command. None can fail or delay a run.

A library's error message may contain the URL or the login, so only the operating system's message and the
server's status code are passed on.
"""

import html
import json
import logging
import os
import smtplib
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path

from msgspec import to_builtins

from edgeline.alerts.settings import AlertSettings, Channel
from edgeline.alerts.troubles import Trouble
from edgeline.failures import walk_chain

# The page of the run has the rest; Slack cuts messages at 40,000 characters.
_MOST_SENTENCES, _LONGEST = 5, 400


@dataclass(frozen=True)
class Message:
    """New troubles, resolved troubles, and the facts that somebody on call asks for next."""

    model: str
    written: str  # where and when
    troubles: tuple[Trouble, ...] = ()
    over: tuple[str, ...] = ()  # the sentence that was sent about each
    facts: tuple[str, ...] = ()  # what is in production, what to type, where the report is: a line each

    @property
    def subject(self) -> str:
        """Returns the first trouble, and how many more there are, on one line."""
        titles = [*(trouble.what for trouble in self.troubles), *(f"Resolved: {what}" for what in self.over)]
        more = f" (and {len(titles) - 1} more)" if len(titles) > 1 else ""
        title = _shorten(titles[0]) if titles else "this is a test, nothing is wrong."
        return f"[edgeline] {self.model}: {title}{more}"

    @property
    def text(self) -> str:
        """Returns the whole message as plain text."""
        return "\n".join(map(_shorten, self._list_lines()))

    def _list_lines(self) -> Iterator[str]:
        yield from (self.subject, "")
        for trouble in self.troubles:
            yield trouble.what
            yield from (f"- {sentence}" for sentence in trouble.why[:_MOST_SENTENCES])
            if len(trouble.why) > _MOST_SENTENCES:
                yield f"- and {len(trouble.why) - _MOST_SENTENCES} more"
            if trouble.do:
                yield f"To do: {trouble.do}"
        yield from (f"Resolved: {what}" for what in self.over)
        yield from ("", *self.facts, self.written)


def _shorten(text: str) -> str:
    """Puts a text on one line, and cuts it at 400 characters."""
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


@dataclass(frozen=True)
class Patience:
    """Limits in seconds: for one attempt, for the wait after it (doubled each time), and for all channels."""

    timeout_s: float = 8.0
    attempts: int = 3
    wait_s: float = 1.0
    bound_s: float = 30.0


PATIENCE = Patience()


class NotSent(Exception):
    """The reason why a message was not sent, without secrets; `again` if another attempt may help."""

    def __init__(self, reason: str, again: bool = False) -> None:
        super().__init__(reason)
        self.again = again


def send(settings: AlertSettings, queues: Mapping[Channel, list[Message]]) -> dict[Channel, str]:
    """Sends each channel its messages, all channels at once, within `Patience.bound_s`; raises nothing.

    Messages that were sent are removed from their queues. Returns for each channel why the rest was not sent,
    or not to each recipient; empty if all were. Channels that hang beyond the bound, such as a server that
    sends a byte now and then, are abandoned.
    """
    failures = dict.fromkeys(queues, f"it did not end within {PATIENCE.bound_s:g} s")
    threads = [
        threading.Thread(target=_deliver, args=(settings, channel, queue, failures), daemon=True)
        for channel, queue in queues.items()
    ]
    end = time.monotonic() + PATIENCE.bound_s
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return dict(failures)


def _deliver(
    settings: AlertSettings, channel: Channel, queue: list[Message], failures: dict[Channel, str]
) -> None:
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

    retrying = Retrying(
        stop=stop_after_attempt(PATIENCE.attempts),
        wait=wait_exponential(PATIENCE.wait_s),
        retry=retry_if_exception(lambda error: getattr(error, "again", False)),
        reraise=True,
    )
    failure = ""
    try:
        while queue:
            try:
                failure = retrying(_attempt, settings, channel, queue[0]) or failure
            except NotSent as error:
                if error.again or len(queue) == 1:
                    raise
                # The newest shows whether the channel refuses all messages, or only this one for its content.
                retrying(_attempt, settings, channel, queue[-1])
                del queue[-1]
                failure = f"{error} to an older message, which is dropped"
            del queue[0]
        failures[channel] = failure
    except NotSent as error:
        failures[channel] = str(error)


def _attempt(settings: AlertSettings, channel: Channel, message: Message) -> str | None:
    try:
        send_by = {"webhook": _post_webhook, "email": _send_email, "command": _run_command}[channel]
        return send_by(settings, message)
    except NotSent:
        raise
    except smtplib.SMTPResponseException as error:
        raise NotSent(f"the server answered {error.smtp_code}", error.smtp_code < 500) from None
    except Exception as error:
        links = list(walk_chain(error))
        reasons = [
            link.strerror for link in links if isinstance(link, OSError) and isinstance(link.strerror, str)
        ]
        if any(isinstance(link, TimeoutError | subprocess.TimeoutExpired) for link in links):
            reasons = [f"no answer within {PATIENCE.timeout_s:g} s"]
        again = isinstance(error, OSError | subprocess.SubprocessError)
        raise NotSent(reasons[0] if reasons else type(error).__name__, again) from None


def _post_webhook(settings: AlertSettings, message: Message) -> None:
    import requests

    logging.getLogger("urllib3").setLevel(logging.ERROR)  # Its warnings contain the URL.
    url = _read_secret(settings.webhook, "alerts.webhook")
    text = html.escape(message.text, quote=False)
    if not url.startswith(("https://", "http://")):
        raise NotSent("alerts.webhook does not name an http(s) URL")
    options = {"timeout": PATIENCE.timeout_s, "allow_redirects": False}
    # As a stream, of which only the beginning is read: an answer may have no end.
    with requests.post(url, json={"text": text}, stream=True, **options) as answer:
        code = answer.status_code
    if code >= 300:
        raise NotSent(f"the server answered {code}", again=code >= 500 or code in (408, 429))


def _send_email(settings: AlertSettings, message: Message) -> str | None:
    """Sends a mail; returns which recipients the server refused, if it took the mail for others."""
    email = settings.email
    mail = EmailMessage()
    mail["Subject"] = message.subject
    mail["Date"] = formatdate()
    mail["Message-ID"] = make_msgid()
    mail["From"] = email.sender or email.to[0]
    mail["To"] = ", ".join(email.to)
    mail.set_content(message.text)
    names = ("user", "password") if email.user else ()
    login = [_read_secret(getattr(email, name), f"alerts.email.{name}") for name in names]

    with smtplib.SMTP(str(email.host), email.port, timeout=PATIENCE.timeout_s) as server:
        server.ehlo()
        if not server.has_extn("starttls"):
            raise NotSent("the server offers no STARTTLS")
        server.starttls(context=ssl.create_default_context())
        if login:
            server.login(*login)
        refused = server.send_message(mail)
    codes = ", ".join(f"{address}: {code}" for address, (code, _) in refused.items())
    # Where all are refused, it raises.
    return f"the server refused {codes}; it took the message for the others" if refused else None


def _run_command(settings: AlertSettings, message: Message) -> None:
    document = {"subject": message.subject, "text": message.text, **to_builtins(message)}
    # The command's output is dropped, since it may contain secrets.
    process = subprocess.run(
        settings.command,
        input=json.dumps(document).encode(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=PATIENCE.timeout_s,
    )
    if process.returncode:
        raise NotSent(f"it ended with exit code {process.returncode}", again=True)


def _read_secret(place: str | None, setting: str) -> str:
    """Reads the secret from the file or the $VARIABLE that a setting names."""
    assert place is not None
    try:
        secret = os.environ[place[1:]] if place[0] == "$" else Path(place).expanduser().read_text("utf-8")
    except (KeyError, OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or (
            "it is not set" if place[0] == "$" else type(error).__name__
        )
        raise NotSent(f"the secret that {setting} names cannot be read: {reason}") from None
    return secret.strip()
