"""A certificate for this machine's address, of an authority of its own, as `edgeline phone --tls` uses it.

The authority is made once and kept, so that a phone that trusts it need not be told again. It signs nothing
but addresses of this machine: its name constraints would make every browser refuse anything else.
"""

import ipaddress
import os
import ssl
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

_DAYS = 396  # phones refuse certificates of servers that are valid for longer than 398 days


@dataclass(frozen=True)
class Certificate:
    """A chain of certificates with its key, PEM."""

    authority: bytes
    chain: bytes
    key: bytes


def make_certificate(folder: Path, address: str) -> Certificate:
    """Makes a certificate for an IP address and localhost; its authority is kept in `folder` by address."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    path, pem = folder / f"phone-{address}.pem", form.Encoding.PEM
    host, network = ipaddress.ip_address(address), ipaddress.ip_network(address)
    if not path.is_file():
        key, name = ec.generate_private_key(ec.SECP256R1()), f"Edgeline on {address}"
        only = x509.NameConstraints([x509.IPAddress(network), x509.DNSName("localhost")], None)
        authority = _build(name, name, key, 3650, x509.BasicConstraints(ca=True, path_length=0), only)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(_dump(key) + authority.sign(key, hashes.SHA256()).public_bytes(pem))
    raw = path.read_bytes()
    signer, authority_certificate = form.load_pem_private_key(raw, None), x509.load_pem_x509_certificate(raw)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    own, issuer = ec.generate_private_key(ec.SECP256R1()), f"Edgeline on {address}"
    names = x509.SubjectAlternativeName([x509.IPAddress(host), x509.DNSName("localhost")])
    usage = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH])
    leaf = _build(
        address, issuer, own, _DAYS, x509.BasicConstraints(ca=False, path_length=None), names, usage
    )
    top = authority_certificate.public_bytes(pem)
    return Certificate(top, leaf.sign(signer, hashes.SHA256()).public_bytes(pem) + top, _dump(own))


def wrap(server: ThreadingHTTPServer, certificate: Certificate) -> None:
    """Makes a server speak TLS with a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:  # ssl reads files alone
        path = Path(folder, "chain.pem")
        path.write_bytes(certificate.chain + certificate.key)
        context.load_cert_chain(path)
    # Without this, one connection that says nothing would hold up all others.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)


def _build(
    subject: str, issuer: str, key: "EllipticCurvePrivateKey", days: int, *extensions: "x509.ExtensionType"
) -> "x509.CertificateBuilder":
    """Returns an unsigned certificate; constraints are critical (RFC 5280)."""
    from cryptography import x509

    now = datetime.now(timezone.utc)
    of, by = (x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in (subject, issuer))
    builder = x509.CertificateBuilder(by, of, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=days))
    for extension in extensions:
        critical = isinstance(extension, x509.BasicConstraints | x509.NameConstraints)
        builder = builder.add_extension(extension, critical)
    return builder


def _dump(key: "EllipticCurvePrivateKey") -> bytes:
    from cryptography.hazmat.primitives import serialization as form

    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
