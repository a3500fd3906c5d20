"""The executor of StatisticsGen."""

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import tensorflow_data_validation as tfdv
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import artifact_utils
from tfx_bsl.public.tfxio import TFExampleRecord

from components.transformed_examples import read_raw_features
from data.spans.tfrecords import list_values
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
from edgeline.release import store

# Examples from which the correlation within a group is estimated.
_SAMPLED = 5_000


class StatisticsExecutor(BaseBeamExecutor):
    """An executor that adds to the statistics of each split those that drift is measured on."""

    def Do(
        self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]
    ) -> None:
        """Computes the statistics as described at `components.tfx_steps.StatisticsGen`."""
        (examples,), (statistics,) = input_dict["examples"], output_dict["statistics"]
        statistics.split_names, statistics.span = examples.split_names, examples.span
        release = store.current(exec_properties["push"], exec_properties["model_name"])
        contents = json.loads(examples.get_string_custom_property("spans"))
        judged = select_spans(contents, release.manifest.data.spans if release else {})
        statistics.set_string_custom_property("judged", json.dumps(judged))
        features = json.loads(exec_properties["features"])
        newest = tfdv.experimental_get_feature_value_slicer({"newest_span": None})
        measured = make_stats_options(features["measured"], features["uncounted"], newest, SHOWN_QUANTILES)
        others = choose_others([*contents], judged)
        compared = make_stats_options(["span", *features["compared"]], (), make_slicer(others))
        with self._make_beam_pipeline() as pipeline:
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
            (group,) = features["group"]
            train = artifact_utils.get_split_uri([examples], "train")
            columns = _read_columns(train, ["span", group, *features["compared"]])
            folder = Path(artifact_utils.get_split_uri([statistics], "train"))
            GROUP_VARIANCES.write(folder, measure_group_variances(columns, others, group))


def _read_columns(folder: str, names: Sequence[str]) -> dict[str, list[Any]]:
    """Reads features of the first examples; a value is None where an example has not exactly one."""
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for features in islice(read_raw_features(folder), _SAMPLED):
        for name, column in columns.items():
            values = list_values(features[name])
            value = values[0] if len(values) == 1 else None
            column.append(value.decode(errors="replace") if isinstance(value, bytes) else value)
    return columns
