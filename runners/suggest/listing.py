"""Writes suggestions: a list to write labels into, a page of previews, and copies of the photos."""

import csv
import io
from base64 import b64encode
from pathlib import Path

from data.importers.known_photos import hash_photo
from data.photos.thumbnails import make_thumbnail
from edgeline.errors import UsageError
from edgeline.report.page import render
from edgeline.report.records import write_file
from edgeline.store.locations import read_bytes
from runners.suggest.suggestions import LIST, PAGE, Suggestions

_PHOTOS = "photos"
_SHOWN_SIDE, _SHOWN_TEXT = 128, 300


def check_output(out: Path) -> None:
    """Refuses a folder that holds something already, such as a list with labels. Raises UsageError."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(
            f"{out} exists already.",
            "Labels that somebody wrote into an earlier list there would be lost.",
            "Pass another folder with --out DIR, or remove this one.",
        )


def write(suggestions: Suggestions, out: Path) -> None:
    """Writes the list, the page, and copies of suggested photos into a folder."""
    workload = suggestions.workload
    own = list(dict.fromkeys(name for each in suggestions.pool.candidates for name in each.cells))
    rows, shown = [], []
    for candidate, how in (
        *((candidate, "useful") for candidate in suggestions.useful),
        *((candidate, "random") for candidate in suggestions.drawn),
    ):
        answer, picture, copy = candidate.answer, b"", {}
        if candidate.photo is not None:
            photo = read_bytes(candidate.photo)
            copy = {"photo": hash_photo(photo) + candidate.photo.suffix.lower()}
            write_file(out / _PHOTOS / copy["photo"], photo)
            picture = make_thumbnail(photo, _SHOWN_SIDE) or b""
        said, score = next(iter(answer.ranked.items()))
        about = {"place": candidate.place, "said": said, "score": score, "margin": round(candidate.margin, 6)}
        about |= {"unlike": answer.unlike} if answer.unlike is not None else {}
        about |= {"version": suggestions.version, "variant": suggestions.variant, "chosen": how}
        rows.append({**about, workload.label_column: "", **copy, **candidate.cells})
        text = "" if picture else ", ".join(f"{name} {cell}" for name, cell in candidate.cells.items())
        shown.append((about, b64encode(picture).decode(), text[:_SHOWN_TEXT]))
    first = [*(["photo"] if "photo" in rows[0] else []), *own, workload.label_column]
    lines = io.StringIO(newline="")
    writer = csv.DictWriter(
        lines, [*first, *(name for name in rows[0] if name not in first)], lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(rows)
    write_file(out / LIST, lines.getvalue().encode(errors="replace"))
    page = render("suggestions.html", suggestions=suggestions, shown=shown)
    write_file(out / PAGE, page.encode(errors="replace"))
