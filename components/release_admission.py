"""ReleaseAdmission: ends a run whose model was held back, at a step whose name says so.

ReleasePusher itself always succeeds, because a step that fails keeps no output on a cluster. This step also
looks into the release store for what the Pusher says it put there: a pod that is deleted in the middle of
its work can count as done.
"""

import json
import logging
from pathlib import Path
from typing import Any

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import BaseChannel, artifact_utils
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.standard_artifacts import PushedModel

from errors import EdgelineError, HeldBack
from release import store

log = logging.getLogger("edgeline.push")


class ReleaseAdmissionExecutor(BaseExecutor):
    """Passes what was pushed or is in the store already, and stops at what was held back."""

    def Do(
        self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]
    ) -> None:
        """See `ReleaseAdmission`.

        Raises:
            HeldBack: A gate did not let the model pass.
            EdgelineError: The release that the Pusher names is not in the store.
        """
        folder = Path(artifact_utils.get_single_uri(input_dict["pushed_model"]))
        pushed = json.loads((folder / "push.json").read_text(encoding="utf-8"))
        if pushed["outcome"] == "held":
            raise HeldBack(
                " ".join(pushed["reasons"]),
                "The model was trained and not pushed; production stays as it was.",
                "The run's report has every metric by slice: `edgeline show latest`.",
            )
        root, name, version = exec_properties["push"], exec_properties["model_name"], pushed["version"]
        run = exec_properties["run"] if pushed["outcome"] == "pushed" else None
        if not _is_released(root, name, version, run):
            raise EdgelineError(
                f"Version {version} of {name} is not in the release store {root}.",
                f"ReleasePusher ended with {pushed['outcome']!r}, so this run should have left it there.",
                "Look at the store with `edgeline verify`, and start the run again.",
            )
        # Whoever follows the run from outside a cluster has no more of it than this line.
        if run is None:
            log.info("Nothing new to push: version %d of %s is in %s already.", version, name, root)
        else:
            log.info("Pushed version %d of %s to %s", version, name, root)


def _is_released(root: str, name: str, version: int, run: str | None) -> bool:
    """Whether the store has that version, and from that run where one is named."""
    current = store.current(root, name)
    found = [current] if current and current.version == version else store.releases(root, name)
    return any(r.version == version and run in (None, r.manifest.run) for r in found)


class ReleaseAdmissionSpec(ComponentSpec):
    """Parameters and channels of `ReleaseAdmission`."""

    PARAMETERS = {
        "push": ExecutionParameter(type=str),
        "model_name": ExecutionParameter(type=str),
        "run": ExecutionParameter(type=str),
    }
    INPUTS = {"pushed_model": ChannelParameter(type=PushedModel)}
    OUTPUTS: dict[str, ChannelParameter] = {}


class ReleaseAdmission(BaseComponent):
    """Lets the run end well, or as held back.

    Args:
        pushed_model: ReleasePusher's output.
        push: Root of the release store, a folder or URL.
        model_name: Name of the model in it.
        run: Id of the run, which a release that it pushed has in its manifest.
    """

    SPEC_CLASS = ReleaseAdmissionSpec
    EXECUTOR_SPEC = ExecutorClassSpec(ReleaseAdmissionExecutor)

    def __init__(self, pushed_model: BaseChannel, push: str, model_name: str, run: str) -> None:
        super().__init__(
            ReleaseAdmissionSpec(pushed_model=pushed_model, push=push, model_name=model_name, run=run)
        )
