"""The photos of a drill: the span of each week with its faults, and a clean test that no run ever sees."""

import csv
import io
import random
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import astuple, replace
from pathlib import Path

from PIL import Image

from data.photos.labels_file import COLUMNS, LabelRow, PhotoSpan, get_session, read_labels
from data.shelf import renderer
from data.shelf.faults import FAULTS as RENDERED
from data.spans.layout import Span
from data.spans.split import hash_group
from drill.faults import COPIES, FAULTS
from edgeline.records.ingest import name_span

# Shelves are the same with every seed, sessions and photos are not.
_HIDDEN_SEED = 1_000_000
_SAG = 0.3  # degrees a week by which the brackets of the phones give way; models learn them week by week


def deliver(
    data: Path, number: int, photos: int, seed: int, rates: Mapping[str, float], eval_share: float
) -> None:
    """Writes a week's span into a folder that has those of the weeks before.

    Args:
        data: The folder of spans.
        number: The number of the span, the next in the folder.
        photos: The number of photos before faults.
        seed: That of the drill; with the number it decides everything.
        rates: The share of photos that each fault affects, 0..1; faults of processes are ignored.
        eval_share: `data.eval_fraction` of the runs; labels are shuffled in train alone.
    """
    rendered = {name: rate for name, rate in rates.items() if name in RENDERED}
    renderer.generate(data, weeks=1, per_week=photos, seed=seed, faults=rendered, roll=_SAG * number)
    span = PhotoSpan(number, data / name_span(number))
    rng = random.Random(f"drill {seed} {number}")
    for name, rate in sorted(rates.items(), key=lambda item: item[0] not in COPIES):
        match name:
            case "twice" | "wrong-week":
                _copy_week(span, number - FAULTS[name].before)
            case "empty":
                shutil.rmtree(Path(str(span.photos)), ignore_errors=True)
                _write_labels(span, [])
            case "half-copied":
                _lose_half(span)
            case "flipped-labels":
                _write_labels(span, _shuffle_labels(read_labels(span), rate, eval_share, rng))
            case "new-camera":
                _film_again(span, rate, rng, _brighten)
            case "dead-session":
                rows = _film_again(span, rate, rng, _swap_colours)
                sessions = {row.session_id for row in rows}
                others = [row for row in read_labels(span) if row.session_id not in sessions]
                _write_labels(span, [*others, *_shuffle_labels(rows, 1.0, eval_share, rng)])


def render_hidden_test(number: int, photos: int, seed: int) -> list[tuple[bytes, str]]:
    """Renders photos of the same shelves in the week of a span, each with the class that it really shows.

    Args:
        number: The number of the span, by which the cameras hang as aslant as in its week.
        photos: The number of photos.
        seed: That of the drill, from which another one is made: no session is one of the span.

    Returns:
        The JPEG file of each photo with its class.
    """
    sessions = renderer.plan_week(number, photos, seed + _HIDDEN_SEED, {}, _SAG * number)
    return [
        (jpeg, label)
        for session in sessions
        for (_, jpeg), label in zip(renderer.render_session(session), session.contents, strict=True)
    ]


def _copy_week(span: Span, number: int) -> None:
    path = Path(str(span.path))
    shutil.rmtree(path)
    shutil.copytree(path.with_name(name_span(number)), path)


def _lose_half(span: PhotoSpan) -> None:
    """Removes the second half of the photos, and cuts off the last one that is there."""
    files = sorted(Path(str(span.photos)).glob("*"))  # none where an empty week came again
    half = (len(files) + 1) // 2
    for file in files[half:]:
        file.unlink()
    for file in files[:half][-1:]:
        file.write_bytes(file.read_bytes()[:1000])


def _shuffle_labels(
    rows: list[LabelRow], share: float, eval_share: float, rng: random.Random
) -> list[LabelRow]:
    """Shuffles labels among rows whose sessions the hash puts into train, so that their shares stay."""
    train = [n for n, row in enumerate(rows) if hash_group(get_session(row)) >= eval_share]
    chosen = rng.sample(train, round(share * len(train)))
    labels = [rows[n].label for n in chosen]
    rng.shuffle(labels)
    for n, label in zip(chosen, labels, strict=True):
        rows[n] = replace(rows[n], label=label)
    return rows


def _film_again(
    span: PhotoSpan, share: float, rng: random.Random, change: Callable[[Image.Image], Image.Image]
) -> list[LabelRow]:
    """Takes the photos of some sessions with another camera, less compressed; returns their rows."""
    rows = read_labels(span)
    sessions = sorted({row.session_id for row in rows})
    chosen = set(rng.sample(sessions, round(share * len(sessions))))
    filmed = [row for row in rows if row.session_id in chosen]
    for row in filmed:
        file = Path(str(span.photos), row.photo)
        # Another fault may have damaged it, or taken it away.
        with suppress(OSError), Image.open(file) as photo:
            changed = change(photo)
            scratch = io.BytesIO()
            changed.save(scratch, "JPEG", quality=95, exif=photo.info["exif"])
            file.write_bytes(scratch.getvalue())
    return filmed


def _brighten(photo: Image.Image) -> Image.Image:
    return photo.point(lambda level: min(255, 1.08 * level + 4))


def _swap_colours(photo: Image.Image) -> Image.Image:
    red, green, blue = photo.split()
    return Image.merge("RGB", (blue, red, green))


def _write_labels(span: PhotoSpan, rows: list[LabelRow]) -> None:
    with Path(str(span.labels)).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(astuple(row) for row in rows)
