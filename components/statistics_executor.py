"""What runs StatisticsGen: TFX's own, with options that are made where TensorFlow Data Validation is."""

import json
from typing import Any

from tfx.components.statistics_gen.executor import Executor

from gates.drift import statistics_options


class StatisticsExecutor(Executor):
    """Counts what the examples are like."""

    def Do(
        self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]
    ) -> None:
        """See `components.tfx_steps.StatisticsGen`."""
        options = statistics_options(**json.loads(exec_properties["features"]))
        super().Do(input_dict, output_dict, {"stats_options_json": options.to_json(), "exclude_splits": "[]"})
