"""Remembers what this user has signed: an old, rightly signed state that is put back is not signed again.

It is a file of the user, `~/.local/state/edgeline/signed.json` or below XDG_STATE_HOME, and has for each
place and model the newest pointer that was written from here. Where no such file can be written, as in most
pods, nothing is remembered; phones still refuse the old pointer, until it is signed anew.
"""

import os
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from edgeline.errors import EdgelineError
from edgeline.records.json_file import UNREADABLE, JsonFile
from edgeline.release.history import find_current
from edgeline.release.layout import PushFolder
from edgeline.release.pointer import Pointer
from edgeline.store.locations import Location


class Signed(Struct, frozen=True):
    """The newest pointer that was signed from here."""

    key: str
    counter: int
    rollbacks: int


_FILE = JsonFile[dict[str, Signed]]("signed.json", dict[str, Signed])


def remember(place: Location, folder: PushFolder, model: str) -> None:
    """Remembers the signed pointer of a store at `place`, of which `folder` may be a local copy.

    Args:
        place: It is remembered under this path or URL.
        folder: Its current.json is read; where that has no signature, nothing is remembered.
        model: Its name there.
    """
    current = find_current(folder, model)
    if current is None or current.signed is None:
        return
    pointer, _ = current.signed.read()
    signers = [signature.keyid for signature in current.signed.signatures]
    if signers:
        name = _name(place, model)
        signed = Signed(signers[-1], pointer.counter, pointer.rollbacks)
        with suppress(OSError, RuntimeError):
            home = _find_home()
            before = _read(home)
            if before.get(name) != signed:
                _FILE.write(home, {**before, name: signed})


def recall(place: Location, model: str) -> Signed | None:
    """Returns what was signed last for a model at a place; None if that is not known."""
    with suppress(RuntimeError):
        return _read(_find_home()).get(_name(place, model))
    return None


def is_older(pointer: Pointer | None, signer: str | None, signed: Signed | None) -> bool:
    """Returns true if a pointer, signed with the same key, is older than what is remembered.

    Args:
        pointer: That of the store; None if it has none.
        signer: The public key that signed it; None if nobody did.
        signed: As `recall` returned it; None if nothing is remembered.
    """
    return bool(pointer and signed and signer == signed.key and pointer.counter < signed.counter)


def _find_home() -> Path:
    """Returns the folder of the file. Raises RuntimeError where the user has no home."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local/state") / "edgeline"


def _read(home: Path) -> dict[str, Signed]:
    try:
        return _FILE.find(home) or {}
    except UNREADABLE:
        return {}


def _name(place: Location, model: str) -> str:
    where = place.resolve() if isinstance(place, Path) else place
    return f"{model} {where}"


def make_error(model: str, pointer: Pointer, signed: Signed) -> EdgelineError:
    """Returns the error for a store in which an older state was put back.

    Args:
        model: Its name there.
        pointer: The old one, which the store has now.
        signed: The newer one, which was signed from here.
    """
    return EdgelineError(
        f"The pointer to {model} is an old one: its counter is {pointer.counter}, and {signed.counter} was"
        " signed from here.",
        "Phones that have seen the newer one refuse it. Somebody put an old state of the store back: signed"
        " again, it would look like a new one to the others. Nothing was changed.",
        "Restore the newest state. If this one is meant, as after the loss of a disk, look with"
        " `edgeline repair --trust-unsigned --reason R`, which shows what it would sign, and asks.",
    )
