"""Raw features of examples as arrays in memory, for simple models."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from components.transformed_examples import read_label, read_raw_features
from edgeline.records.features import list_values
from edgeline.records.photo_features import read_features
from edgeline.records.workload import Workload
from trainer_module.raw_features import first_text

_AT_ONCE = 1_000
# Numbers of a table that are read of the train split at most, 120 MB.
_MOST_CELLS = 30_000_000


@dataclass(frozen=True)
class Rows:
    """The n examples of a split."""

    ids: list[str]
    labels: NDArray[np.int64]  # [n]
    groups: NDArray[np.object_]  # [n], the session, machine or author; its id for an example without one
    # Texts, or features of photos or columns of a table, float32 [n, columns]; None if there is neither.
    features: Any
    kind: Literal["texts", "photos", "table"]
    categories: tuple[int, ...] = ()  # columns of a table with codes; -1 for a text that train does not have

    def take(self, most: int) -> "Rows":
        """Returns the first examples, a random sample of the split."""
        features = None if self.features is None else self.features[:most]
        first = self.ids[:most], self.labels[:most], self.groups[:most]
        return Rows(*first, features, self.kind, self.categories)


class RowReader:
    """A reader of splits, train first: eval has the columns of train and the codes of its categories.

    A feature with several values, such as a window of readings, has as many columns.
    """

    def __init__(self, workload: Workload, quarantine: Path) -> None:
        self._workload = workload
        self._by_photo: Mapping[str, NDArray[np.float16]] = read_features(quarantine)
        self._content = workload.unmeasured[0] if len(workload.unmeasured) == 1 else None
        self._columns = [name for name in (*workload.numbers, *workload.categories) if name in workload.reads]
        self._widths: dict[str, int] = {}
        self._codes: dict[str, dict[str, int]] = {name: {} for name in workload.categories}

    def read(self, folder: str, most: int | None = None) -> Rows:
        """Reads the first `most` examples, or fewer if there are many columns; shards are by digest."""
        workload = self._workload
        ids: list[str] = []
        labels: list[int] = []
        groups: list[str] = []
        blocks: list[Any] = []
        rest = read_raw_features(folder)
        while examples := list(islice(rest, _AT_ONCE if most is None else min(_AT_ONCE, most - len(ids)))):
            names = [first_text(example[workload.id]) for example in examples]
            if self._by_photo and most is not None:  # the features of a sample are kept
                places = [i for i, name in enumerate(names) if name in self._by_photo]
                examples = [examples[i] for i in places]
                names = [names[i] for i in places]
            ids += names
            labels += [read_label(example, workload) for example in examples]
            groups += [
                first_text(example[workload.group]) or name
                for example, name in zip(examples, names, strict=True)
            ]

            blocks.append(self._read_features(examples, names, is_train=most is not None))
            if most is not None and self._widths:
                most = min(most, _MOST_CELLS // sum(self._widths.values()))
            if most is not None and len(ids) >= most:
                break

        return self._join((ids, np.array(labels, np.int64), np.array(groups, object)), blocks)

    def _join(self, about: tuple[Any, Any, Any], blocks: Sequence[Any]) -> Rows:
        """Returns the rows of batches; `about` are their ids, labels and groups."""
        if not blocks or any(block is None for block in blocks):
            return Rows(*about, None, "table")
        if self._by_photo:
            return Rows(*about, np.concatenate(blocks), "photos")
        if self._content is not None:
            return Rows(*about, [text for block in blocks for text in block], "texts")
        return Rows(*about, np.concatenate(blocks), "table", tuple(self._find_categories()))

    def _read_features(self, examples: Sequence[Any], names: Sequence[str], is_train: bool) -> Any:
        """Returns the features of a batch; None if there is nothing that a simple model reads."""
        if self._by_photo:
            if any(name not in self._by_photo for name in names):
                return None
            return np.stack([self._by_photo[name] for name in names]).astype(np.float32)
        if self._content is not None:
            try:
                return [b" ".join(list_values(example[self._content])).decode() for example in examples]
            except (TypeError, UnicodeDecodeError):  # not a text
                return None
        if not self._columns:
            return None
        return np.concatenate([self._read_column(examples, name, is_train) for name in self._columns], 1)

    def _read_column(self, examples: Sequence[Any], name: str, is_train: bool) -> NDArray[np.float32]:
        if name in self._codes:
            codes = self._codes[name]
            texts = [first_text(example[name]) for example in examples]
            values = [
                [codes.setdefault(text, len(codes)) if is_train else codes.get(text, -1)] for text in texts
            ]
        else:
            values = [list_values(example[name]) for example in examples]
        width = self._widths.setdefault(name, max(1, max(map(len, values))))
        column = np.full((len(values), width), np.nan, np.float32)
        for row, value in zip(column, values, strict=True):
            row[: len(value)] = value[:width]
        return column

    def _find_categories(self) -> Iterator[int]:
        start = 0
        for name in self._columns:
            if name in self._codes:
                yield start
            start += self._widths[name]
