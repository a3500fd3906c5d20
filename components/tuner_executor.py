"""TFX's Tuner, which also puts out what a person reads of a search: trials, and the best as settings."""

from pathlib import Path
from typing import Any

from tfx.components.tuner import executor
from tfx.types import artifact_utils
from tfx.types import standard_component_specs as spec

from records.training import SEARCH, TUNED


class Executor(executor.Executor):
    """Runs the search, and writes `search.json` and `tuned.yaml` beside TFX's results of it."""

    def Do(self, input_dict: Any, output_dict: Any, exec_properties: Any) -> None:
        """Runs it. Raises as `trainer_module.tune` does."""
        tuner = executor.search(input_dict, exec_properties, self._get_tmp_dir())
        if tuner.result is None:
            return  # It helped another, which has the result.
        executor.write_best_hyperparameters(tuner, output_dict)
        folder = Path(artifact_utils.get_single_uri(output_dict[spec.TUNER_RESULTS_KEY]))
        SEARCH.write(folder, tuner.result)
        (folder / TUNED).write_text(tuner.result.as_profile(), encoding="utf-8")
