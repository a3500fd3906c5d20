"""The raw inputs of a few eval examples, kept by ingest in the folder `originals` of the Examples.

EdgeValidator preprocesses them as a phone does; on a cluster it has no data folder. For the same reason, the
folder `originals` beside the quarantine has those of a few examples that phones had answered.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from data.spans.layout import Span
from data.spans.source import Source
from edgeline.records.edge import ORIGINALS, ORIGINALS_FOLDER, Original
from edgeline.records.served import Answer

# The most of a label, and the most in all where there are many labels; each label has at least one.
MOST_OF_LABEL, _MOST = 20, 200
# Answers of one device with one file of one version.
_MOST_OF_DEVICE = 5
# This limits the size of photos; the first of each label or device is kept whatever its size.
_MOST_BYTES = 32 * 2**20

# An eval example: its label, the name of its span, and its id.
Named = tuple[str, str, str]


def choose_originals(shards: Iterable[Sequence[Named]], labels: Sequence[str]) -> dict[str, list[Named]]:
    """Chooses eval examples to keep the raw inputs of, newest span first, so that few spans are read again.

    The order within a span is that of the shards, which is by a digest and therefore random.
    """
    by_span: dict[str, list[Named]] = {}
    for shard in shards:
        for named in shard:
            by_span.setdefault(named[1], []).append(named)
    counts = Counter[str]()
    chosen = dict[str, list[Named]]()
    for span in sorted(by_span, reverse=True):
        ranked = []
        for named in by_span[span]:
            if counts[named[0]] < max(1, min(MOST_OF_LABEL, _MOST // len(labels))):
                ranked.append((counts[named[0]], named))
                counts[named[0]] += 1
        if ranked:  # the first of each label before any second one
            chosen[span] = [named for _, named in sorted(ranked, key=lambda item: item[0])]
    return chosen


def choose_answers(answers: Iterable[Answer]) -> list[Answer]:
    """Chooses answers whose scores are computed again, the last ones of each device with each file."""
    counts = Counter[tuple[int, str, str]]()
    chosen = list[Answer]()
    for answer in reversed(dict.fromkeys(answers)):  # a device may send one twice
        key = answer.version, answer.variant, answer.device
        if counts[key] < _MOST_OF_DEVICE and len(chosen) < _MOST:
            counts[key] += 1
            chosen.append(answer)
    return chosen


def write_originals(
    examples: Path, chosen: Mapping[str, Sequence[Named]], spans: Sequence[Span], source: Source
) -> None:
    """Writes the raw inputs of the chosen examples below the folder of the Examples, where there are any.

    Args:
        examples: The folder of the artifact, or that of the quarantine for answers of phones.
        chosen: The examples by name of their span.
        spans: All spans of the window.
        source: The one that read the rows, which is closed; for one without `originals`, nothing is written.
    """
    if not hasattr(source, "originals"):
        return
    folder = examples / ORIGINALS_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with closing(source):
        ORIGINALS.write(folder, _read_originals(folder, chosen, {span.name: span for span in spans}, source))


def _read_originals(
    folder: Path, chosen: Mapping[str, Sequence[Named]], spans: Mapping[str, Span], source: Source
) -> Iterator[Original]:
    seen_labels = set[str]()
    size = 0
    for name, examples in chosen.items():
        labels = {id: label for label, _, id in examples}
        for number, (id, content) in enumerate(source.originals(spans[name], list(labels))):
            if not isinstance(content, bytes):
                yield Original(f"{name}/{id}", content)
                continue
            size += len(content)
            if size > _MOST_BYTES and labels[id] in seen_labels:
                continue
            seen_labels.add(labels[id])
            file = f"{name}-{number:03d}"
            (folder / file).write_bytes(content)
            yield Original(f"{name}/{id}", file=file)
