"""A web server and a mail server, as alerts are sent to."""

import json
import socket
import ssl
import threading
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

SECRET = "T00000000/B00000000/s3cr3t-of-the-hook"


class Hook:
    """Takes what is posted to it; answers each of `statuses` once and then 200; hangs while told to."""

    def __init__(self):
        self.messages, self.statuses, self.hangs, self.when_told = [], [], False, lambda: None
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
                    hook.when_told()
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
    """What a mail server's users got; `answers` are given to a message before it is taken.

    Nothing is taken for `strangers`.
    """

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


def mail_server(mailbox, certificate=None, password="right"):
    """A mail server on a free port, not yet started; without a certificate it knows no STARTTLS."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if certificate is None:
        return Controller(mailbox, hostname="127.0.0.1", port=port)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    def login(server, session, envelope, mechanism, data):
        right = (data.login, data.password) == (b"edgeline", password.encode())
        return AuthResult(success=right, handled=False)

    secured = {"tls_context": context, "require_starttls": True, "authenticator": login}
    return Controller(mailbox, hostname="127.0.0.1", port=port, auth_required=True, **secured)


def write_certificate(path):
    """A self-signed certificate of 127.0.0.1 and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(private + certificate.public_bytes(encoding))
    return path
