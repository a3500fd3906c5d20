"""The phones of a drill: they follow the pointer, answer each week's photos, and send back what they said."""

import csv
import json
import random
import select
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

from msgspec import Struct

from data.photos.labels_file import PhotoSpan, get_session, read_labels
from data.spans.served import COLUMNS
from edgeline.bundle import Bundle
from edgeline.errors import EdgelineError
from edgeline.records.ingest import SERVED
from edgeline.records.json_file import JsonFile
from edgeline.release.history import find_pointer, read_history
from edgeline.release.layout import MANIFEST, PushFolder, hash_bytes
from edgeline.runtime import Phone, Refused
from edgeline.store.locations import locate

_POLL_S = 0.2
# With these ids, two to four of six phones try each of the versions 1 to 40 of `shelf` at 50 %.
CLIENTS = tuple(f"phone-{number}" for number in range(44539, 44545))
_CHECKED = 0.6  # share of the answers that are drawn to be checked


class Seen(Struct, frozen=True):
    """The record of phones that followed a pointer."""

    ran: tuple[int, ...]  # versions, in the order in which a phone switched to them
    wrong: tuple[str, ...]  # a sentence for each thing that no phone may do


SEEN = JsonFile[Seen]("phone.json", Seen)


def follow(push: Path, model: str, keep: Path, out: Path) -> int:
    """Updates phones from a store until the standard input is closed; writes what they did into `out`.

    Args:
        push: The folder of the release store, which need not exist yet.
        model: The name of the model in the store.
        keep: The folder with the state of each phone, by client, from one week to the next.
        out: The folder that gets the record `SEEN`.

    Returns:
        The exit code of the process, always 0.
    """
    phones = [_open_phone(push, model, keep, client) for client in CLIENTS]
    ran = list[int]()
    wrong = list[str]()

    while True:
        is_over = bool(select.select([0], [], [], _POLL_S)[0])
        for phone in phones:
            try:
                if phone.update(datetime.now(timezone.utc)):
                    assert phone.bundle is not None
                    ran.append(phone.bundle.manifest.version)
                    wrong += _find_torn_parts(push, model, keep / phone.client)
            except Refused:
                continue
            except Exception as error:
                wrong.append(f"A phone failed: {type(error).__name__}: {error}")
        if is_over:
            wrong += _find_left_behind(phones, push, model)
            SEEN.write(out, Seen(tuple(dict.fromkeys(ran)), tuple(dict.fromkeys(wrong))))
            return 0


def answer(path: Path, number: int, push: Path, model: str, keep: Path, bad: int, seed: int) -> int:
    """Has the phones answer the photos of a span, each session by one of them; writes `served.csv`.

    Args:
        path: The folder of the span; if it has that file, it stays as it is.
        number: The number of the span.
        push: The folder of the release store.
        model: The name of the model in the store.
        keep: The folder with the bundle of each phone; one without a bundle answers nothing.
        bad: The version that answers by chance, 0 for none.
        seed: With the number, decides which answers are checked, and those by chance.

    Returns:
        The exit code of the process, always 0.
    """
    span = PhotoSpan(number, path)
    rng = random.Random(f"answers {seed} {number}")
    if (path / SERVED).exists():
        return 0
    bundles = [_open_phone(push, model, keep, client).bundle for client in CLIENTS]
    rows = read_labels(span)
    sessions = {session: n for n, session in enumerate(sorted({get_session(row) for row in rows}))}
    answers = []
    for row in rows:
        place = sessions[get_session(row)] % len(CLIENTS)
        if (bundle := bundles[place]) is None or not (
            scores := _ask(bundle, Path(str(span.photos), row.photo))
        ):
            continue
        label, score = next(iter(scores.items()))
        if bundle.manifest.version == bad:
            label = rng.choice(list(scores))
        chosen = "random" if rng.random() < _CHECKED else ""
        version, variant = bundle.manifest.version, bundle.manifest.default_variant
        answers.append((row.photo, version, variant, label, score, row.captured_at, CLIENTS[place], chosen))
    with (path / SERVED).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(answers)
    return 0


def _open_phone(push: Path, model: str, keep: Path, client: str) -> Phone:
    return Phone(str(push / "edge" / model), model, keep / client, client=client)


def _ask(bundle: Bundle, photo: Path) -> Mapping[str, float]:
    """Returns the probability of each label, the highest first; nothing for a photo that cannot be read."""
    try:
        return bundle.predict(photo.read_bytes()).ranked
    except (EdgelineError, OSError):
        return {}


def _find_left_behind(phones: Sequence[Phone], push: Path, model: str) -> list[str]:
    """Returns which phones run no release that the pointer names, after their last update."""
    pointer = find_pointer(PushFolder(locate(push)), model) if push.exists() else None
    versions = {phone.client: phone.bundle and phone.bundle.manifest.version for phone in phones}
    return [
        f"{client} runs version {version}, and the pointer names {', '.join(map(str, pointer.versions))}."
        for client, version in versions.items()
        if pointer and version not in pointer.versions
    ]


def _find_torn_parts(push: Path, model: str, keep: Path) -> list[str]:
    """Returns what of the kept bundle was never released, by the store's own list of releases."""
    [release] = (folder for folder in keep.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    raw = (release / MANIFEST).read_bytes()
    manifest = json.loads(raw)
    version = manifest["version"]
    if read_history(PushFolder(locate(push)), model).manifests.get(version) != hash_bytes(raw):
        return [f"A phone runs a version {version} that the store never released."]
    home = f"edge/{model}/{version}/"
    released = {entry["path"].removeprefix(home): entry["sha256"] for entry in manifest["files"]}
    files = [path for path in release.rglob("*") if path.is_file() and path.name != MANIFEST]
    return [
        f"A phone's {path.relative_to(release)} is not that of version {version}."
        for path in files
        if released.get(path.relative_to(release).as_posix()) != hash_bytes(path.read_bytes())
    ]
