"""Writes both models' answers to each example while TFMA evaluates them.

TFMA's own confidence intervals are not a substitute: its bootstrap and its jackknife take no seed from a
config, so that a verdict could change from run to run, and neither covers metrics counted from confusion
matrices. TFX loads this module again for each evaluation: a class of a step would then be another one.
"""

from collections.abc import Mapping
from itertools import chain
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from apache_beam.options.pipeline_options import PipelineOptions

from components.answers import MODELS, PREFIX, SCHEMA
from edgeline.gates.answers import name_own_group
from edgeline.records.features import format_value
from edgeline.records.workload import Workload

# TFX's executor finds `extractors` by this name.
EXTRACTORS = "components.answer_writer.extractors"


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
    return [f"--answers_prefix={evaluation}/{PREFIX}", *names]


def extractors(eval_shared_model: Any, eval_config: Any, tensor_adapter_config: Any) -> list[Any]:
    """Returns TFMA's extractors, and one that writes what they extract.

    Args:
        eval_shared_model: The model or models, loaded by TFX's Evaluator, which passes all three arguments.
        eval_config: The config of `pipeline/evaluation.py`, as TFX has completed it.
        tensor_adapter_config: Tells how Arrow columns become tensors.
    """
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
            | beam.io.WriteToParquet(options.answers_prefix, SCHEMA, file_name_suffix=".parquet")
        )
        return extracts


def _make_row(extracts: Mapping[str, Any], id: str, group: str) -> dict[str, Any]:
    """Returns one row of the file, with the candidate's labels: a model in production may know fewer."""
    slices = list(chain.from_iterable(extracts[tfma.SLICE_KEY_TYPES_KEY]))
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
        **{model: np.ravel(by_model[model]).tolist() if model in by_model else None for model in MODELS},
        "features": [feature for feature, _ in slices],
        "values": [format_value(value) for _, value in slices],
    }
