"""Signs folders of a release so that the OpenSSF's own tool, model-signing 1.1.1, verifies them.

A signature is one Sigstore bundle: an envelope of DSSE around an in-toto statement, which lists every file of
the folder with its sha256. Of keys without an identity service, the tool takes only ECDSA's. So each Ed25519
key has a P-256 key that is derived from it by HKDF (RFC 5869): nobody has to keep a second secret, and keys
that exist already can be used. `model.pub.pem` in the bundle is its public half, which the manifest lists, so
who trusts the Ed25519 key can trust it too.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgeline.release.layout import MODEL_SIGNATURE, hash_bytes
from edgeline.release.signing import encode_for_signing

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_PREDICATE_TYPE = "https://model_signing/signature/v1.0"
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256 (SP 800-186, 3.2.1.3)


def derive_key(key: "Ed25519PrivateKey") -> "EllipticCurvePrivateKey":
    """Derives the P-256 key of an Ed25519 key."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    # 128 bits more than the order has, so that no key is likelier than another (FIPS 186-5, A.2.1).
    bits = HKDF(SHA256(), 48, salt=None, info=b"edgeline model signing P-256").derive(key.private_bytes_raw())
    return ec.derive_private_key(int.from_bytes(bits, "big") % (_ORDER - 1) + 1, ec.SECP256R1())


def render_public_key(public: "EllipticCurvePublicKey") -> bytes:
    """Returns a public key as PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def sign_files(key: "Ed25519PrivateKey", model: str, digests: Mapping[str, str]) -> bytes:
    """Signs all files of a folder; returns the content of the signature.

    Args:
        key: The key that the P-256 key is derived from.
        model: The subject of the statement; a verifier shows it.
        digests: The hexadecimal sha256 of every file but the signature, by POSIX relative path.
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256

    derived = derive_key(key)
    statement = _render_statement(model, digests)
    signature = derived.sign(encode_for_signing(_PAYLOAD_TYPE, statement), ec.ECDSA(SHA256()))
    return _render_bundle(statement, signature, render_public_key(derived.public_key()))


def is_signature_of(raw: bytes, model: str, digests: Mapping[str, str], public: bytes) -> bool:
    """Returns true if `sign_files` made `raw` of these files, with the key whose public half is `public`.

    Args:
        raw: The content of the signature, from anybody.
        model: The subject that it has to name.
        digests: Those of the files as they are now, as for `sign_files`.
        public: The content of `model.pub.pem`, P-256 as PEM; a damaged one gives false.
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256

    statement = _render_statement(model, digests)
    try:
        signature = base64.b64decode(json.loads(raw)["dsseEnvelope"]["signatures"][0]["sig"])
        key = serialization.load_pem_public_key(public)
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(signature, encode_for_signing(_PAYLOAD_TYPE, statement), ec.ECDSA(SHA256()))
    except (ValueError, LookupError, TypeError, AssertionError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return raw == _render_bundle(statement, signature, public)


def _render_statement(model: str, digests: Mapping[str, str]) -> bytes:
    # The tool expects the digest of all digests in the order of the resources.
    resources = [{"name": name, "algorithm": "sha256", "digest": digests[name]} for name in sorted(digests)]
    root = hashlib.sha256(b"".join(bytes.fromhex(resource["digest"]) for resource in resources)).hexdigest()
    serialization = {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": [MODEL_SIGNATURE],
    }
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": model, "digest": {"sha256": root}}],
        "predicateType": _PREDICATE_TYPE,
        "predicate": {"serialization": serialization, "resources": resources},
    }
    return json.dumps(statement, sort_keys=True).encode()


def _render_bundle(statement: bytes, signature: bytes, public: bytes) -> bytes:
    bundle = {
        "mediaType": _MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": hash_bytes(public)}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(statement).decode(),
            "payloadType": _PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }
    return (json.dumps(bundle) + "\n").encode()
