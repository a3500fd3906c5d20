"""Transform: TFX's own, after what the data have to settle before its graph is made."""

import json
from itertools import islice
from typing import Any

from tfx import components as tfx
from tfx.components.transform.executor import Executor
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.types import artifact_utils

from components.transformed_examples import read_raw_features
from trainer_module.workload_module import find

# Examples of train by which a module settles the configuration.
_SAMPLE = 20_000


class TransformExecutor(Executor):
    """An executor that asks the workload's module to `settle` the configuration, where it can."""

    def Do(
        self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]
    ) -> None:
        """Settles the configuration, and builds the graph as TFX does."""
        if settle := find(exec_properties["preprocessing_fn"].rpartition(".")[0], "settle"):
            folder = artifact_utils.get_split_uri(input_dict["examples"], "train")
            examples = islice(read_raw_features(folder), _SAMPLE)
            config = settle(json.loads(exec_properties["custom_config"]), examples)
            exec_properties = {**exec_properties, "custom_config": json.dumps(config)}
        super().Do(input_dict, output_dict, exec_properties)


class Transform(tfx.Transform):
    """A step that builds the preprocessing graph."""

    EXECUTOR_SPEC = BeamExecutorSpec(TransformExecutor)
