"""Signatures, which prove the origin of a release: Ed25519 (RFC 8032) over the bytes of manifest.json.

`manifest.sig` lies beside it and holds the 64 bytes of the signature, nothing else. A key is named by its
public half: 32 bytes, here as 64 hexadecimal digits. The manifest names the key that it was signed with, so
that a missing, a damaged and a foreign signature can be told apart. That name proves nothing, since anybody
can write their own. Only a public key from another source proves the origin, such as one built into an app.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Union

from edgeline.errors import UsageError
from edgeline.store.locations import read_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

# A private key; None signs nothing.
Key = Union["Ed25519PrivateKey", None]


class Keys(TypedDict):
    """The keys of a writer: the private one, and the public ones whose signature it continues beside it."""

    key: Key
    trusted: tuple[str, ...]


NO_KEYS: Keys = {"key": None, "trusted": ()}
# The environment variable with the private key itself, as PEM, for use without a file.
KEY_VARIABLE = "EDGELINE_SIGNING_KEY"
PRIVATE, PUBLIC = "edgeline.key.pem", "edgeline.pub.pem"


def load_signing_key(path: str | None) -> Key:
    """Loads the private key from a file, else from the environment; None if neither is given.

    Raises UsageError, without any part of the key, if it cannot be read or is not a private key of Ed25519.
    """
    pem = os.environ.get(KEY_VARIABLE, "").encode()
    if path is None and not pem:
        return None
    key: Ed25519PrivateKey = _load_key(path, PRIVATE) if path else _load_key(KEY_VARIABLE, PRIVATE, pem)
    return key


def load_public_key(path: str) -> str:
    """Loads the public key from a file, as 64 hexadecimal digits.

    Raises UsageError if it cannot be read, or is not a public key of Ed25519.
    """
    return format_public_key(_load_key(path, PUBLIC))


def format_public_key(public: "Ed25519PublicKey") -> str:
    """Returns a public key as 64 hexadecimal digits."""
    return public.public_bytes_raw().hex()


def list_public_keys(keys: Keys) -> tuple[str, ...]:
    """Returns the public keys that a writer trusts, the oldest first."""
    own = (format_public_key(keys["key"].public_key()),) if keys["key"] else ()
    return (*keys["trusted"], *own)


@lru_cache(64)  # a command reads its pointer again and again
def is_signed(content: bytes, signature: bytes, public: str) -> bool:
    """Returns true if the key with the digits `public` made this signature of `content`.

    Args:
        content: All bytes that were signed.
        signature: 64 bytes; false for any other number.
        public: 64 hexadecimal digits; false for anything else.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(signature, content)
    except (InvalidSignature, ValueError):
        return False
    return True


def encode_for_signing(payload_type: str, payload: bytes) -> bytes:
    """Returns DSSE's pre-authentication encoding of a payload."""
    return b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(payload), payload)


def make_pair(folder: Path) -> str:
    """Writes a new key pair to `folder`, the private key for its owner alone; returns the public digits.

    Raises:
        UsageError: One of the two files exists already; nothing was changed.
        OSError: The files could not be written; neither is left.
    """
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    created: list[Path] = []
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content, mode in ((PRIVATE, private, 0o600), (PUBLIC, public, 0o644)):
            descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            created.append(folder / name)
            with open(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        for path in created:
            path.unlink()
        error.filename = error.filename or str(folder)
        if isinstance(error, FileExistsError):
            raise UsageError(
                f"{error.filename} exists already.",
                "A lost key cannot be made again, and phones would no longer trust releases signed with it.",
                "Use that pair, or make another one elsewhere with --out DIR.",
            ) from error
        raise
    return format_public_key(key.public_key())


def _load_key(where: str, name: str, pem: bytes | None = None) -> Any:
    """Loads the key from a file, or from `pem`; `name`, PRIVATE or PUBLIC, says which kind."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ed25519

    kind, use = ("private", "signed") if name == PRIVATE else ("public", "checked")
    found = f"{where} does not hold an Ed25519 {kind} key as PEM without a passphrase."
    try:
        pem = read_bytes(Path(where), most=10_000) if pem is None else pem
        key: Any = form.load_pem_private_key(pem, None) if name == PRIVATE else form.load_pem_public_key(pem)
        if isinstance(key, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey):
            return key
    except OSError as error:
        source = "in place of a file" if "-----BEGIN" in where else where
        found = f"The key {source} cannot be read: {error.strerror or error}."
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError if it has a passphrase
        pass
    way = "the content of" if where == KEY_VARIABLE else "the file"
    do = f"Pass {way} {name} of a key pair; `edgeline keys new` makes one."
    raise UsageError(found, f"Without such a key no release can be {use}.", do)
