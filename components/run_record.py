"""The record that a step of the DAG makes of its run: from the artifacts it reads, page and facts.

On a cluster no parent process sees the whole run: the last step that can write makes the record.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from tfx.types.artifact import Artifact

from components.library_versions import library_versions
from locations import LAUNCHER_FOLDERS, Location, is_url, locate
from records.run import Step
from records.steps import STEPS
from report import records
from report.collect import collect, pictures
from report.facts import About, Facts
from report.facts import Artifact as Output
from report.page import render_run
from report.sources import Sources

# Stamped onto each output by the entry point of a cluster's steps; on one machine the runner keeps the time.
SECONDS, STARTED = "step_seconds", "step_started"

_STEPS = {name: step for step, info in STEPS.items() for name in info.outputs.values()}

log = logging.getLogger("edgeline.report")


def leave_record(
    inputs: Mapping[str, Artifact],
    about: About,
    place: str,
    folder: Path | None = None,
    accepted_data: Path | None = None,
) -> None:
    """Writes page and facts of a run; whatever goes wrong is a warning, for a page decides nothing.

    Args:
        inputs: The artifacts that the step reads, by the names of `Sources`.
        about: What the step knows of the run; the rest is filled in.
        place: Folder or URL that page and facts are copied to, and that earlier facts are read from; empty on
            one machine, where the runner keeps the records.
        folder: Of the step's own output, where it has one.
        accepted_data: What DataGate put out, where it is before the step; its record has the times of the
            steps that this is from.
    """
    kept: Location | None = None
    earlier: list[Facts] = []
    with _warns("Earlier runs cannot be read"):
        kept = locate(place) if place else None
        earlier = [found for _, found in records.read_all(kept)][::-1] if kept is not None else []
    with _warns("There is no report of this run"):
        read = {name: Path(artifact.uri) for name, artifact in inputs.items()}
        read |= {copy.name: copy for copy in (accepted_data.iterdir() if accepted_data else ())}
        sources = Sources(**read)
        if kept is not None:
            about = replace(about, engine="kubeflow", number=records.number_of(about.run, earlier))
        known = next((facts.about for facts in earlier if facts.about.run == about.run), None)
        facts = collect(sources, _completed(about, inputs, known if accepted_data else None))
        page = render_run(facts, pictures(sources), records.before(facts.about, earlier))
        if folder is not None:
            records.write(folder, facts, page)
        if kept is not None:
            page_at = records.write(kept / about.run, facts, page)
            log.info("The report of this run is %s", page_at)


def command_for_details(records: str, model: str) -> str:
    """What shows a person the record of the run, which `records` is the place of, empty on one machine.

    A store that is a folder of the pod is one of another name, DIR, where people type.
    """
    if not records:
        return "`edgeline show latest`"
    store = records.removesuffix(f"/runs/{model}") if is_url(records) else "DIR"
    return f"`edgeline report latest --workload {model} --store {store}`"


@contextmanager
def _warns(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        log.warning("%s: %s: %s", what, type(error).__name__, error)


def _completed(about: About, inputs: Mapping[str, Artifact], known: About | None) -> About:
    """With times, libraries, and what the steps left, those included that the run's record knows already."""
    now = datetime.now(timezone.utc).replace(microsecond=0)
    steps = _steps(inputs, known)
    started = steps[0].started if steps and steps[0].started else now.isoformat()
    return replace(
        about,
        started_at=started,
        ended_at=now.isoformat(),
        seconds=(now - datetime.fromisoformat(started)).total_seconds(),
        libraries=library_versions(),
        steps=steps,
        artifacts=(
            *(output for output in (known.artifacts if known else ()) if output.output not in inputs),
            *(Output(_STEPS[name], name, _address(item.uri)) for name, item in inputs.items()),
        ),
    )


def _address(uri: str) -> str:
    """Where an artifact is for those outside the pod: its launcher works on copies in local folders."""
    for scheme, folder in LAUNCHER_FOLDERS.items():
        if uri.startswith(f"/{folder}/"):
            return scheme + uri.removeprefix(f"/{folder}/")
    return uri


def _steps(inputs: Mapping[str, Artifact], known: About | None) -> tuple[Step, ...]:
    """The steps that put out what this one reads, and those known, in the order of their start."""
    found = {step.name: step for step in (known.steps if known else ()) if step.state == "done"}
    for name, artifact in inputs.items():
        seconds = artifact.get_float_custom_property(SECONDS)
        started = artifact.get_string_custom_property(STARTED)
        if started:
            found[_STEPS[name]] = Step(_STEPS[name], "done", seconds, started)
    return tuple(sorted(found.values(), key=lambda step: step.started or ""))
