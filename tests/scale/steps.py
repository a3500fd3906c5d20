"""The Beam steps of the DAG, with the Trainer, one after the other in this process on any engine."""

from pathlib import Path

from tfx.types.artifact import Artifact

from pipeline.dag import Observed, Paths, create_pipeline
from runners.shared.run_options import NamedSettings
from tests.components.steps import IN_MEMORY, execute
from tests.e2e.conftest import SMALL, edgeline

_IN_ORDER = ("ExampleGen", "StatisticsGen", "ImportSchemaGen", "ExampleValidator", "Transform", "Trainer")
# Examples of a week and settings, by workload; the tests check where steps run, not how good a model is.
WORKLOADS = {
    "shelf": (80, (*SMALL, "trainer.epochs=1", "gate.max_quarantine_fraction=0.2")),
    "sensor": (4000, ("trainer.epochs=1", "trainer.folds=0")),
    "text": (300, ("trainer.epochs=1", "trainer.folds=0", "model.text_length=16")),
}


def generate(folder: Path, workload: str) -> Path:
    """Generates two weeks of a workload's sample; returns their folder."""
    data = folder / "data"
    arguments = ["--workload", workload, "--weeks", "2", "--per-week", str(WORKLOADS[workload][0])]
    arguments += ["--fault", "corrupt=0.1"] if workload == "shelf" else []
    result = edgeline(folder / "workspace", "data", "generate", "--data", str(data), *arguments)
    assert result.code == 0, result.stderr
    return data


class Steps:
    """The steps of a workload with their outputs in memory; each can be run again elsewhere."""

    def __init__(self, folder: Path, workload: str) -> None:
        self.workload, settings = NamedSettings(workload, None, WORKLOADS[workload][1]).load()
        data = generate(folder, workload)
        paths = Paths(
            str(data), str(folder), str(folder / "metadata"), str(folder / "push"), str(folder / "c")
        )
        pipeline = create_pipeline(self.workload, settings, paths, Observed())
        self._components = {component.id: component for component in pipeline.components}
        self.outputs: dict[str, dict[str, Artifact]] = {}
        for name in _IN_ORDER:
            self.outputs[name] = self.run_again(name, folder / "memory")

    def run_again(
        self, name: str, folder: Path, flags: tuple[str, ...] = IN_MEMORY, **replacements: Artifact
    ) -> dict[str, Artifact]:
        """Runs a step, with replacements for its own inputs; returns its outputs."""
        component, outputs = self._components[name], dict[str, Artifact]()
        inputs = {
            key: replacements.get(key) or self.outputs[channel.producer_component_id][channel.output_key]
            for key, channel in component.inputs.items()
            if key in replacements or channel.producer_component_id in self.outputs
        }
        for key, channel in component.outputs.items():
            outputs[key] = channel.type()
            outputs[key].uri = str(folder / name / key)
        properties = {key: value for key, value in component.exec_properties.items() if value is not None}
        execute(component, inputs, outputs, folder, flags, **properties)
        return outputs
