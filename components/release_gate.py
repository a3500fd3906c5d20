"""ReleaseGate: ends a run whose model was held back, at a step whose name says so.

Pusher itself always succeeds, because a step that fails keeps no output on a cluster. This step also checks
that the release which the Pusher reports is in the store: a pod that is deleted in the middle of its work can
count as done.
"""

from pathlib import Path

from tfx.dsl.component.experimental.annotations import InputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import PushedModel

from components.run_record import format_details_command
from edgeline.errors import EdgelineError, HeldBack
from edgeline.records.verdict import PUSH
from edgeline.release import store


@component
def ReleaseGate(
    pushed_model: InputArtifact[PushedModel],
    push: Parameter[str],
    model_name: Parameter[str],
    run: Parameter[str],
    records: Parameter[str],
) -> None:
    """Passes if the model was pushed or is in the store already, and stops the run if it was held back.

    Args:
        pushed_model: Written by Pusher: the outcome, its reasons, and the version.
        push: The root of the release store, or its URL.
        model_name: The name of the model in the store.
        run: The id of the run, which a release that it pushed has in its manifest.
        records: The place of the records, which the error names; empty on one machine.

    Raises:
        HeldBack: A gate did not let the model pass.
        EdgelineError: The release that the Pusher names is not in the store.
    """
    pushed = PUSH.read(Path(pushed_model.uri))
    if pushed.outcome == "held":
        raise HeldBack(
            " ".join(pushed.reasons),
            "The model was trained but not pushed.",
            f"The run's report says what to do next: {format_details_command(records, model_name)}.",
        )
    expected = run if pushed.outcome == "pushed" else None
    if not _is_released(push, model_name, pushed.version, expected):
        raise EdgelineError(
            f"Version {pushed.version} of {model_name} is not in the release store {push}.",
            f"Pusher ended with {pushed.outcome!r}, so this run should have left it there.",
            "Check the store with `edgeline verify`, and start the run again.",
        )


def _is_released(root: str, name: str, version: int, run: str | None) -> bool:
    """Returns True if the store has that version, and from that run if one is named; else also if it had."""
    current = store.current(root, name)
    releases = [current] if current and current.version == version else store.releases(root, name)
    if any(r.version == version and run in (None, r.manifest.run) for r in releases):
        return True
    return run is None and version in store.find_collected(root, name)
