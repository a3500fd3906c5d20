"""Tuner: TFX's own, which also writes the trials and the best settings for people."""

from pathlib import Path
from typing import Any

from tfx import components as tfx
from tfx.components.tuner import executor
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import artifact_utils
from tfx.types import standard_component_specs as spec

from edgeline.records.training import SEARCH, TUNED


class TunerExecutor(executor.Executor):
    """An executor that runs the search, and writes `search.json` and `tuned.yaml` beside TFX's results."""

    def Do(self, input_dict: Any, output_dict: Any, exec_properties: Any) -> None:
        """Runs the search; raises the same errors as `trainer_module.search.tune`."""
        tuner = executor.search(input_dict, exec_properties, self._get_tmp_dir())
        executor.write_best_hyperparameters(tuner, output_dict)
        folder = Path(artifact_utils.get_single_uri(output_dict[spec.TUNER_RESULTS_KEY]))
        SEARCH.write(folder, tuner.result)
        (folder / TUNED).write_text(tuner.result.as_profile(), encoding="utf-8")


class Tuner(tfx.Tuner):
    """A step that searches for better settings."""

    EXECUTOR_SPEC = ExecutorClassSpec(TunerExecutor)
