"""A certificate for this machine's address, of an authority of its own, as `edgeline phone --tls` uses it.

The authority is made once and kept, so that a phone that trusts it need not be told again. Its name
constraints make browsers refuse it for anything but this address.
"""

import ipaddress
import os
import ssl
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from edgeline.store.locations import write_atomically

# Phones refuse certificates of servers that are valid for longer than 398 days.
_DAYS, _AUTHORITY_DAYS = 396, 3650


@dataclass(frozen=True)
class Certificate:
    """The certificate of an authority, and a chain that ends with it, followed by its key; all PEM."""

    authority: bytes
    chain: bytes


def make_certificate(folder: Path, address: str) -> Certificate:
    """Makes a certificate for an IP address and localhost; its authority is kept in `folder` by address."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    path = folder / f"phone-{address}.pem"
    local = x509.DNSName("localhost")
    if not path.is_file():
        key = ec.generate_private_key(ec.SECP256R1())
        only = x509.NameConstraints([x509.IPAddress(ipaddress.ip_network(address)), local], None)
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        # It signs certificates, and nothing else.
        signs = x509.KeyUsage(False, False, False, False, False, True, False, False, False)
        name = f"Edgeline on {address}"
        public = key.public_key()
        authority = _sign(name, public, key, address, _AUTHORITY_DAYS, constraints, only, signs)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with write_atomically(path) as file:
            os.chmod(file.name, 0o600)  # Windows has no fchmod
            file.write(_dump(key) + authority)
    raw = path.read_bytes()
    own = ec.generate_private_key(ec.SECP256R1())
    authority = x509.load_pem_x509_certificate(raw).public_bytes(form.Encoding.PEM)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address)), local])
    usage = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH])
    signer = form.load_pem_private_key(raw, None)
    leaf = _sign("edgeline phone", own.public_key(), signer, address, _DAYS, names, usage)
    return Certificate(authority, leaf + authority + _dump(own))


def wrap(server: ThreadingHTTPServer, certificate: Certificate) -> ThreadingHTTPServer:
    """Makes a server speak TLS with a certificate, and returns it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:  # ssl reads files alone
        Path(folder, "chain.pem").write_bytes(certificate.chain)
        context.load_cert_chain(Path(folder, "chain.pem"))
    # Without this, one connection that says nothing would hold up all others.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    return server


def _sign(subject: str, public: Any, signer: Any, address: str, days: int, *extensions: Any) -> bytes:
    """Returns a certificate as PEM, by the authority for an address; constraints are critical (RFC 5280)."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding

    now = datetime.now(timezone.utc)
    issuer = f"Edgeline on {address}"
    of, by = (x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in (subject, issuer))
    builder = x509.CertificateBuilder(by, of, public, x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=days))
    # Python 3.13 and later, and others that are as strict as RFC 5280, ask for both.
    ids = (
        x509.SubjectKeyIdentifier.from_public_key(public),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
    )
    for extension in (*extensions, *ids):
        critical = isinstance(extension, x509.BasicConstraints | x509.NameConstraints | x509.KeyUsage)
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM)


def _dump(key: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization as form

    pem: bytes = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    return pem
