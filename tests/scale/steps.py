"""The Beam steps of the DAG, with the Trainer, one after the other in this process on any engine."""

from pathlib import Path

from tfx.types.artifact import Artifact

from pipeline.dag import Observed, Paths, create_pipeline
from runners.shared.run_options import NamedSettings
from tests.components.steps import IN_MEMORY, execute
from tests.e2e.conftest import SMALL, edgeline

_IN_ORDER = ("ExampleGen", "StatisticsGen", "ImportSchemaGen", "ExampleValidator", "Transform", "Trainer")
# The examples of a week of each workload, and settings. Tested is where steps run, not how good a model is.
WORKLOADS = {
    "shelf": (80, (*SMALL, "trainer.epochs=1", "gate.max_quarantine_fraction=0.2")),
    "sensor": (4000, ("trainer.epochs=1", "trainer.folds=0")),
    "text": (300, ("trainer.epochs=1", "trainer.folds=0", "model.text_length=16")),
}


def generated(folder: Path, workload: str) -> Path:
    """Two weeks of a workload's sample."""
    data = folder / "data"
    arguments = ["--workload", workload, "--weeks", "2", "--per-week", str(WORKLOADS[workload][0])]
    arguments += ["--fault", "corrupt=0.1"] if workload == "shelf" else []
    made = edgeline(folder / "workspace", "data", "generate", "--data", str(data), *arguments)
    assert made.code == 0, made.stderr
    return data


class Steps:
    """The outputs of a workload's steps in memory, to be made again elsewhere."""

    def __init__(self, folder: Path, workload: str) -> None:
        self.workload, settings = NamedSettings(workload, None, WORKLOADS[workload][1]).load()
        data = generated(folder, workload)
        paths = Paths(
            str(data), str(folder), str(folder / "metadata"), str(folder / "push"), str(folder / "c")
        )
        made = create_pipeline(self.workload, settings, paths, Observed())
        self._components = {component.id: component for component in made.components}
        self.outputs: dict[str, dict[str, Artifact]] = {}
        for name in _IN_ORDER:
            self.outputs[name] = self.again(name, folder / "memory")

    def again(
        self, name: str, folder: Path, flags: tuple[str, ...] = IN_MEMORY, **given: Artifact
    ) -> dict[str, Artifact]:
        """Does a step, with what is given in place of its own inputs, and returns what it puts out."""
        component, outputs = self._components[name], dict[str, Artifact]()
        inputs = {
            key: given.get(key) or self.outputs[channel.producer_component_id][channel.output_key]
            for key, channel in component.inputs.items()
            if key in given or channel.producer_component_id in self.outputs
        }
        for key, channel in component.outputs.items():
            outputs[key] = channel.type()
            outputs[key].uri = str(folder / name / key)
        properties = {key: value for key, value in component.exec_properties.items() if value is not None}
        execute(component, inputs, outputs, folder, flags, **properties)
        return outputs
