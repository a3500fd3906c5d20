"""A web server and a mail server that take alerts."""

import json
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

SECRET = "T00000000/B00000000/s3cr3t-of-the-hook"


class Hook:
    """A webhook that answers each of `statuses` once and then 200; while `hangs` is set, it hangs."""

    def __init__(self):
        self.messages, self.statuses, self.hangs, self.on_message = [], [], False, lambda: None
        self._ended = threading.Event()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if hook.hangs:
                    hook._ended.wait()
                status = hook.statuses.pop(0) if hook.statuses else 200
                if status == 200:
                    hook.messages.append(json.loads(body)["text"])
                    hook.on_message()
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/services/{SECRET}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()


class Mailbox:
    """The mails that a server took; it first gives each of `answers`, and refuses mail to `strangers`."""

    def __init__(self, *answers):
        self.mails, self.answers, self.strangers = [], list(answers), set()

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        if address in self.strangers:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if self.answers:
            return self.answers.pop(0)
        self.mails.append(envelope)
        return "250 OK"


def make_mail_server(mailbox, certificate=None, password="right"):
    """Makes a mail server on a free port and does not start it; without a certificate it has no STARTTLS."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if certificate is None:
        return Controller(mailbox, hostname="127.0.0.1", port=port)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    def login(server, session, envelope, mechanism, data):
        is_right = (data.login, data.password) == (b"edgeline", password.encode())
        return AuthResult(success=is_right, handled=False)

    options = {"tls_context": context, "require_starttls": True, "authenticator": login}
    return Controller(mailbox, hostname="127.0.0.1", port=port, auth_required=True, **options)
