"""A step whose training is some seconds of TensorFlow; its text goes to the pods of the stand-in pipeline."""

import os
import time
from pathlib import Path
from typing import Any

from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils


class Training(BaseExecutor):
    def Do(
        self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]
    ) -> None:
        import tensorflow as tf

        @tf.function
        def train(weights: Any) -> Any:
            for _ in tf.range(200):
                weights = tf.linalg.matmul(weights, weights) / 500.0
            return weights

        end, epoch = time.monotonic() + float(os.environ["TRAINING_S"]), 0
        while time.monotonic() < end:
            epoch += 1
            train(tf.random.uniform((500, 500)))
            print(f"epoch {epoch}", flush=True)
        model = Path(artifact_utils.get_single_uri(output_dict["model"]))
        model.mkdir(parents=True, exist_ok=True)
        (model / "weights.txt").write_text(str(epoch))
