"""RunReport: the page of the run, and the facts that later runs are compared with.

It comes before the step that stops a run whose model was held back, because a step that fails keeps no
output on a cluster. `DataAdmission` makes the page of a run whose data was refused.
"""

import json
from pathlib import Path
from typing import Any

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import BaseChannel, Channel, artifact_utils
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.standard_artifacts import (
    ExampleAnomalies,
    ExampleStatistics,
    ModelBlessing,
    ModelEvaluation,
    ModelRun,
    PushedModel,
)

from components.artifacts import EdgeModels, Quarantine, RunReportPage, Verdict
from components.run_record import PARAMETERS, leave_record


class RunReportExecutor(BaseExecutor):
    """Makes the page; it always succeeds."""

    def Do(
        self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]
    ) -> None:
        """See `RunReport`."""
        folder = Path(artifact_utils.get_single_uri(output_dict["report"]))
        folder.mkdir(parents=True, exist_ok=True)
        pushed = Path(artifact_utils.get_single_uri(input_dict["pushed_model"]), "push.json")
        push = json.loads(pushed.read_text(encoding="utf-8"))
        version = push["version"] or None
        leave_record(input_dict, exec_properties, push["outcome"], push["reasons"], version, folder)


class RunReportSpec(ComponentSpec):
    """Parameters and channels of `RunReport`."""

    PARAMETERS = {name: ExecutionParameter(type=str) for name in PARAMETERS}
    INPUTS = {
        "quarantine": ChannelParameter(type=Quarantine),
        "statistics": ChannelParameter(type=ExampleStatistics),
        "anomalies": ChannelParameter(type=ExampleAnomalies),
        "data_verdict": ChannelParameter(type=Verdict),
        "model_run": ChannelParameter(type=ModelRun),
        "evaluation": ChannelParameter(type=ModelEvaluation),
        "blessing": ChannelParameter(type=ModelBlessing),
        "edge_models": ChannelParameter(type=EdgeModels),
        "edge_verdict": ChannelParameter(type=Verdict),
        "pushed_model": ChannelParameter(type=PushedModel),
    }
    OUTPUTS = {"report": ChannelParameter(type=RunReportPage)}


class RunReport(BaseComponent):
    """Makes one self-contained HTML page of a run, from what its steps put out.

    Args:
        run: Id of the run.
        model_name: Name of the model.
        data: The folder of spans.
        settings: By dotted name.
        records: Folder or URL that page and facts are copied to, and that earlier facts are read from; empty
            where the runner keeps the records.
        **channels: What the steps put out, by the names of `report.sources.Sources`.
    """

    SPEC_CLASS = RunReportSpec
    EXECUTOR_SPEC = ExecutorClassSpec(RunReportExecutor)

    def __init__(
        self, run: str, model_name: str, data: str, settings: str, records: str, **channels: BaseChannel
    ) -> None:
        super().__init__(
            RunReportSpec(
                run=run,
                model_name=model_name,
                data=data,
                settings=settings,
                records=records,
                report=Channel(type=RunReportPage),
                **channels,
            )
        )
