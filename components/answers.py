"""The answers of candidate and production model to each eval example, in the Evaluator's artifact."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from edgeline.gates.answers import Answers
from edgeline.records.workload import Workload

PREFIX = "answers"  # of the names of the files
MODELS = ("candidate", "baseline")
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("group", pa.string()),
        ("label", pa.int64()),
        *((model, pa.list_(pa.float32())) for model in MODELS),
        ("features", pa.list_(pa.string())),
        ("values", pa.list_(pa.string())),
    ]
)


def read_answers(evaluation: Path, workload: Workload) -> Answers:
    """Reads the answers that the Evaluator wrote.

    They are in the order of the examples' ids, whatever the number of workers.
    """
    table = pa.concat_tables(pq.read_table(path) for path in sorted(evaluation.glob(f"{PREFIX}-*.parquet")))
    table = table.sort_by("id").combine_chunks()
    candidate = _stack_lists(table["candidate"])
    baseline = None if table["baseline"].null_count else _stack_lists(table["baseline"])
    width = max(answers.shape[1] for answers in (candidate, baseline) if answers is not None)
    features, feature_codes = _encode(pc.list_flatten(table["features"]))
    values, value_codes = _encode(pc.list_flatten(table["values"]))
    examples = pc.list_parent_indices(table["features"]).to_numpy()
    slices: dict[tuple[str, str], NDArray[np.int64]] = {}
    for kind in [kind for kind, feature in workload.slice_features.items() if feature in features]:
        rows = np.flatnonzero(feature_codes == features.index(workload.slice_features[kind]))
        rows = rows[np.argsort(value_codes[rows], kind="stable")]
        codes, starts = np.unique(value_codes[rows], return_index=True)
        if kind != "class":
            parts = np.split(examples[rows], starts[1:])
            by_name = dict(zip((values[code] for code in codes), parts, strict=True))
            slices |= {(kind, name): by_name[name] for name in sorted(by_name)}
    groups, group_codes = _encode(table["group"])
    group_names, number_of = np.unique(groups, return_inverse=True)
    return Answers(
        classes=workload.labels,
        normal=workload.labels.index(workload.normal) if workload.normal else None,
        labels=table["label"].to_numpy(),
        groups=number_of[group_codes],
        candidate=_pad(candidate, width),
        baseline=None if baseline is None else _pad(baseline, width),
        slices=slices,
        group_names=tuple(group_names.tolist()),
        ids=tuple(table["id"].to_pylist()),
    )


def _stack_lists(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """Returns lists of one length as an array [n, length]."""
    values = pc.list_flatten(column).to_numpy()
    return values.reshape(len(column), len(values) // max(1, len(column)))


def _encode(column: pa.ChunkedArray) -> tuple[list[str], NDArray[np.int64]]:
    """Returns the distinct texts of a column, and the position among them of each row's text."""
    encoded = column.dictionary_encode().combine_chunks()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy()


def _pad(rows: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Pads rows to `width`: a class that a model does not know has the probability 0."""
    return np.pad(rows, ((0, 0), (0, width - rows.shape[1])))
