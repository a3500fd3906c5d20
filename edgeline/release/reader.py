"""The rules by which a phone accepts a pointer and a manifest; and so what a phone would do now.

`Phone` in runtime.py goes by them, and so does everybody who says what phones do: `verify`, `status`, alerts,
the report. `clients/` has the same rules in other languages, and `clients/pointers.json` examples for all.

A phone trusts a list of public keys, the oldest first: those that its app pins, else the one that signed the
first pointer that it saw. Once a newer one has signed, it accepts no older one. What it remembers of a
pointer binds only pointers of the same key: whoever stole an old key can lock nobody out. What nobody signed
binds nothing but the time at which it was issued, since anybody can write any number there.
"""

import errno
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from edgeline.errors import EdgelineError
from edgeline.journal import parse_time
from edgeline.records.json_file import convert, decode
from edgeline.release.layout import MANIFEST, MOST_DOCUMENT_BYTES, POINTER, PushFolder, hash_bytes
from edgeline.release.manifest import FileEntry, Manifest, NewerManifest, parse_manifest
from edgeline.release.pointer import Envelope, Pointer, Production, Untrusted
from edgeline.store.locations import read_bytes

_DO = "Look at the store with `edgeline verify`; see docs/phone.md."
# A phone's clock may be behind that of the writer by so much.
CLOCKS_APART = timedelta(days=1)


class Refused(EdgelineError):
    """A release that a phone does not switch to, for one of the reasons of refusals.json."""

    def __init__(self, reason: str, **facts: object) -> None:
        why = "The previous release, if there is one, stays in use."
        super().__init__(describe_refusal(reason, **facts), why, _DO)
        self.reason, self.facts = reason, facts

    def __reduce__(self) -> Any:
        return partial(type(self), self.reason, **self.facts), ()


def describe_refusal(reason: str, **facts: object) -> str:
    """Returns the words of a reason, in English, which all readers share."""
    text = _format_reason(reason, facts)
    return text[0].upper() + text[1:] if text.partition(" ")[0].isalpha() else text  # no name of a file


def _format_reason(reason: str, facts: Mapping[str, object]) -> str:
    """Returns the words of a reason as they follow "because"."""
    return _load_words()[reason]["en"].format(**facts)


@cache
def _load_words() -> dict[str, dict[str, str]]:
    words: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("refusals.json").read_bytes())
    return words


class Seen(Struct, frozen=True):
    """Records what a phone has seen of a store, which no later pointer may fall behind."""

    key: str | None  # that signed the pointer
    pointer: Pointer
    epoch: int
    client: str
    release: Production  # that was proven


@dataclass(frozen=True)
class Accepted:
    """A pointer that a phone accepts."""

    pointer: Pointer
    key: str | None  # that signed it; None if nobody did
    release: Production  # of this phone's side


def accept_pointer(
    raw: bytes | None, model: str, keys: Sequence[str], seen: Seen | None, client: str, now: datetime
) -> Accepted:
    """Reads current.json as a phone does.

    Args:
        raw: Its content; None if there is none.
        model: The model that the phone follows.
        keys: The public keys that its app pins, the oldest first; without any it trusts the first it sees.
        seen: What it remembers; None if nothing.
        client: Its id.
        now: Its clock.

    Raises Refused.
    """
    if raw is None:
        raise Refused("missing", file=POINTER)
    if len(raw) > MOST_DOCUMENT_BYTES:
        raise Refused("large", file=POINTER, most=MOST_DOCUMENT_BYTES)
    trusted = list_trusted(keys, seen)
    try:
        envelope: Envelope = convert(decode(raw, dict[str, Any]).get("signed"), Envelope)
        pointer, key = envelope.read(trusted or None)
    except Untrusted:
        raise Refused("signature", key=", ".join(trusted or [envelope.signatures[0].keyid])) from None
    except (ValueError, RecursionError):
        raise Refused("pointer") from None
    side = pointer.choose(client)
    release = Production(side.version, side.manifest_sha256)
    if pointer.model != model:
        raise Refused("other", found=pointer.model, model=model)
    if parse_time(pointer.issued) > now + CLOCKS_APART:
        raise Refused("clock", issued=pointer.issued)
    if now >= parse_time(pointer.expires):
        raise Refused("stale", expires=pointer.expires)
    if seen and seen.key == key:
        _compare(pointer, release, key, seen)
    return Accepted(pointer, key, release)


def list_trusted(keys: Sequence[str], seen: Seen | None) -> list[str]:
    """Returns the keys that a phone accepts, the oldest first: none older than one that it has accepted."""
    if not keys:
        return [seen.key] if seen and seen.key else []
    return [*keys[keys.index(seen.key) :]] if seen and seen.key in keys else [*keys]


def _shorten(keys: Sequence[str]) -> str:
    return " or ".join(f"{key[:16]}..." for key in keys) or "any"


def _compare(pointer: Pointer, release: Production, key: str | None, seen: Seen) -> None:
    """Refuses a pointer that falls behind what a phone has seen of the same key, or of none."""
    last = seen.pointer
    changed = (pointer.production, pointer.candidate) != (last.production, last.candidate)
    if key is None:
        issued, before = parse_time(pointer.issued), parse_time(last.issued)
        if issued < before or (issued == before and changed):
            raise Refused("earlier", found=pointer.issued, seen=last.issued)
        return
    if pointer.counter < last.counter or (pointer.counter == last.counter and changed):
        raise Refused("replayed", found=pointer.counter, seen=last.counter)
    if release.version < seen.release.version and pointer.rollbacks <= last.rollbacks:
        raise Refused("lower", version=release.version, seen=seen.release.version)


def accept_manifest(raw: bytes, accepted: Accepted, seen: Seen | None, now: datetime) -> Manifest:
    """Reads the manifest of the release that a pointer names as a phone does.

    Args:
        raw: The content of manifest.json.
        accepted: The pointer that names the digest; its key decides if the epoch in `seen` binds.
        seen: What the phone remembers; None if nothing.
        now: Its clock.

    Raises:
        Refused: It is not the one that is named, is newer than this code, has expired, or has a lower
            rollback epoch than the phone has seen.
    """
    release, model = accepted.release, accepted.pointer.model
    if hash_bytes(raw) != release.manifest_sha256:
        raise Refused("swapped", file=f"{release.version}/{MANIFEST}")
    try:
        manifest = parse_manifest(raw, MANIFEST)
    except NewerManifest as error:
        raise Refused("newer", version=error.version) from error
    except EdgelineError as error:
        raise Refused("swapped", file=f"{release.version}/{MANIFEST}") from error
    if (manifest.model, manifest.version) != (model, release.version):
        raise Refused("swapped", file=f"{release.version}/{MANIFEST}")
    if now >= parse_time(manifest.expires):
        raise Refused("expired", version=release.version, expires=manifest.expires)
    lowest = seen.epoch if seen and accepted.key and seen.key == accepted.key else 0
    if manifest.rollback_epoch < lowest:
        raise Refused("epoch", version=release.version, found=manifest.rollback_epoch, seen=lowest)
    return manifest


def check_file(content: bytes, name: str, entry: FileEntry) -> bytes:
    """Returns the content of a file of a bundle if it is as its manifest says.

    Args:
        content: As it arrived, which may be a part or more than the file.
        name: Names it in the refusal.
        entry: Its size and digest in the manifest.

    Raises:
        Refused: It is larger or smaller, or has another digest.
    """
    if len(content) > entry.size:
        raise Refused("large", file=name, most=entry.size)
    if len(content) < entry.size:
        raise Refused("truncated", file=name, found=len(content), size=entry.size)
    if hash_bytes(content) != entry.sha256:
        raise Refused("swapped", file=name)
    return content


@dataclass(frozen=True)
class Outlook:
    """The answer of a phone that follows a store now: it takes the release in production, or refuses it."""

    does: Literal["switches", "refuses"]
    version: int | None  # that it would run; None if it refuses
    key: str | None  # that signed the pointer, if a phone accepts it
    reason: str  # a key of refusals.json; "" if it switches
    sentence: str
    pointer: Pointer | None = None  # that it accepts

    @property
    def after_push(self) -> str:
        """The sentence as a reason of the push that it follows, of which people read later."""
        return f"After this push, {self.sentence[0].lower()}{self.sentence[1:]}"


def foresee(folder: PushFolder, model: str, keys: Sequence[str], now: datetime) -> Outlook:
    """Returns what a new phone would do now whose app pins these keys, or none.

    The files of the release are not looked at, which `verify` does. While a canary is open, both sides
    have to be acceptable.

    Args:
        folder: The store.
        model: The model that the phone follows.
        keys: Public keys, the oldest first; without any it trusts the first that it sees.
        now: The phone's clock.

    Raises:
        EdgelineError: The store cannot be read.
    """
    which = "A phone that trusts " + (_shorten(keys) if keys else "the first key that it sees")
    try:
        accepted = accept_pointer(_read(folder, folder.pointer(model), POINTER), model, keys, None, "", now)
        pointer = accepted.pointer
        for side in filter(None, (pointer.candidate, pointer.production)):
            name = f"{side.version}/{MANIFEST}"
            raw = _read(folder, folder.edge(model) / str(side.version) / MANIFEST, name)
            if raw is None:
                raise Refused("missing", file=name)
            accept_manifest(raw, Accepted(pointer, accepted.key, side), None, now)
    except Refused as error:
        sentence = f"{which} refuses it, because {_format_reason(error.reason, error.facts)}"
        return Outlook("refuses", None, None, error.reason, sentence)
    version = pointer.production.version
    how = f"signed with {accepted.key}" if accepted.key else "which nobody signed"
    sentence = f"{which} switches to version {version}, {how}, until {pointer.expires}."
    return Outlook("switches", version, accepted.key, "", sentence, pointer)


def refuse_replay(counter: int, seen: int) -> Outlook:
    """Returns what a phone does with a pointer that is older than the one that it has seen."""
    words = _format_reason("replayed", {"found": counter, "seen": seen})
    sentence = f"A phone that has seen the newest pointer that was signed refuses it, because {words}"
    return Outlook("refuses", None, None, "replayed", sentence)


def _read(folder: PushFolder, path: Any, name: str) -> bytes | None:
    try:
        return read_bytes(path, MOST_DOCUMENT_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise Refused("large", file=name, most=MOST_DOCUMENT_BYTES) from error
        raise Refused("broken", file=name) from error
