"""The record that a step of the DAG makes of its run: from the artifacts it reads, page and facts.

On a cluster no parent process sees the whole run: the last step that can write makes the record.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from tfx.types.artifact import Artifact

from components.library_versions import library_versions
from locations import LAUNCHER_FOLDERS, Location, locate
from records.outcome import Ending
from records.run import Step
from records.steps import STEPS
from report import facts as values
from report import records
from report.collect import collect, pictures
from report.page import render_run
from report.sources import Sources

# Stamped onto each output by the entry point of a cluster's steps; on one machine the runner keeps the time.
SECONDS, STARTED = "step_seconds", "step_started"

_STEPS = {name: step for step, info in STEPS.items() for name in info.outputs.values()}

log = logging.getLogger("edgeline.report")


@dataclass(frozen=True)
class About:
    """What a step that leaves a record is told: its parameters of these names."""

    run: str
    model_name: str
    data: str
    settings: str
    records: str


def leave_record(
    inputs: Mapping[str, Artifact],
    about: About,
    outcome: Ending,
    reasons: Sequence[str],
    version: int | None = None,
    folder: Path | None = None,
) -> None:
    """Writes page and facts of a run; whatever goes wrong is a warning, for a page decides nothing.

    Args:
        inputs: The artifacts that the step reads, by the names of `Sources`.
        about: The run.
        outcome: How the run ended.
        reasons: Of that.
        version: In production afterwards, where known.
        folder: Of the step's own output, where it has one.
    """
    place: Location | None = None
    earlier: list[values.Facts] = []
    with _warns("Earlier runs cannot be read"):
        place = locate(about.records) if about.records else None
        earlier = [found for _, found in records.read_all(place)][::-1] if place is not None else []
    with _warns("There is no report of this run"):
        sources = _sources(inputs)
        number = records.number_of(about.run, earlier) if place is not None else 0
        facts = collect(sources, _about(inputs, about, outcome, reasons, version, number))
        page = render_run(facts, pictures(sources), records.before(about.run, about.model_name, earlier))
        if folder is not None:
            records.write(folder, facts, page)
        if place is not None:
            page_at = records.write(place / about.run, facts, page)
            log.info("The report of this run is %s", page_at)


@contextmanager
def _warns(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        log.warning("%s: %s: %s", what, type(error).__name__, error)


def _sources(inputs: Mapping[str, Artifact]) -> Sources:
    return Sources(**{name: Path(artifact.uri) for name, artifact in inputs.items()})


def _about(
    inputs: Mapping[str, Artifact],
    about: About,
    outcome: Ending,
    reasons: Sequence[str],
    version: int | None,
    number: int,
) -> values.About:
    now = datetime.now(timezone.utc).replace(microsecond=0)
    steps = _steps(inputs)
    started = steps[0].started if steps and steps[0].started else now.isoformat()
    return values.About(
        run=about.run,
        model=about.model_name,
        number=number,
        engine="kubeflow" if about.records else "local",
        outcome=outcome,
        version=version,
        started_at=started,
        ended_at=now.isoformat(),
        seconds=(now - datetime.fromisoformat(started)).total_seconds(),
        reasons=tuple(reasons),
        data=about.data,
        settings=json.loads(about.settings),
        libraries=library_versions(),
        steps=steps,
        artifacts=tuple(
            values.Artifact(_STEPS[name], name, _address(artifact.uri)) for name, artifact in inputs.items()
        ),
    )


def _address(uri: str) -> str:
    """Where an artifact is for those outside the pod: its launcher works on copies in local folders."""
    for scheme, folder in LAUNCHER_FOLDERS.items():
        if uri.startswith(f"/{folder}/"):
            return scheme + uri.removeprefix(f"/{folder}/")
    return uri


def _steps(inputs: Mapping[str, Artifact]) -> tuple[Step, ...]:
    """The steps that put out what this one reads, in the order of their start."""
    found: dict[str, Step] = {}
    for name, artifact in inputs.items():
        seconds = artifact.get_float_custom_property(SECONDS)
        started = artifact.get_string_custom_property(STARTED)
        if started:
            found[_STEPS[name]] = Step(_STEPS[name], "done", seconds, started)
    return tuple(sorted(found.values(), key=lambda step: step.started or ""))
