"""Reads the examples that may be suggested, and labelled ones, with what their features are computed from."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from data.importers.known_photos import KnownPhotos, hash_photo, read_corrected
from data.photos.labels_file import PhotoSpan
from data.photos.source import make_decoder
from data.photos.thumbnails import read_look
from data.settings import DataSettings
from data.spans.corrections import correct_label, read_corrections
from data.spans.layout import Span
from data.spans.source import Row, Source, load_source
from data.texts.source import digest_text
from edgeline.edge.contracts.row import list_columns
from edgeline.edge.interpreter import preprocess
from edgeline.prediction.inputs import Input, answer, find_inputs, read_inputs
from edgeline.records.events import Counted, report
from edgeline.records.rejection import Rejected, RowRejected
from edgeline.records.workload import Workload
from edgeline.runtime import Answer, Bundle
from edgeline.tables.files import check_columns, open_table
from edgeline.tables.unpacking import TABLES
from runners.suggest.strategy import Floats, reduce_features

# Labelled examples that estimate the gain; a photo takes 25 ms.
_MOST_LABELLED = 1_500
_TOPICS, _A_MESSAGE = 128, 50
_PHOTO = "photo"


@dataclass(frozen=True)
class Candidate:
    """An example without a label that may be suggested."""

    place: str
    cells: Mapping[str, str]  # of its row, by column
    answer: Answer  # without the tensor, which is large
    content: Any  # what features are computed from: pixels of a photo, a model's input from a row, a text
    digest: str
    photo: Path | None  # its file


@dataclass
class Pool:
    """The candidates of a source, and the number of those that were left out."""

    candidates: list[Candidate] = field(default_factory=list)
    labelled: int = 0  # a span has them with a label
    repeated: int = 0  # they came before
    problems: list[str] = field(default_factory=list)  # the places that cannot be read, with the reason


@dataclass(frozen=True)
class Labelled:
    """A labelled example."""

    content: Any
    label: str
    group: str
    slice: str


def compute_features(contract: Mapping[str, Any], contents: Sequence[Any]) -> Floats:
    """Returns features that know no label, [n, features], see `reduce_features`."""
    if contract.get("kind") == "row":
        return reduce_features(np.stack(contents))
    if contract.get("kind") == "tokens":
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        words = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\S+").fit_transform(contents)
        topics = TruncatedSVD(max(1, min(_TOPICS, words.shape[1] - 1)), random_state=0)
        return reduce_features(topics.fit_transform(words))
    from trainer_module.networks.photo_features import embed_photos

    return reduce_features(embed_photos(contents))


def read_candidates(
    src: Path, bundle: Bundle, workload: Workload, settings: DataSettings, spans: Sequence[Span]
) -> Pool:
    """Reads and answers all examples of a source that no span has with a label.

    Raises UsageError if it has no example of the model's kind, DataRefused if a table or span cannot be read.
    """
    pool, digests, is_photo = Pool(), set[str](), _is_photo(bundle.contract)
    is_known = _index_photos(spans) if is_photo else _index_rows(spans, workload, settings, bundle.contract)
    read_files = _read_photos if is_photo else _read_rows
    decode_look = partial(read_look, limits=settings)
    with closing(make_decoder(decode_look, settings)) as decode:
        for example, cells in read_files(src, bundle.contract):
            if example.problem:
                pool.problems.append(f"{example.place}: {example.problem}")
                continue
            content = example.content if is_photo else _prepare(example.content, bundle.contract)
            digest = hash_photo(content) if is_photo else _digest(content)
            if is_known(content, digest) or digest in digests:
                pool.repeated += digest in digests
                pool.labelled += digest not in digests
                continue
            digests.add(digest)
            if is_photo:
                try:
                    _, content = decode(content) or (None, None)
                except RowRejected as rejected:
                    example = replace(example, problem=rejected.detail)
            example, result = answer(example, bundle)
            if result is None or content is None:
                pool.problems.append(f"{example.place}: {example.problem or 'It is too large.'}")
                continue
            own = {name: cell for name, cell in cells.items() if name not in (_PHOTO, workload.label_column)}
            bare, photo = replace(result, tensor=result.tensor[:0]), Path(example.place) if is_photo else None
            pool.candidates.append(Candidate(example.place, own, bare, content, digest, photo))
    pool.candidates.sort(key=lambda candidate: candidate.digest)  # suggestions do not depend on names
    return pool


def read_labelled(
    spans: Sequence[Span],
    workload: Workload,
    settings: DataSettings,
    contract: Mapping[str, Any],
    slice_feature: str,
) -> tuple[list[Labelled], int]:
    """Reads a sample of the labelled examples of a window; returns it and their number.

    Raises DataRefused if a span cannot be read.
    """
    source = load_source(workload.source).open_source(workload, settings)
    rows: list[tuple[Span, Row]] = []
    for span in spans:
        corrections = read_corrections(span)
        rows += [(span, correct_label(row, corrections, workload.labels)) for row in _list_rows(source, span)]
    sample = sorted(np.random.default_rng(0).permutation(len(rows))[:_MOST_LABELLED])
    contents = {} if _is_photo(contract) else _read_originals(source, spans, contract)
    examples = []
    with closing(source):
        for span, row in _track(f"labelled {workload.nouns}", [rows[place] for place in sample]):
            try:
                example = source.example(span, row)
                content = example.pixels if _is_photo(contract) else contents[span.name, row.id]
            except (RowRejected, KeyError):  # a run leaves it out too
                continue
            group, value = row.group or f"{span.name}/{row.id}", str(example.features.get(slice_feature, ""))
            examples.append(Labelled(content, row.label, group, value))
    return examples, len(rows)


def _is_photo(contract: Mapping[str, Any]) -> bool:
    return bool(contract.get("kind", "image") == "image")


def _index_photos(spans: Sequence[Span]) -> Callable[[bytes, str], bool]:
    photos = KnownPhotos({PhotoSpan.of(span): read_corrected(span) for span in spans})
    return lambda content, digest: photos.find(content, digest) is not None


def _index_rows(
    spans: Sequence[Span], workload: Workload, settings: DataSettings, contract: Mapping[str, Any]
) -> Callable[[Any, str], bool]:
    source = load_source(workload.source).open_source(workload, settings)
    digests = set(map(_digest, _read_originals(source, spans, contract).values()))
    return lambda content, digest: digest in digests


def _read_photos(src: Path, contract: Mapping[str, Any]) -> Iterator[tuple[Input, Mapping[str, str]]]:
    """Yields the photos of a folder, or those that a table lists by paths relative to its folder."""
    listed: list[tuple[Path, Mapping[str, str]]] = []
    if src.name.lower().endswith(TABLES):
        for cells in _read_cells(src, (_PHOTO,), (_PHOTO,)).values():
            paths = [folder / cells[_PHOTO] for folder in (src.parent, src.parent / "photos")]
            listed.append((next((path for path in paths if path.is_file()), paths[0]), cells))
    for path, cells in _track("photos", listed or [(path, {}) for path in find_inputs(src, contract)]):
        try:
            yield next(read_inputs(path, contract)), cells
        except OSError as error:
            yield Input(str(path), problem=error.strerror or str(error)), cells


def _read_rows(src: Path, contract: Mapping[str, Any]) -> Iterator[tuple[Input, Mapping[str, str]]]:
    text = contract.get("column", "text")
    columns = list_columns(contract) if contract.get("kind") == "row" else [text]
    for path in find_inputs(src, contract):
        cells = None if path.suffix.lower() == ".txt" else _read_cells(path, columns)
        for example in read_inputs(path, contract):
            if cells is None:  # the file is one text, and has no rows
                yield example, {text: _prepare(example.content, contract)}
            else:
                yield example, cells.get(example.place, {})


def _read_cells(path: Path, columns: Sequence[str], needed: Sequence[str] = ()) -> dict[str, dict[str, str]]:
    """Reads all cells of a table by the place of the row; by `columns` it is opened as `read_inputs` does."""
    with TemporaryDirectory() as scratch:
        table = open_table(str(path), Path(scratch), columns)
        check_columns(table, needed)
        rows = table.rows(list(filter(None, table.header)), any_json=True)
        return dict(item for item in rows if not isinstance(item, Rejected))


def _list_rows(source: Source, span: Span) -> list[Row]:
    return [item for item in source.rows(span) if isinstance(item, Row)]


def _read_originals(
    source: Source, spans: Sequence[Span], contract: Mapping[str, Any]
) -> dict[tuple[str, str], Any]:
    return {
        (span.name, id): _prepare(content, contract)
        for span in spans
        for id, content in source.originals(span, {row.id for row in _list_rows(source, span)})
    }


def _prepare(content: Any, contract: Mapping[str, Any]) -> Any:
    """Returns what features are computed from: the model's input from a row, or a text."""
    if contract.get("kind") == "row":
        return preprocess(content, contract).ravel()
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else content


def _digest(content: Any) -> str:
    """Returns a digest that equal rows, and texts that a run takes for copies, have in common."""
    return digest_text(content) if isinstance(content, str) else hashlib.sha256(content.tobytes()).hexdigest()


def _track(nouns: str, items: Sequence[Any]) -> Iterator[Any]:
    for number, item in enumerate(items, 1):
        yield item
        if number % _A_MESSAGE == 0:
            report(Counted(nouns, number, len(items)))
