"""Reads the examples that may be suggested, and labelled ones, with features that no label went into."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from data.importers.detection import find_unlabelled
from data.importers.known_photos import KnownPhotos, hash_photo
from data.importers.source import RefusedPhoto
from data.photos.labels_file import PhotoSpan, read_labels
from data.photos.thumbnails import read_usable_look
from data.settings import DataSettings
from data.spans.corrections import correct_label, read_corrections
from data.spans.layout import Span
from data.spans.source import Rejected, Row, Source, load_source
from edgeline.edge.interpreter import preprocess
from edgeline.prediction.inputs import Input, answer, find_inputs, read_inputs
from edgeline.records.events import Counted, report
from edgeline.records.rejection import RowRejected
from edgeline.records.workload import Workload
from edgeline.runtime import Answer, Bundle
from edgeline.tables.decoder_process import DecoderProcess
from edgeline.tables.files import open_table
from runners.suggest.strategy import Floats, reduce_features

# Labelled examples by which the gain is estimated, of the newest window; a photo takes 25 ms.
_MOST_LABELLED = 1_500
_AT_ONCE, _A_MESSAGE = 64, 50
# Limits of the process that decodes a photo.
_SECONDS, _GIGABYTES = 10, 2


class Features:
    """Collects what features are computed from: pixels of photos, a model's input from rows, or texts."""

    def __init__(self, kind: str) -> None:
        self._kind, self._waiting = kind, list[Any]()
        self._finished: list[Floats] = []

    def add(self, content: Any) -> None:
        """Adds an example; photos are computed now and then, so that few stay in memory."""
        self._waiting.append(content)
        if self._kind == "image" and len(self._waiting) == _AT_ONCE:
            self._embed()

    def reduce(self) -> Floats:
        """Returns features of all examples in their order, [n, features], see `reduce_features`."""
        if self._kind == "tokens":
            from sklearn.feature_extraction.text import TfidfVectorizer

            return reduce_features(TfidfVectorizer(sublinear_tf=True).fit_transform(self._waiting))
        if self._kind == "row":
            return reduce_features(np.stack(self._waiting))
        if self._waiting:
            self._embed()
        return reduce_features(np.concatenate(self._finished))

    def _embed(self) -> None:
        from trainer_module.networks.photo_features import embed_photos

        self._finished.append(embed_photos(self._waiting))
        self._waiting.clear()


@dataclass(frozen=True)
class Candidate:
    """An example without a label that may be suggested."""

    place: str
    cells: Mapping[str, str]  # of its row, as an import reads them, without the label
    answer: Answer
    digest: str
    photo: Path | None = None

    @property
    def margin(self) -> float:
        """Returns the difference of the two highest probabilities."""
        first, second, *_ = self.answer.ranked.values()
        return first - second


@dataclass
class Pool:
    """The candidates of a source, and what was left out of it."""

    candidates: list[Candidate] = field(default_factory=list)
    labelled: int = 0  # left out since a span has them with a label
    repeated: int = 0  # left out since they came before
    problems: list[str] = field(default_factory=list)  # left out since they cannot be read, with the reason

    @property
    def found(self) -> int:
        """Returns the number of examples that could be read."""
        return len(self.candidates) + self.labelled + self.repeated


def read_candidates(
    src: Path, bundle: Bundle, workload: Workload, spans: Sequence[Span], features: Features
) -> Pool:
    """Reads all examples of a source that no span has with a label, and answers them.

    Raises:
        UsageError: It has no example of the model's kind.
        DataRefused: It cannot be read.
    """
    pool, seen = Pool(), set[str]()
    if bundle.contract.get("kind", "image") == "image":
        offers = _read_photos(src, bundle, spans, pool)
    else:
        offers = _read_rows(src, bundle, workload, spans, pool)
    for candidate, content in offers:
        if candidate.digest in seen:
            pool.repeated += 1
            continue
        seen.add(candidate.digest)
        # The input of the models is large.
        bare = replace(candidate.answer, tensor=candidate.answer.tensor[:0])
        pool.candidates.append(replace(candidate, answer=bare))
        features.add(content)
    return pool


def _read_photos(
    src: Path, bundle: Bundle, spans: Sequence[Span], pool: Pool
) -> Iterator[tuple[Candidate, Any]]:
    source, root = find_unlabelled(src), src if src.is_dir() else src.parent
    known = KnownPhotos({PhotoSpan.of(span): read_labels(span) for span in spans})
    with closing(DecoderProcess(read_usable_look, _SECONDS, _GIGABYTES)) as decode:
        for number, photo in enumerate(source.offers, 1):
            _count("photos", number, source.count)
            if isinstance(photo, RefusedPhoto):
                pool.problems.append(f"{photo.where}: {photo.reason}")
                continue
            digest = hash_photo(photo.data)
            if (match := known.find(photo.data, digest)) and match[1].label:
                pool.labelled += 1
                continue
            try:
                look = decode(photo.data)
            except RowRejected as rejected:
                pool.problems.append(f"{photo.where}: {rejected.detail}")
                continue
            example, found = answer(Input(photo.where, photo.data), bundle)
            if look is None or found is None:
                pool.problems.append(f"{photo.where}: {example.problem or 'It cannot be opened.'}")
                continue
            names = ("lane_id", "session_id", "captured_at", "split")
            cells = {name: value for name in names if (value := getattr(photo, name))}
            name = photo.name.replace("\\", "/")
            path = next((path for path in (root / name, root / "photos" / name) if path.exists()), root)
            yield Candidate(photo.where, cells, found, digest, path), look[1]


def _read_rows(
    src: Path, bundle: Bundle, workload: Workload, spans: Sequence[Span], pool: Pool
) -> Iterator[tuple[Candidate, Any]]:
    source = load_source(workload.source).open_source(workload, DataSettings())
    read = partial(_read_originals, source, contract=bundle.contract)
    known = {_digest(content) for span in spans for content in read(span, _list_rows(source, span)).values()}
    for path in find_inputs(src, bundle.contract):
        cells = dict(_read_cells(path)) if path.suffix.lower() != ".txt" else {}
        for number, example in enumerate(read_inputs(path, bundle.contract), 1):
            _count(workload.nouns, number, len(cells))
            example, found = answer(example, bundle)
            if found is None:
                pool.problems.append(f"{example.place}: {example.problem}")
                continue
            content = _prepare(example.content, bundle.contract)
            if (digest := _digest(content)) in known:
                pool.labelled += 1
                continue
            own = cells.get(example.place) or {bundle.contract["input"]: content}  # a .txt file
            own = {name: cell for name, cell in own.items() if name != workload.label_column}
            yield Candidate(example.place, own, found, digest), content


def _read_cells(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields the place of each row of a table, and all of its cells."""
    with TemporaryDirectory() as scratch:
        table = open_table(str(path), Path(scratch))
        rows = table.rows(list(filter(None, table.header)))
        yield from (item for item in rows if not isinstance(item, Rejected))


def _prepare(content: Any, contract: Mapping[str, Any]) -> Any:
    """Returns what features are computed from: a text, or the model's input from a row."""
    if contract.get("kind") == "row":
        return preprocess(content, contract).ravel()
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else content


def _digest(content: Any) -> str:
    """Returns a digest that equal rows, and texts that differ in case or blanks, have in common."""
    is_text = isinstance(content, str)
    raw = " ".join(content.casefold().split()).encode(errors="replace") if is_text else content.tobytes()
    return hashlib.sha256(raw).hexdigest()


def _list_rows(source: Source, span: Span) -> list[Row]:
    return [item for item in source.rows(span) if isinstance(item, Row)]


def _read_originals(
    source: Source, span: Span, rows: Sequence[Row], contract: Mapping[str, Any]
) -> dict[str, Any]:
    originals = source.originals(span, {row.id for row in rows})
    return {id: _prepare(content, contract) for id, content in originals}


def _count(nouns: str, number: int, total: int | None) -> None:
    if number % _A_MESSAGE == 0 and total:
        report(Counted(nouns, number, total))


@dataclass
class Labelled:
    """Labelled examples; each list has an entry for each of them."""

    labels: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    slices: list[str] = field(default_factory=list)
    total: int = 0  # of the window, of which they are a sample


def read_labelled(
    spans: Sequence[Span],
    workload: Workload,
    settings: DataSettings,
    contract: Mapping[str, Any],
    features: Features,
    slice_feature: str,
) -> Labelled:
    """Reads a sample of the labelled examples of a window, with the values of a feature as slices.

    Raises:
        DataRefused: A span cannot be read.
    """
    labelled, source = Labelled(), load_source(workload.source).open_source(workload, settings)
    rows: list[tuple[Span, Row]] = []
    for span in spans:
        corrections = read_corrections(span)
        rows += [(span, correct_label(row, corrections, workload.labels)) for row in _list_rows(source, span)]
    labelled.total = len(rows)
    random = np.random.default_rng(0)
    sample = [rows[place] for place in sorted(random.permutation(len(rows))[:_MOST_LABELLED])]
    is_photo, contents = contract.get("kind", "image") == "image", dict[tuple[str, str], Any]()
    if not is_photo:
        for span in spans:
            of_span = [row for where, row in sample if where is span]
            read = _read_originals(source, span, of_span, contract)
            contents |= {(span.name, id): content for id, content in read.items()}
    with closing(source):
        for number, (span, row) in enumerate(sample, 1):
            _count(f"labelled {workload.nouns}", number, len(sample))
            try:
                example = source.example(span, row)
                content = example.pixels if is_photo else contents[span.name, row.id]
            except (RowRejected, KeyError):  # a run leaves it out too
                continue
            features.add(content)
            labelled.labels.append(row.label)
            labelled.groups.append(row.group or f"{span.name}/{row.id}")
            labelled.slices.append(str(example.features.get(slice_feature, "")))
    return labelled
