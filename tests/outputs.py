"""Outputs of steps in the record of a run."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeline.records.events import EventWriter, StepChanged
from edgeline.records.json_file import JsonFile, JsonLines
from edgeline.records.run import RUN, Artifact, Run, Step
from edgeline.workspace.runs import RunFolder


def write_run(workspace: Path, run: Run) -> RunFolder:
    """Writes the record of a run to its folder in a workspace."""
    folder = RunFolder(workspace / "runs" / run.id)
    folder.path.mkdir(parents=True)
    folder.write(run)
    return folder


def record_output(
    folder: RunFolder, step: str, output: str, uri: str | Path, files: Mapping[str, int] | None = None
) -> Run:
    """Adds an output to the record of a run, which is made if it is missing; returns the record."""
    artifact = Artifact(step, output, str(uri), files or {})
    run = RUN.find_readable(folder.path) or Run(id=folder.path.name, workload="shelf", outcome="pushed")
    if run.outcome == "running":
        EventWriter(folder.events)(StepChanged(Step(step), (artifact,)))
    else:
        folder.write(replace(run, artifacts=(*run.artifacts, artifact)))
    return folder.read()


def leave(
    folder: RunFolder, step: str, output: str, file: JsonFile[Any] | JsonLines[Any] | str, content: Any
) -> Run:
    """Writes a file to an output, or bytes under a name, and adds the output to the record of the run."""
    place = folder.path / step / output
    place.mkdir(parents=True)
    if isinstance(file, str):
        (place / file).write_bytes(content)
    else:
        file.write(place, content)
    return record_output(folder, step, output, place)
