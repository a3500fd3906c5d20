"""What the near twins of photos in earlier spans are told by, kept so that they need not be decoded again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from data.photos.labels_file import LabelRow, PhotoSpan
from data.photos.likeness import SIDE
from data.spans.layout import Span, write_whole
from data.spans.rejection import RowRejected
from records.seen_photo import SIZE

_Looks = dict[str, bytes | None]


def known_looks(
    data_dir: Path,
    spans: Mapping[PhotoSpan, Sequence[LabelRow]],
    look: Callable[[bytes], bytes | None],
    described: bool,
) -> Iterator[tuple[LabelRow, bytes]]:
    """The rows of spans whose photo can be opened, and its look.

    `data_dir/.looks` remembers them by a photo's name and size; one that is missing or damaged is made again,
    and so is one without what a network saw, or with what it said in an earlier version, where photos are
    `described`.
    """
    for span, rows in spans.items():
        known, fresh = _Looks(), _Looks()
        with suppress(OSError, ValueError):
            known = msgspec.msgpack.decode(_file(data_dir, span).read_bytes(), type=_Looks)
        if described:
            known = {key: seen for key, seen in known.items() if not seen or len(seen) == SIDE * SIDE + SIZE}
        for row in rows:
            with suppress(RowRejected):
                key = _key(span, row.photo)
                fresh[key] = known[key] if key in known else look(span.read(row.photo))
                if seen := fresh[key]:
                    yield row, seen
        if fresh != known:
            _write(data_dir, span, fresh)


def keep_looks(data_dir: Path, span: PhotoSpan, looks: Mapping[str, bytes | None]) -> None:
    """Remembers those of a new span, by the names of its photos."""
    _write(data_dir, span, {_key(span, photo): look for photo, look in looks.items()})


def _file(data_dir: Path, span: Span) -> Path:
    return data_dir / ".looks" / f"{span.name}.msgpack"


def _key(span: PhotoSpan, photo: str) -> str:
    return f"{photo} {span.resolve(photo).stat().st_size}"


def _write(data_dir: Path, span: Span, looks: _Looks) -> None:
    with suppress(OSError):  # then they are made again
        _file(data_dir, span).parent.mkdir(exist_ok=True)
        write_whole(_file(data_dir, span), msgspec.msgpack.encode(looks))
