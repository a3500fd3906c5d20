"""What the step that ends a run on a cluster does last: the page of one that failed, and who has to know."""

import logging
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial

from locations import locate
from records.outcome import Outcome
from records.run import Problem, Step
from report import records
from report.facts import About, Facts
from report.page import render_run

_log = logging.getLogger("edgeline.kubeflow")


def leave_end(run: str, place: str, outcome: Outcome, problem: Problem) -> None:
    """Adds to what DataGate left of the run, if it came so far, with what outcome a step ended it, and why.

    `place` is the folder or URL of the records of the model, which it is named after.
    """
    assert outcome.outcome != "done"
    try:
        root = locate(place)
        now = datetime.now(timezone.utc).replace(microsecond=0).isoformat()
        known = records.read(root / run)
        facts = known or Facts(About(run, root.name, engine="kubeflow", started_at=now))
        state = outcome.outcome if outcome.outcome in ("held", "refused") else "failed"
        about = replace(
            facts.about,
            number=records.number_of(run, [earlier for _, earlier in records.read_all(root)]),
            outcome=outcome.outcome,
            ended_at=now,
            reasons=outcome.reasons,
            problem=problem,
            steps=(*facts.about.steps, *([Step(outcome.step, state)] if outcome.step else [])),
        )
        facts = replace(facts, about=about)
        _log.info(
            "The report of this run is %s", records.write(root / run, facts, render_run(facts, {}, None))
        )
    except Exception as error:  # Mostly a step that does not mount the claim; a page decides nothing.
        _log.warning("There is no report of this run: %s: %s", type(error).__name__, error)


def tell_of_end(run: str, place: str, settings: str, outcome: Outcome, problem: Problem | None) -> None:
    """Tells with what outcome a step ended a run; `settings` are `AlertSettings` as JSON."""
    assert outcome.outcome != "done"
    try:
        from pipeline.alert_settings import AlertSettings
        from runners.alerts.telling import look_at_store, tell

        root, told = locate(place), AlertSettings.model_validate_json(settings)
        about = About(run, root.name, outcome=outcome.outcome, reasons=outcome.reasons, problem=problem)
        for warning in tell(told, partial(look_at_store, root, about))[1]:
            _log.warning("%s", warning)
    except Exception as error:
        _log.warning("Nobody could be told: %s", type(error).__name__)
