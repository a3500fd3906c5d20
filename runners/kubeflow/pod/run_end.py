"""The last work of the step that ends a run on a cluster: the page of a failed run, alerts, and MLflow."""

import logging
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial

from edgeline.errors import EdgelineError, Problem
from edgeline.records.outcome import Outcome
from edgeline.records.run import Run, Step
from edgeline.release.releases import find_version_of_run
from edgeline.report import archive
from edgeline.report.facts import Facts
from edgeline.report.page import render_run
from edgeline.store.locations import Location, locate

# A run on a cluster waits this long for MLflow at its end.
_PATIENCE_S = 120.0
_log = logging.getLogger("edgeline.kubeflow")


def record_end(run: str, place: str, outcome: Outcome, problem: Problem) -> None:
    """Adds to the record of a run the outcome with which a step ended it, and the reason.

    DataGate writes the record; if the run did not come so far, a new one is made. It never raises.

    Args:
        run: The id of the run.
        place: The folder or URL of the model's records; its last part is the model's name.
        outcome: Any but done; its step, if it names one, is added to the record's.
        problem: The reason, as the report shows it.
    """
    assert outcome.outcome != "done"
    try:
        root = locate(place)
        now = datetime.now(timezone.utc).replace(microsecond=0).isoformat()
        record = archive.read(root / run)
        facts = record or Facts(Run(id=run, workload=root.name, engine="kubeflow", started_at=now))
        pushed = _find_pushed(run, root)
        state = outcome.outcome if outcome.outcome in ("held", "refused") else "failed"
        run_at_end = replace(
            facts.run,
            number=archive.choose_number(run, [earlier for _, earlier in archive.read_all(root)]),
            outcome=outcome.outcome,
            version=pushed,
            has_pushed=pushed is not None,
            ended_at=now,
            reasons=outcome.reasons,
            error=problem,
            steps=(*facts.run.steps, *([Step(outcome.step, state)] if outcome.step else [])),
        )
        facts = replace(facts, run=run_at_end)
        page = archive.write(root / run, facts, render_run(facts, {}, None))
        _log.info("The report of this run is %s", page)
    except Exception as error:  # Mostly the step does not mount the claim; the outcome stays.
        _log.warning("There is no report of this run: %s: %s", type(error).__name__, error)


def _find_pushed(run: str, root: Location) -> int | None:
    """Returns the version that a run pushed before it failed; None also where the releases are unreadable."""
    with suppress(EdgelineError, OSError):
        return find_version_of_run(root.parent.parent, root.name, run)
    return None


def send_alerts_for_end(
    run: str, place: str, settings: str, outcome: Outcome, problem: Problem | None
) -> None:
    """Sends alerts about the outcome of a run that a step ended; never raises.

    Args:
        run: The id of the run.
        place: The folder or URL of the model's records, `PUSH/runs/MODEL`.
        settings: `AlertSettings` as JSON.
        outcome: Any but done.
        problem: The error that ended the run; None if it ended well.
    """
    assert outcome.outcome != "done"
    try:
        from edgeline.alerts.settings import AlertSettings
        from edgeline.alerts.telling import look_at_store, send_new_alerts

        root = locate(place)
        alerts = AlertSettings.model_validate_json(settings)
        reasons = outcome.reasons
        run_at_end = Run(id=run, workload=root.name, outcome=outcome.outcome, reasons=reasons, error=problem)
        for warning in send_new_alerts(alerts, partial(look_at_store, root, run_at_end))[1]:
            _log.warning("%s", warning)
    except Exception as error:
        _log.warning("No alert was sent: %s", type(error).__name__)


def mirror_records(uri: str, place: str) -> None:
    """Sends a server of MLflow the runs and releases of a model that it lacks, in a process of its own.

    `place` is the folder or URL of the records of its runs, `PUSH/runs/MODEL`. It never raises: after a
    failure the next run sends them.
    """
    root, _, model = place.rpartition("/runs/")
    try:
        with tempfile.TemporaryDirectory() as workspace:
            process = subprocess.run(
                [sys.executable, "-m", "edgeline.mlflow.updates", uri, workspace, model, root],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_PATIENCE_S,
            )
        if process.returncode and process.stderr.strip():
            _log.warning("%s", process.stderr.strip().splitlines()[-1])
    except subprocess.TimeoutExpired:
        _log.warning(
            "MLflow at %s lacks this run: no answer within %g s. The next run adds it.", uri, _PATIENCE_S
        )
    except OSError as error:
        _log.warning("MLflow at %s lacks this run: %s. The next run adds it.", uri, error)
