"""The worker: `python -m runners.local.worker RUN_DIR [STEP]` imports TFX and runs the DAG of that run.

With STEP it runs that step alone. It reports through RUN_DIR/events.jsonl; its output goes to the log of the
run. Its standard input is a pipe that its parent holds: when it closes, the parent is gone, and the worker
kills itself and all it started.
"""

import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from edgeline.errors import EdgelineError, Problem, UsageError
from edgeline.failures import describe_error
from edgeline.records.events import EventWriter, Failed, listen
from edgeline.records.run import CODE
from edgeline.records.training import CHECKPOINTS
from edgeline.visible import guard_logs
from edgeline.workspace.runs import RunFolder
from pipeline.workloads import find_workload, with_features
from runners.local import metadata_rows
from runners.local.deaths import CANNOT_WRITE

if TYPE_CHECKING:
    from runners.local.step_runner import StepRunner


def main(run_dir: str, step: str | None = None) -> int:
    """Runs the DAG, or one step of it; returns the exit code."""
    folder = RunFolder(Path(run_dir))
    tell = EventWriter(folder.events)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent handles Ctrl-C, and sends SIGTERM.
    guard_logs()
    listen(tell)

    runner: StepRunner | None = None
    try:
        runner, pipeline = _prepare(folder, tell, step)
        runner.run(pipeline)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        problem = _find_damage(folder) or describe_error(error, runner.step if runner else None)
        try:
            tell(Failed(problem))
            logging.getLogger(__name__).exception("The run failed")
        except OSError:  # the log of absl raises it too
            return CANNOT_WRITE
        return problem.exit_code
    return 0


def _prepare(folder: RunFolder, tell: EventWriter, step: str | None) -> "tuple[StepRunner, object]":
    run = folder.read()
    if run is None:
        raise UsageError(
            f"{folder.record} is missing, or not the record of a run.", "", "Start runs with `edgeline run`."
        )
    workspace = folder.path.parent.parent
    workload = with_features(find_workload(run.workload_source))

    from absl import logging as absl_logging

    absl_logging.set_verbosity(absl_logging.INFO)

    from pipeline.settings import Settings
    from runners.local.dag import build
    from runners.local.step_runner import StepRunner

    settings = Settings.model_validate_json(json.dumps(run.settings))
    code = CODE.read(folder.path)
    pipeline = build(workload, settings, workspace, run, code)
    return StepRunner(run.id, tell, workspace / CHECKPOINTS, step), pipeline


def _find_damage(folder: RunFolder) -> Problem | None:
    """Returns the problem of a damaged database of ML Metadata, whose own errors name no file."""
    try:
        metadata_rows.check_database(folder.path.parent.parent / metadata_rows.METADATA)
    except EdgelineError as damage:
        return damage.problem
    return None


def _die_with_parent() -> None:
    while os.read(0, 4096):
        pass
    # This process leads a group of its own, so the signal ends Beam's and the converter's processes too.
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Python would take seconds to free what TensorFlow and Beam hold; the system frees it at once.
    os._exit(code)
