"""Components whose executor is imported only when it runs, not to describe the DAG or to look into the cache.

TFX's own declarations import their executors, and with them TensorFlow.
"""

from collections.abc import Mapping
from typing import Any

from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec, ExecutorClassSpec
from tfx.types import Channel
from tfx.types.artifact import Artifact
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils.import_utils import import_class_by_path

from components.light_tfx import complete_tfx


def declare(
    name: str,
    executor: type[BaseExecutor],
    *,
    parameters: Mapping[str, type] | None = None,
    inputs: Mapping[str, type[Artifact]],
    optional: Mapping[str, type[Artifact]] | None = None,
    outputs: Mapping[str, type[Artifact]],
) -> Any:
    """Returns a component class whose arguments are its parameters and inputs.

    A step without an id of its own has the name of the class; `optional` are inputs that may be left out.
    """
    uses_beam = issubclass(executor, BaseBeamExecutor)
    base = BaseBeamComponent if uses_beam else BaseComponent
    specification = type(
        f"{name}Spec",
        (ComponentSpec,),
        {
            "PARAMETERS": {key: ExecutionParameter(type=kind) for key, kind in (parameters or {}).items()},
            "INPUTS": {
                **{key: ChannelParameter(type=kind) for key, kind in inputs.items()},
                **{key: ChannelParameter(type=kind, optional=True) for key, kind in (optional or {}).items()},
            },
            "OUTPUTS": {key: ChannelParameter(type=kind) for key, kind in outputs.items()},
        },
    )

    def initialize(self: Any, **arguments: Any) -> None:
        channels = {key: Channel(type=kind) for key, kind in outputs.items()}
        base.__init__(self, specification(**arguments, **channels))

    members = {
        "__module__": executor.__module__,
        "__init__": initialize,
        "SPEC_CLASS": specification,
        "EXECUTOR_SPEC": BeamExecutorSpec(executor) if uses_beam else ExecutorClassSpec(executor),
    }
    return type(name, (base,), members)


class Late(BaseExecutor):
    """An executor that imports and runs another one, named by `runs`."""

    runs: str  # module and class

    def Do(
        self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]
    ) -> None:
        """Imports the executor and runs it."""
        complete_tfx()
        import_class_by_path(self.runs)(self._context).Do(input_dict, output_dict, exec_properties)


class LateBeam(Late, BaseBeamExecutor):
    """A `Late` executor with a Beam pipeline."""
