"""Writes suggestions: a list to write labels into, a page of previews, and copies of the photos."""

import io
from base64 import b64encode
from collections.abc import Collection
from pathlib import Path

from data.photos.thumbnails import make_thumbnail
from edgeline.errors import UsageError
from edgeline.report.page import render
from edgeline.store.locations import read_bytes
from edgeline.store.objects import write_bytes
from edgeline.tables.sheets import write_rows
from runners.suggest.suggestions import Suggestions

LIST, PAGE = "suggestions.csv", "suggestions.html"
_SHOWN_SIDE, _SHOWN_TEXT = 128, 300
# The columns that say what the model answered, and why an example is in the list.
_ABOUT = ("place", "said", "score", "margin", "version", "variant", "chosen")


def check_output(out: Path) -> None:
    """Refuses a folder that holds something already, such as a list with labels. Raises UsageError."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(
            f"{out} exists already.",
            "Labels that somebody wrote into an earlier list there would be lost.",
            "Pass another folder with --out DIR, or remove this one.",
        )


def write(suggestions: Suggestions, out: Path) -> Path:
    """Writes the list, the page, and copies of suggested photos into a folder; returns the list's path."""
    rows, shown, columns = [], [], dict[str, None]()
    for how, candidates in {"useful": suggestions.useful, "random": suggestions.drawn}.items():
        for item in candidates:
            # An earlier list is a source too; its answers are those of then.
            answers = {f"model_{name}" if f"model_{name}" in item.cells else name for name in _ABOUT}
            earlier = answers if item.cells.keys() >= answers else set()
            own = {name: cell for name, cell in item.cells.items() if name not in earlier}
            picture, row = b"", {**own, suggestions.workload.label_column: ""}
            if item.photo is not None:
                photo = read_bytes(item.photo)
                row = {"photo": f"{item.digest}{item.photo.suffix.lower()}", **row}
                write_bytes(out / "photos" / row["photo"], photo)
                picture = make_thumbnail(photo, _SHOWN_SIDE) or b""
            (label, score), (_, second), *_ = item.answer.ranked.items()
            about = {"place": item.place, "said": label, "score": score, "margin": round(score - second, 6)}
            about |= {"version": suggestions.version, "variant": suggestions.variant, "chosen": how}
            columns |= dict.fromkeys(row)
            rows.append((row, about))
            text = "" if picture else ", ".join(map(str, item.cells.values()))[:_SHOWN_TEXT]
            shown.append((about, b64encode(picture).decode(), text))
    file = io.StringIO(newline="")
    # A column of the source keeps its name.
    names = {name: _find_free(name, columns) for name in _ABOUT}
    listed = ([*(row.get(name) for name in columns), *(about[name] for name in names)] for row, about in rows)
    write_rows(file, [[*columns, *names.values()], *listed])
    write_bytes(out / LIST, file.getvalue().encode(errors="replace"))
    page = render("suggestions.html", suggestions=suggestions, shown=shown)
    write_bytes(out / PAGE, page.encode(errors="replace"))
    return out / LIST


def _find_free(name: str, names: Collection[str]) -> str:
    while name in names:
        name = f"model_{name}"
    return name
