"""StatisticsGen: statistics of each split, and those that drift is measured on."""

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import apache_beam as beam
import tensorflow_data_validation as tfdv
from tfx.dsl.component.experimental.annotations import (
    BeamComponentParameter,
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils
from tfx.types.standard_artifacts import Examples, ExampleStatistics
from tfx_bsl.public.tfxio import TFExampleRecord

from components.transformed_examples import read_raw_features
from edgeline.gates.data import select_spans
from edgeline.gates.design_effect import GROUP_VARIANCES
from edgeline.gates.drift import (
    ALL_FEATURES,
    FOR_DRIFT,
    SHOWN_QUANTILES,
    choose_others,
    make_slicer,
    make_stats_options,
    measure_group_variances,
)
from edgeline.gates.joint import find_shifts
from edgeline.records.features import list_values
from edgeline.records.verdict import SHIFTS
from edgeline.release import store

# Examples from which the correlation within a group is estimated.
_SAMPLED = 5_000


@component(use_beam=True)
def StatisticsGen(
    examples: InputArtifact[Examples],
    statistics: OutputArtifact[ExampleStatistics],
    features: Parameter[str],
    push: Parameter[str],
    model_name: Parameter[str],
    unjudged: Parameter[str],
    code: Parameter[str],
    beam_pipeline: BeamComponentParameter[beam.Pipeline] = None,
) -> None:
    """Computes statistics of each split, for all spans and, for drift, by span.

    The spans that the model in production was not made from, and the newest, are judged, and their drift from
    the others is measured.

    Args:
        examples: Written by ExampleGen.
        statistics: Read by SchemaGen, ExampleValidator, DataValidator and DataGate; the custom property
            `judged` is a JSON list of the spans to judge.
        features: The JSON object of lists of names that `edgeline.gates.drift.select_features` returns.
        push: The root of the release store, or its URL, which tells the spans of the model in production.
        model_name: The name of the model in the store.
        unjudged: The spans to judge; only a part of the cache key, empty where each step runs afresh.
        code: Digests of the step's code and of the libraries; only a part of the cache key.
        beam_pipeline: Given by TFX, with the flags of the settings `beam`.
    """
    statistics.split_names, statistics.span = examples.split_names, examples.span
    release = store.current(push, model_name)
    contents = json.loads(examples.get_string_custom_property("spans"))
    judged = select_spans(contents, release.manifest.data.spans if release else {})
    statistics.set_string_custom_property("judged", json.dumps(judged))

    selected = json.loads(features)
    newest = tfdv.experimental_get_feature_value_slicer({"newest_span": None})
    measured = make_stats_options(selected["measured"], selected["uncounted"], newest, SHOWN_QUANTILES)
    others = choose_others([*contents], judged)
    compared = make_stats_options(["span", *selected["compared"]], (), make_slicer(others))
    with beam_pipeline as pipeline:
        for split in artifact_utils.decode_split_names(examples.split_names):
            folder = Path(artifact_utils.get_split_uri([statistics], split))
            folder.mkdir(parents=True, exist_ok=True)
            pattern = f"{artifact_utils.get_split_uri([examples], split)}/*.gz"
            batches = pipeline | f"Read {split}" >> TFExampleRecord(pattern, ["edgeline"]).BeamSource()
            for name, options in ((ALL_FEATURES, measured), (FOR_DRIFT, compared)):
                # Drift is measured in train; which of several spans has an anomaly is found in all.
                if split == "train" or options is measured or len(judged) > 1:
                    counted = batches | f"Count {split} {name}" >> tfdv.GenerateStatistics(options)
                    path = str(folder / name)
                    _ = counted | f"Write {split} {name}" >> tfdv.WriteStatisticsToBinaryFile(path)

    if others:
        (group,) = selected["group"]
        train = artifact_utils.get_split_uri([examples], "train")
        lists = _read_columns(train, ["span", group, *selected["compared"]])
        folder = Path(artifact_utils.get_split_uri([statistics], "train"))
        single = {name: [v[0] if len(v) == 1 else None for v in values] for name, values in lists.items()}
        GROUP_VARIANCES.write(folder, measure_group_variances(single, others, group))
        newest = {name: [v[-1] if v else None for v in values] for name, values in lists.items()}
        SHIFTS.write(folder, tuple(find_shifts(newest, others)))


def _read_columns(folder: str, names: Sequence[str]) -> dict[str, list[list[Any]]]:
    """Reads features of the first examples, each a list of values; of a window, the newest is the last."""
    columns: dict[str, list[list[Any]]] = {name: [] for name in names}
    for features in islice(read_raw_features(folder), _SAMPLED):
        for name, column in columns.items():
            values = list_values(features[name])
            column.append([v.decode(errors="replace") if isinstance(v, bytes) else v for v in values])
    return columns
