"""What candidate and production model answer to each eval example, written in the pass in which TFMA asks.

And what models that the Trainer made on the way answered out of fold, as it left that.

TFMA's own confidence intervals do not serve: its bootstrap and its jackknife take no seed from a config, so
that a verdict could change from run to run, and neither knows of what is counted from confusion matrices.
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

from data.spans.tfrecords import as_text
from gates.answers import Answers
from records.edge import OUT_OF_FOLD
from records.workload import Workload

# How TFX's executor is told of `extractors`.
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
    """TFX calls `extractors` with nothing of ours: what they need to know travels with the pipeline."""

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        parser.add_argument("--answers_prefix")
        parser.add_argument("--answers_id")
        parser.add_argument("--answers_group")


def flags(evaluation: str, workload: Workload) -> list[str]:
    """Beam's flags with which the answers are written below the folder of TFMA's results."""
    names = (f"--answers_id={workload.id}", f"--answers_group={workload.group}")
    return [f"--answers_prefix={evaluation}/answers", *names]


def extractors(eval_shared_model: Any, eval_config: Any, tensor_adapter_config: Any) -> list[Any]:
    """TFMA's extractors, then one that writes down what these found."""
    found = tfma.default_extractors(
        eval_shared_model=eval_shared_model,
        eval_config=eval_config,
        tensor_adapter_config=tensor_adapter_config,
    )
    return [*found, tfma.extractors.Extractor("WriteAnswers", _WriteAnswers())]


class _WriteAnswers(beam.PTransform):
    def expand(self, extracts: Any) -> Any:
        options = extracts.pipeline.options.view_as(_Options)
        _ = (
            extracts
            | beam.Map(_answer, options.answers_id, options.answers_group)
            | beam.io.WriteToParquet(options.answers_prefix, _SCHEMA, file_name_suffix=".parquet")
        )
        return extracts


def _answer(extracts: Mapping[str, Any], id: str, group: str) -> dict[str, Any]:
    """One row of the file. A model in production may know fewer labels: the candidate's count."""
    slices = [pair for key in extracts[tfma.SLICE_KEY_TYPES_KEY] for pair in key]
    features = extracts[tfma.FEATURES_KEY]
    name = as_text(np.ravel(features[id])[0])
    labels, predictions = extracts[tfma.LABELS_KEY], extracts[tfma.PREDICTIONS_KEY]
    # TFMA leaves the names of models out where there is one.
    said = predictions if isinstance(predictions, Mapping) else {"candidate": predictions}
    return {
        "id": name,
        # What has no group is one of its own.
        "group": next((as_text(value) for value in np.ravel(features.get(group, ())) if value), _alone(name)),
        "label": int(np.ravel(labels["candidate"] if isinstance(labels, Mapping) else labels)[0]),
        **{model: np.ravel(said[model]).tolist() if model in said else None for model in _MODELS},
        "features": [feature for feature, _ in slices],
        "values": [as_text(value) for _, value in slices],
    }


def _alone(name: str) -> str:
    return f"alone {name}"


def read_out_of_fold(model_run: Path, workload: Workload) -> Answers | None:
    """What the Trainer left of examples that a model had not learned from, by id; None where it left none."""
    lines = sorted(OUT_OF_FOLD.read(model_run), key=lambda line: line.example_id)
    if not lines:
        return None
    slices: dict[tuple[str, str], list[int]] = {}
    for number, line in enumerate(lines):
        spans = {"span": str(line.span)} if line.span is not None else {}
        for key in {**line.slices, **spans}.items():
            slices.setdefault(key, []).append(number)
    names, groups = np.unique([line.group or _alone(line.example_id) for line in lines], return_inverse=True)
    said = np.array([line.probabilities for line in lines], np.float32)  # None becomes NaN
    return Answers(
        classes=workload.labels,
        normal=workload.labels.index(workload.normal) if workload.normal else None,
        labels=np.array([workload.labels.index(line.label) for line in lines]),
        groups=groups,
        candidate=said,
        baseline=None,
        slices={key: np.array(slices[key]) for key in sorted(slices)},
        group_names=tuple(names.tolist()),
    )


def read_answers(evaluation: Path, workload: Workload, without: Sequence[str] = ()) -> Answers:
    """What `extractors` wrote, in the order of the examples' ids, which no number of workers changes.

    Examples of the ids in `without` are left out.
    """
    table = pa.concat_tables(pq.read_table(path) for path in sorted(evaluation.glob("answers-*.parquet")))
    table = table.filter(pc.invert(pc.is_in(table["id"], pa.array(without, pa.string()))))
    table = table.sort_by("id").combine_chunks()
    candidate = _rows(table["candidate"])
    baseline = None if table["baseline"].null_count else _rows(table["baseline"])
    width = max(rows.shape[1] for rows in (candidate, baseline) if rows is not None)
    features, of_feature = _encoded(pc.list_flatten(table["features"]))
    values, of_value = _encoded(pc.list_flatten(table["values"]))
    examples = pc.list_parent_indices(table["features"]).to_numpy()
    slices: dict[tuple[str, str], NDArray[np.int64]] = {}
    for kind in [kind for kind, feature in workload.slice_features.items() if feature in features]:
        here = np.flatnonzero(of_feature == features.index(workload.slice_features[kind]))
        here = here[np.argsort(of_value[here], kind="stable")]
        there, starts = np.unique(of_value[here], return_index=True)
        if kind != "class":
            parts = np.split(examples[here], starts[1:])
            slices |= {(kind, values[code]): part for code, part in zip(there, parts, strict=True)}
    groups, of_group = _encoded(table["group"])
    group_names, number_of = np.unique(groups, return_inverse=True)
    return Answers(
        classes=workload.labels,
        normal=workload.labels.index(workload.normal) if workload.normal else None,
        labels=table["label"].to_numpy(),
        groups=number_of[of_group],
        candidate=_padded(candidate, width),
        baseline=None if baseline is None else _padded(baseline, width),
        slices=slices,
        group_names=tuple(group_names.tolist()),
    )


def _rows(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """Lists of one length, [n, length]."""
    return pc.list_flatten(column).to_numpy().reshape(len(column), -1)


def _encoded(column: pa.ChunkedArray) -> tuple[list[str], NDArray[np.int64]]:
    """The texts of a column, each once, and of each row which of them it is."""
    encoded = column.dictionary_encode().combine_chunks()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy()


def _padded(rows: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Rows of that length: a class that a model does not know has the probability 0."""
    return np.pad(rows, ((0, 0), (0, width - rows.shape[1])))
