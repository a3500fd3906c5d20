"""ProductionModel: what phones run today, as a model that the candidate is compared with.

It asks the release store itself; resolvers do not exist on open-source Kubeflow Pipelines.
"""

from pathlib import Path
from typing import Any

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import Channel, artifact_utils
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.standard_artifacts import Model
from tfx.utils import path_utils

from locations import copy_tree
from release import store


class ProductionModelExecutor(BaseExecutor):
    """Copies the production SavedModel out of the release store."""

    def Do(
        self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]
    ) -> None:
        """See `ProductionModel`."""
        artifact = artifact_utils.get_single_instance(output_dict["model"])
        release = store.current(exec_properties["push"], exec_properties["model_name"])
        artifact.set_int_custom_property("has_model", int(release is not None))
        artifact.set_int_custom_property("version", release.version if release else 0)
        target = Path(path_utils.serving_model_dir(artifact.uri))
        if release is None:
            # An empty folder would not exist at its consumer on a cluster.
            target.parent.mkdir(parents=True, exist_ok=True)
            (Path(artifact.uri) / "no_model_in_production").touch()
        else:
            copy_tree(release.serving, target)


class ProductionModelSpec(ComponentSpec):
    """Parameters and channels of `ProductionModel`."""

    PARAMETERS = {
        "push": ExecutionParameter(type=str),
        "model_name": ExecutionParameter(type=str),
        "production": ExecutionParameter(type=str),
    }
    INPUTS: dict[str, ChannelParameter] = {}
    OUTPUTS = {"model": ChannelParameter(type=Model)}


class ProductionModel(BaseComponent):
    """Puts out the model in production.

    Its output has the custom properties `has_model` (1 or 0) and `version`.

    Args:
        push: Root of the release store, a folder or URL.
        model_name: Name of the model in it.
        production: Digest of the pointer to production, which keys the cache; empty where each step runs
            afresh.
    """

    SPEC_CLASS = ProductionModelSpec
    EXECUTOR_SPEC = ExecutorClassSpec(ProductionModelExecutor)

    def __init__(self, push: str, model_name: str, production: str) -> None:
        super().__init__(
            ProductionModelSpec(
                push=push, model_name=model_name, production=production, model=Channel(type=Model)
            )
        )
