"""The situation of a workspace, as the alert rules check it."""

import shlex
from pathlib import Path

from edgeline.alerts.telling import find_production_release
from edgeline.alerts.troubles import COMPARED, Situation
from edgeline.records.run import Problem
from edgeline.report import records
from edgeline.report.facts import About, Facts
from edgeline.store.locations import locate
from edgeline.workspace.report import build_about, recorded_facts
from edgeline.workspace.runs import read_all


def look_at_workspace(workspace: Path, model: str, push: str, not_begun: Problem | None = None) -> Situation:
    """Returns the situation of a model: its runs in a workspace, and its releases below `push`.

    `not_begun` is the problem that kept a run from beginning; such a run has no record.
    """
    workspace, known = workspace.absolute(), read_all(workspace)
    runs = [item for item in known if item[1].workload == model and item[1].outcome != "running"]
    history = [
        recorded_facts(run, folder) or Facts(build_about(run, folder))
        for folder, run in runs[-1 - COMPARED :]
    ]
    if not_begun is not None:
        number = 1 + max((run.number for _, run in known), default=0)
        history.append(Facts(About("", model, number=number, outcome="failed", problem=not_begun)))
    return Situation(
        model=model,
        history=history,
        release=find_production_release(push, model),
        place=f"--workload {model} --workspace {shlex.quote(str(workspace))}",
        folders=tuple(place for place in (workspace, locate(push)) if isinstance(place, Path)),
        state=workspace / "runs" / f"alerts-{model}.json",
        report=str(runs[-1][0].path / records.PAGE) if runs and not not_begun else "",
    )
