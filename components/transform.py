"""The executor of Transform: TFX's own, after what the data have to settle before its graph is made."""

import json
from itertools import islice
from typing import Any

from tfx.components.transform.executor import Executor
from tfx.types import artifact_utils

from components.transformed_examples import open_records
from trainer_module.workload_module import load

# Shards are by digest, so the first examples are a random sample.
_SAMPLE = 20_000


class TransformExecutor(Executor):
    """An executor that asks the workload's module to `settle` the configuration, where it can."""

    def Do(
        self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]
    ) -> None:
        """Builds the graph as described at `components.tfx_steps.Transform`."""
        from tensorflow.core.example.example_pb2 import Example

        module = load(exec_properties["preprocessing_fn"].rpartition(".")[0])
        if settle := getattr(module, "settle", None):
            folder = artifact_utils.get_split_uri(input_dict["examples"], "train")
            records = islice(open_records(folder).as_numpy_iterator(), _SAMPLE)
            examples = (Example.FromString(record).features.feature for record in records)
            config = settle(json.loads(exec_properties["custom_config"]), examples)
            exec_properties = {**exec_properties, "custom_config": json.dumps(config)}
        super().Do(input_dict, output_dict, exec_properties)
