"""The signed pointer: which release is in production, since which change, and until when to believe it.

It is the value of `signed` in current.json, whose other keys nobody signed: an envelope of DSSE
(https://github.com/secure-systems-lab/dsse/blob/master/protocol.md) with an Ed25519 signature. To a phone it
is what the timestamp role is in TUF (https://theupdateframework.github.io/specification/latest/): `counter`
only rises, so an old pointer cannot be replayed as the newest one, and `expires` bounds for how long a phone
can be kept from hearing of a newer one. A lower version than before needs a higher `rollbacks`.

While a canary is open, the pointer names a candidate too, and each phone takes its side by a hash of its own
id, see `Pointer.choose`. When the candidate is withdrawn, `rollbacks` rises, as with any rollback, so that
the phones that run it go back to production, whose version is lower.

`log` vouches for the audit log too, whose newest line names the one before it by its digest, and so on: every
release that was ever named is known by a signed digest. Readers on phones do not need it.

During a change of keys, the envelope has two signatures, that of the old key and that of the new one. A store
without a key has the same envelope without a signature.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta, Struct, to_builtins

from edgeline.journal import parse_time
from edgeline.records.json_file import decode
from edgeline.release.layout import Digest, Positive
from edgeline.release.signing import Key, encode_for_signing, format_public_key, is_signed

MIN_PERCENT, MAX_PERCENT = 0.01, 99.99  # of phones that run a candidate
DAYS = 30  # until it expires, unless `push.pointer_days` says otherwise
MOST_SIGNATURES = 8  # of one pointer; a change of keys needs two
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


class Log(Struct, frozen=True, omit_defaults=True):
    """The part of the audit log for which the key vouches: from the change `first` to the newest."""

    sha256: Digest  # of the newest line of history.jsonl, without its end
    first: Positive = 1  # the number of a change; those before it were not signed


class Pointer(Struct, frozen=True, omit_defaults=True):
    """The content of the envelope. Readers ignore keys that they do not know: old ones stay on production."""

    model: str
    counter: Positive  # the number of the change of production that it was written with
    rollbacks: Annotated[int, Meta(ge=0)]  # the number of changes to a lower version so far
    issued: str  # UTC, ISO 8601, as `expires`
    expires: str
    production: Production
    candidate: Canary | None = None
    log: Log | None = None  # None in pointers of earlier versions of this code

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


class Untrusted(ValueError):
    """An envelope without a valid signature of a trusted key."""


class Envelope(Struct, frozen=True, rename={"payload_type": "payloadType"}):
    """An envelope of DSSE around a pointer."""

    payload_type: str
    payload: str  # base64
    signatures: Annotated[tuple[Signature, ...], Meta(max_length=MOST_SIGNATURES)]

    def read(self, trusted: Sequence[str] | None = None) -> tuple[Pointer, str | None]:
        """Returns the pointer, and the key that signed it, None without a signature.

        Args:
            trusted: The public keys of which one has to have signed it, the oldest first; the newest that
                did is returned. With None the first signature counts, of any key, or none.

        Raises:
            Untrusted: No trusted key signed it, or the first signature is not of the key that it names.
            ValueError: It is not the envelope of a pointer.
        """
        if self.payload_type != PAYLOAD_TYPE:
            raise ValueError(f"its payloadType is {self.payload_type!r}, not {PAYLOAD_TYPE!r}")
        payload = base64.b64decode(self.payload, validate=True)
        pointer: Pointer = decode(payload, Pointer)
        if trusted is None:
            first = self.signatures[0] if self.signatures else None
            if first and not _is_right(first, payload):
                raise Untrusted(f"it names the key {first.keyid}, but is not signed with it")
            return pointer, first.keyid if first else None
        right = {each.keyid for each in self.signatures if _is_right(each, payload)}
        signer = next((key for key in reversed(trusted) if key in right), None)
        if signer is None:
            raise Untrusted(f"it is signed with {' and '.join(sorted(right)) or 'no key'}")
        return pointer, signer


def _is_right(signature: Signature, payload: bytes) -> bool:
    try:
        raw = base64.b64decode(signature.sig, validate=True)
    except ValueError:
        return False
    return is_signed(encode_for_signing(PAYLOAD_TYPE, payload), raw, signature.keyid)


def seal(pointer: Pointer, *keys: Key) -> Envelope:
    """Makes the envelope of a pointer, signed with each key that is not None."""
    payload = json.dumps(to_builtins(pointer), sort_keys=True).encode()
    signatures = []
    for key in keys:
        if key:
            signature = base64.b64encode(key.sign(encode_for_signing(PAYLOAD_TYPE, payload))).decode()
            signatures.append(Signature(format_public_key(key.public_key()), signature))
    return Envelope(PAYLOAD_TYPE, base64.b64encode(payload).decode(), tuple(signatures))
