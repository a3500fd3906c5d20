"""The looks of photos in earlier spans, which find near twins; kept so that no photo is decoded twice."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from data.photos.labels_file import LabelRow, PhotoSpan
from data.photos.likeness import SIDE
from data.spans.layout import Span, replace_file
from edgeline.records.photo_features import SIZE
from edgeline.records.rejection import RowRejected

_Looks = dict[str, bytes | None]


def read_known_looks(
    data_dir: Path,
    spans: Mapping[PhotoSpan, Sequence[LabelRow]],
    look: Callable[[bytes], bytes | None],
    described: bool,
) -> Iterator[tuple[LabelRow, bytes]]:
    """Yields the rows of spans whose photo can be opened, each with the look of the photo.

    `data_dir/.looks` keeps looks by the name and size of a photo. One that is missing or damaged is made
    again; if photos are `described`, so is one without a network's features, or with those of an older
    version.
    """
    for span, rows in spans.items():
        known, fresh = _Looks(), _Looks()
        with suppress(OSError, ValueError):
            known = msgspec.msgpack.decode(_find_file(data_dir, span).read_bytes(), type=_Looks)
        if described:
            known = {key: kept for key, kept in known.items() if not kept or len(kept) == SIDE * SIDE + SIZE}
        for row in rows:
            with suppress(RowRejected):
                key = _make_key(span, row.photo)
                fresh[key] = known[key] if key in known else look(span.read(row.photo))
                if photo_look := fresh[key]:
                    yield row, photo_look
        if fresh != known:
            _write(data_dir, span, fresh)


def keep_looks(data_dir: Path, span: PhotoSpan, looks: Mapping[str, bytes | None]) -> None:
    """Keeps the looks of a new span, by the names of its photos."""
    _write(data_dir, span, {_make_key(span, photo): look for photo, look in looks.items()})


def _find_file(data_dir: Path, span: Span) -> Path:
    return data_dir / ".looks" / f"{span.name}.msgpack"


def _make_key(span: PhotoSpan, photo: str) -> str:
    return f"{photo} {span.resolve(photo).stat().st_size}"


def _write(data_dir: Path, span: Span, looks: _Looks) -> None:
    with suppress(OSError):  # the looks are made again next time
        _find_file(data_dir, span).parent.mkdir(exist_ok=True)
        replace_file(_find_file(data_dir, span), msgspec.msgpack.encode(looks))
