"""The record that a step of the DAG makes of its run: page and facts, from the artifacts that the step reads.

On a cluster no parent process sees the whole run: the last step that can write makes the record.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from tfx.types import artifact as tfx

from edgeline.journal import read_library_versions
from edgeline.records.run import Artifact, Run, Step
from edgeline.records.steps import STEPS
from edgeline.report import archive
from edgeline.report.facts import Facts
from edgeline.report.sources import Sources
from edgeline.store.locations import LAUNCHER_FOLDERS, Location, is_url, locate

# The entry point of a cluster's steps stamps these onto each output; on one machine, the runner keeps them.
SECONDS, STARTED = "step_seconds", "step_started"

_STEPS = {name: step for step, info in STEPS.items() for name in info.outputs.values()}

log = logging.getLogger("edgeline.report")


def leave_record(
    inputs: Mapping[str, tfx.Artifact],
    run: Run,
    place: str,
    folder: Path | None = None,
    accepted_data: Path | None = None,
) -> None:
    """Writes page and facts of a run; any failure is only a warning, since no step depends on a page.

    Args:
        inputs: The artifacts that the step reads, by the names of `Sources`.
        run: The facts that the step knows; times, libraries, steps and artifacts are filled in.
        place: A folder or URL, which has earlier facts and gets page and facts; empty on one machine, where
            the runner keeps the records.
        folder: The step's own output, which gets page and facts too; None for a step without one.
        accepted_data: The output of DataGate, if that is before the step, whose record has the times of the
            steps that made it; else None.
    """
    base: Location | None = None
    earlier: list[Facts] = []
    with _warn_on_failure("Earlier runs cannot be read"):
        base = locate(place) if place else None
        earlier = [facts for _, facts in archive.read_all(base)][::-1] if base is not None else []
    with _warn_on_failure("The report of this run was not written"):
        folders = {name: Path(artifact.uri) for name, artifact in inputs.items()}
        if accepted_data:
            folders |= {copy.name: copy for copy in accepted_data.iterdir() if copy.is_dir()}
        if base is not None:
            run = replace(run, engine="kubeflow", number=archive.choose_number(run.id, earlier))
        earlier_run = next((facts.run for facts in earlier if facts.run.id == run.id), None)
        run = _complete(run, inputs, earlier_run if accepted_data else None)
        facts, page = archive.make(run, Sources(**folders), earlier)
        if folder is not None:
            archive.write(folder, facts, page)
        if base is not None:
            log.info("The report of this run is %s", archive.write(base / run.id, facts, page))


def format_details_command(records: str, model: str) -> str:
    """Returns the command that shows the record of a run; `records` is its place, empty on one machine.

    A store that is a folder of the pod has another name where people type the command: DIR.
    """
    if not records:
        return f"`edgeline show latest --workload {model}`"
    store = records.removesuffix(f"/runs/{model}") if is_url(records) else "DIR"
    return f"`edgeline report latest --workload {model} --store {store}`"


@contextmanager
def _warn_on_failure(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        log.warning("%s: %s: %s", what, type(error).__name__, error)


def _complete(run: Run, inputs: Mapping[str, tfx.Artifact], earlier: Run | None) -> Run:
    """Adds times, libraries, and the steps with their outputs, also those of `earlier`, an earlier record."""
    now = datetime.now(timezone.utc).replace(microsecond=0)
    steps = _list_steps(inputs, earlier)
    started = steps[0].started if steps and steps[0].started else now.isoformat()
    return replace(
        run,
        started_at=started,
        ended_at=now.isoformat(),
        seconds=(now - datetime.fromisoformat(started)).total_seconds(),
        libraries=read_library_versions(),
        steps=steps,
        artifacts=(
            *(output for output in (earlier.artifacts if earlier else ()) if output.output not in inputs),
            *(Artifact(_STEPS[name], name, _resolve_address(item.uri)) for name, item in inputs.items()),
        ),
    )


def _resolve_address(uri: str) -> str:
    """Returns the address of an artifact outside the pod: its launcher works on copies in local folders."""
    for scheme, folder in LAUNCHER_FOLDERS.items():
        if uri.startswith(f"/{folder}/"):
            return scheme + uri.removeprefix(f"/{folder}/")
    return uri


def _list_steps(inputs: Mapping[str, tfx.Artifact], earlier: Run | None) -> tuple[Step, ...]:
    """Returns the steps whose output this step reads, and those known, in the order of their start."""
    steps = {step.name: step for step in (earlier.steps if earlier else ()) if step.state == "done"}
    for name, artifact in inputs.items():
        seconds = artifact.get_float_custom_property(SECONDS)
        started = artifact.get_string_custom_property(STARTED)
        if started:
            steps[_STEPS[name]] = Step(_STEPS[name], "done", seconds, started)
    return tuple(sorted(steps.values(), key=lambda step: step.started or ""))
