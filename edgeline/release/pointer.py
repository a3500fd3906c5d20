"""The signed pointer: which release is in production, since which change, and until when to believe it.

It is the value of `signed` in current.json, whose other keys nobody signed: an envelope of DSSE
(https://github.com/secure-systems-lab/dsse/blob/master/protocol.md) with an Ed25519 signature. To a phone it
is what the timestamp role is in TUF (https://theupdateframework.github.io/specification/latest/): `counter`
only rises, so an old pointer cannot be replayed as the newest one, and `expires` bounds for how long a phone
can be kept from hearing of a newer one. A lower version than before needs a higher `rollbacks`.

While a canary is open, the pointer names a candidate too, and each phone takes its side by a hash of its own
id, see `Pointer.choose`. When the candidate is withdrawn, `rollbacks` rises, as with any rollback, so that
the phones that run it go back to production, whose version is lower.

A store without a key has the same envelope without a signature.
"""

import base64
import hashlib
import json
from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta, Struct, to_builtins

from edgeline.journal import parse_time
from edgeline.records.json_file import decode
from edgeline.release.layout import Digest, Positive
from edgeline.release.signing import Key, encode_for_signing, format_public_key, is_signed

MIN_PERCENT, MAX_PERCENT = 0.01, 99.99  # of phones that run a candidate
DAYS = 30  # until it expires, unless `push.pointer_days` says otherwise
PAYLOAD_TYPE = "application/vnd.edgeline.pointer+json"


class Production(Struct, frozen=True):
    """The release that every phone runs."""

    version: Positive
    manifest_sha256: Digest


class Canary(Production, frozen=True):
    """The candidate: the release that a share of phones runs until it is promoted or withdrawn."""

    percent: Annotated[float, Meta(ge=MIN_PERCENT, le=MAX_PERCENT)]

    @property
    def share(self) -> str:
        """Returns the share in words."""
        return f"{self.percent:g} % of phones"


class Pointer(Struct, frozen=True, omit_defaults=True):
    """The content of the envelope. Readers ignore keys that they do not know: old ones stay on production."""

    model: str
    counter: Positive  # the number of the change of production that it was written with
    rollbacks: Annotated[int, Meta(ge=0)]  # the number of changes to a lower version so far
    issued: str  # UTC, ISO 8601, as `expires`
    expires: str
    production: Production
    candidate: Canary | None = None

    def __post_init__(self) -> None:
        """Refuses a time that cannot be read."""
        if self.life <= timedelta():
            raise ValueError(f"it expires at {self.expires}, before it was issued")

    @property
    def life(self) -> timedelta:
        """Returns the time between `issued` and `expires`."""
        return parse_time(self.expires) - parse_time(self.issued)

    def warn(self, now: datetime) -> str:
        """Returns a sentence if a third of its life or less is left, as weekly runs prevent; else ""."""
        if (remaining := parse_time(self.expires) - now) > self.life / 3:
            return ""
        word = "expires" if remaining > timedelta() else "expired"
        return f"The pointer to version {self.production.version} {word} at {self.expires}."

    def choose(self, client: str) -> Production:
        """Returns the release that the client with this id runs.

        The version salts the hash, so that it is not always the same phones that come first, and a
        phone keeps the candidate when its share is raised. `clients/canary.json` has examples for readers.
        """
        if self.candidate is None:
            return self.production
        text = f"{self.model}\n{self.candidate.version}\n{client}"
        number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 10_000
        return self.candidate if number / 100 < self.candidate.percent else self.production


class Signature(Struct, frozen=True):
    """A signature of the envelope; `keyid` is the public key, as `signing.py` writes it."""

    keyid: Digest
    sig: str  # base64


class Envelope(Struct, frozen=True, rename={"payload_type": "payloadType"}):
    """An envelope of DSSE around a pointer."""

    payload_type: str
    payload: str  # base64
    signatures: tuple[Signature, ...]

    def read(self) -> tuple[Pointer, str | None]:
        """Returns the pointer, and the key that signed it, None without a signature.

        Raises ValueError if it is not the envelope of a pointer, or its signature is not valid.
        """
        if self.payload_type != PAYLOAD_TYPE:
            raise ValueError(f"its payloadType is {self.payload_type!r}, not {PAYLOAD_TYPE!r}")
        payload = base64.b64decode(self.payload, validate=True)
        pointer: Pointer = decode(payload, Pointer)
        if not self.signatures:
            return pointer, None
        first, encoded = self.signatures[0], encode_for_signing(PAYLOAD_TYPE, payload)
        if not is_signed(encoded, base64.b64decode(first.sig), first.keyid):
            raise ValueError(f"it names the key {first.keyid}, but is not signed with it")
        return pointer, first.keyid


def seal(pointer: Pointer, key: Key) -> Envelope:
    """Makes the envelope of a pointer, signed if there is a key."""
    payload = json.dumps(to_builtins(pointer), sort_keys=True).encode()
    signatures: tuple[Signature, ...] = ()
    if key:
        signature = base64.b64encode(key.sign(encode_for_signing(PAYLOAD_TYPE, payload))).decode()
        signatures = (Signature(format_public_key(key.public_key()), signature),)
    return Envelope(PAYLOAD_TYPE, base64.b64encode(payload).decode(), signatures)
