"""Components whose executor is imported when it runs: not to describe the DAG, nor to look into the cache.

TFX's own declarations import their executors, and with those TensorFlow.
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
    """A class of components, whose arguments are its parameters and inputs.

    Its name is that of the step too, where that is given none; `optional` are inputs that may be left out.
    """
    beam = issubclass(executor, BaseBeamExecutor)
    base = BaseBeamComponent if beam else BaseComponent
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

    def begin(self: Any, **given: Any) -> None:
        made = {key: Channel(type=kind) for key, kind in outputs.items()}
        base.__init__(self, specification(**given, **made))

    members = {
        "__module__": executor.__module__,
        "__init__": begin,
        "SPEC_CLASS": specification,
        "EXECUTOR_SPEC": BeamExecutorSpec(executor) if beam else ExecutorClassSpec(executor),
    }
    return type(name, (base,), members)


class Late(BaseExecutor):
    """Runs the executor of that name."""

    runs: str  # module and class

    def Do(
        self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]
    ) -> None:
        """As the executor does."""
        complete_tfx()
        import_class_by_path(self.runs)(self._context).Do(input_dict, output_dict, exec_properties)


class LateBeam(Late, BaseBeamExecutor):
    """The same with Beam."""
