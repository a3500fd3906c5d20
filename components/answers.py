"""The answers of candidate and production model to each eval example, written while TFMA evaluates them.

TFMA's own confidence intervals are not a substitute: its bootstrap and its jackknife take no seed from a
config, so that a verdict could change from run to run, and neither covers metrics counted from confusion
matrices.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import tensorflow_model_analysis as tfma
from apache_beam.options.pipeline_options import PipelineOptions
from numpy.typing import NDArray

from data.spans.tfrecords import format_value
from edgeline.gates.answers import Answers, name_own_group
from edgeline.records.workload import Workload

# TFX's executor finds `extractors` by this name.
EXTRACTORS = "components.answers.extractors"
_MODELS = ("candidate", "baseline")
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("group", pa.string()),
        ("label", pa.int64()),
        *((model, pa.list_(pa.float32())) for model in _MODELS),
        ("features", pa.list_(pa.string())),
        ("values", pa.list_(pa.string())),
    ]
)


class _Options(PipelineOptions):
    """The parameters of `extractors`, as options of the pipeline: TFX passes them no arguments of ours."""

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        parser.add_argument("--answers_prefix")
        parser.add_argument("--answers_id")
        parser.add_argument("--answers_group")


def make_beam_flags(evaluation: str, workload: Workload) -> list[str]:
    """Returns the Beam flags that have the answers written below the folder of TFMA's results."""
    names = (f"--answers_id={workload.id}", f"--answers_group={workload.group}")
    return [f"--answers_prefix={evaluation}/answers", *names]


def extractors(eval_shared_model: Any, eval_config: Any, tensor_adapter_config: Any) -> list[Any]:
    """Returns TFMA's extractors, and one that writes what they extract."""
    defaults = tfma.default_extractors(
        eval_shared_model=eval_shared_model,
        eval_config=eval_config,
        tensor_adapter_config=tensor_adapter_config,
    )
    return [*defaults, tfma.extractors.Extractor("WriteAnswers", _WriteAnswers())]


class _WriteAnswers(beam.PTransform):
    def expand(self, extracts: Any) -> Any:
        options = extracts.pipeline.options.view_as(_Options)
        _ = (
            extracts
            | beam.Map(_make_row, options.answers_id, options.answers_group)
            | beam.io.WriteToParquet(options.answers_prefix, _SCHEMA, file_name_suffix=".parquet")
        )
        return extracts


def _make_row(extracts: Mapping[str, Any], id: str, group: str) -> dict[str, Any]:
    """Returns one row of the file, with the candidate's labels: a model in production may know fewer."""
    slices = [pair for key in extracts[tfma.SLICE_KEY_TYPES_KEY] for pair in key]
    features = extracts[tfma.FEATURES_KEY]
    name = format_value(np.ravel(features[id])[0])
    groups = [format_value(value) for value in np.ravel(features.get(group, ())) if value]
    labels, predictions = extracts[tfma.LABELS_KEY], extracts[tfma.PREDICTIONS_KEY]
    # TFMA leaves the names of models out where there is only one.
    by_model = predictions if isinstance(predictions, Mapping) else {"candidate": predictions}
    return {
        "id": name,
        # An example without a group is a group of its own.
        "group": groups[0] if groups else name_own_group(name),
        "label": int(np.ravel(labels["candidate"] if isinstance(labels, Mapping) else labels)[0]),
        **{model: np.ravel(by_model[model]).tolist() if model in by_model else None for model in _MODELS},
        "features": [feature for feature, _ in slices],
        "values": [format_value(value) for _, value in slices],
    }


def read_answers(evaluation: Path, workload: Workload, without: Sequence[str] = ()) -> Answers:
    """Reads the answers that `extractors` wrote, but for examples whose ids are in `without`.

    They are in the order of the examples' ids, whatever the number of workers.
    """
    table = pa.concat_tables(pq.read_table(path) for path in sorted(evaluation.glob("answers-*.parquet")))
    table = table.filter(pc.invert(pc.is_in(table["id"], pa.array(without, pa.string()))))
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
            slices |= {(kind, values[code]): part for code, part in zip(codes, parts, strict=True)}
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
