"""What there is to tell of a workspace."""

import shlex
from pathlib import Path

from locations import locate
from records.run import Problem
from report import records
from report.facts import About, Facts
from runners.alerts.telling import in_production
from runners.alerts.troubles import COMPARED, Situation
from runners.local.report import about, recorded_facts
from runners.shared.runs import read_all


def look_at_workspace(workspace: Path, model: str, push: str, not_begun: Problem | None = None) -> Situation:
    """Of a model's runs in a workspace, and of its releases below `push`.

    `not_begun` is what kept a run from beginning, of which there is no record.
    """
    workspace, known = workspace.absolute(), read_all(workspace)
    runs = [found for found in known if found[1].workload == model and found[1].outcome != "running"]
    history = [
        recorded_facts(run, folder) or Facts(about(run, folder)) for folder, run in runs[-1 - COMPARED :]
    ]
    if not_begun is not None:
        number = 1 + max((run.number for _, run in known), default=0)
        history.append(Facts(About("", model, number=number, outcome="failed", problem=not_begun)))
    return Situation(
        model=model,
        history=history,
        release=in_production(push, model),
        place=f"--workload {model} --workspace {shlex.quote(str(workspace))}",
        folders=tuple(place for place in (workspace, locate(push)) if isinstance(place, Path)),
        state=workspace / "runs" / f"alerts-{model}.json",
        report=str(runs[-1][0].path / records.PAGE) if runs and not not_begun else "",
    )
