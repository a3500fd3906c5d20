"""The program in the container of each step on Kubeflow, in front of TFX's own runner.

`python -m runners.kubeflow.pod.entry --records PLACE --module M --source M --step STEP`, for one of
several pods of a step `--meeting FOLDER --pods N --pod I`, with the modules of custom steps `--own JSON`,
with settings of alerts `--alerts JSON`, with a server of MLflow `--registry URL`, with a place for shards of
examples `--shards URL`, with parameters that no UI shows `--unshown JSON`, for the first step with all
settings `--settings JSON`, and then the arguments of TFX's runner. The last two lines of the log have the
step's outcome: as JSON for `edgeline`, which follows the run (see `edgeline/records/outcome.py`), and last,
where a person looks first, as a sentence.
"""

import argparse
import json
import logging
import os
import shutil
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

from edgeline.errors import EdgelineError, Problem, UsageError
from edgeline.failures import describe_error, walk_chain
from edgeline.records.outcome import Outcome
from edgeline.records.shards import find_cause
from edgeline.records.steps import RELEASE_GATE, find_helped_step, find_info
from edgeline.records.verdict import PUSH
from edgeline.visible import guard_logs
from pipeline.beam_settings import speed_up_beam
from runners.kubeflow import parameters
from runners.kubeflow.parameters import CODE_OF_IMAGE, LOCK_OF_IMAGE, RUN_ID
from runners.kubeflow.pod import handover, pages
from runners.kubeflow.pod.files import move_shards, remove_shards, share_with_executors
from runners.kubeflow.pod.handover import Json, Locations
from runners.kubeflow.pod.meeting import meet
from runners.kubeflow.pod.run_end import mirror_records, record_end, send_alerts_for_end
from runners.kubeflow.pod.stop import end_when_told_to
from runners.shared import inputs
from runners.shared.code import digest, digest_step_files
from trainer_module.workload_module import load_workload_module

# The outputs in TFX of the Trainer, the step that can have several pods.
_TRAINED = {"model": "tfx.Model", "model_run": "tfx.ModelRun"}


@dataclass(frozen=True)
class _Task:
    """Work that the launcher hands to a pod."""

    options: Namespace  # ours, with those of TFX's runner
    flags: list[str]  # Beam's
    executor_input: Json  # in the form of TFX; its URIs are the backend's until the inputs are fetched
    run: str  # the id of the run
    step: str  # its name in the DAG, which is the Trainer's for each of the Trainer's pods
    foreign: dict[str, Json]  # the outputs that only the UI knows, by name


def main(arguments: Sequence[str], root: Path = Path("/")) -> int:
    """Runs one step; returns its exit code. The launcher's folders are below `root`."""
    options, flags = _parse(arguments)
    _configure_logs(root)

    started = time.monotonic()
    executor_input = json.loads(options.json_serialized_invocation_args)
    run = ""
    problem = None
    try:
        run = handover.read_run_id(executor_input, options.step, options.own)
        _run_step(options, flags, executor_input, run, root)
        outcome = _conclude_success(options.step, executor_input, time.monotonic() - started)
    except Exception as error:
        outcome, problem = _conclude_failure(error, options, run)

    # The first of several pods of a step reports for all.
    if not options.pod and (outcome.exit_code or options.step == RELEASE_GATE):
        _report_end(options, run, outcome, problem)
    _log_lines(outcome.to_line(), outcome.sentence)
    return outcome.exit_code


def _configure_logs(root: Path) -> None:
    guard_logs()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # TFX logs its arguments there: hundreds of lines of protobuf before the first line of the step.
    logging.getLogger("absl").addFilter(lambda record: record.levelno >= logging.WARNING)
    # Before TensorFlow logs which of them it can use.
    cores = len(os.sched_getaffinity(0))
    gpus = ", ".join(sorted(path.name for path in root.glob("dev/nvidia[0-9]*"))) or "no NVIDIA GPU"
    logging.getLogger("edgeline.kubeflow").info("This pod has %d CPU cores and %s.", cores, gpus)


def _conclude_failure(error: Exception, options: Namespace, run: str) -> tuple[Outcome, Problem]:
    """Returns the outcome of a step that raised an error, and the problem; logs and records it."""
    problem = describe_error(find_cause(error), options.step)
    if not any(isinstance(link, EdgelineError) for link in walk_chain(error)):
        logging.getLogger("edgeline.kubeflow").error("%s failed", options.step, exc_info=error)
        problem = replace(problem, do="Read the log above.")

    outcome = Outcome.of_problem(problem, options.step)
    # A usage error is not fixed by a second attempt.
    if outcome.outcome == "failed" and outcome.exit_code != UsageError.exit_code:
        again = f"To go on, run `edgeline kubeflow retry {run or 'RUN'}` with the options of submit."
        outcome = replace(outcome, do=f"{outcome.do} {again}")
    problem = replace(problem, do=outcome.do)

    # A run that a gate stopped has its complete record already, from DataGate or RunReport.
    if run and find_info(options.step).stops_as != outcome.outcome:
        record_end(run, options.records, outcome, problem)
    _log_lines(problem.why, outcome.do)
    return outcome, problem


def _report_end(options: Namespace, run: str, outcome: Outcome, problem: Problem | None) -> None:
    """Sends alerts about a run that this step ended, removes what no run needs, and mirrors its record."""
    if options.alerts:
        send_alerts_for_end(run, options.records, options.alerts, outcome, problem)
    is_gate = find_info(options.step).stops_as is not None
    if options.shards and is_gate and outcome.outcome != "failed":
        remove_shards(f"{options.shards}/{run}")
    if options.registry:
        mirror_records(options.registry, options.records)


def _conclude_success(step: str, executor_input: Json, seconds: float) -> Outcome:
    """Returns the outcome of a step that ended well; for ReleaseGate it is the outcome of the Pusher."""
    if step == RELEASE_GATE:
        folder = dict(handover.artifacts(executor_input["inputs"]))["pushed_model"]["uri"]
        push = PUSH.read(Path(folder))
        return Outcome(push.outcome, push.version, push.reasons, step=step)
    return Outcome("done", reasons=(f"{step} in {seconds:.1f} s.",), step=step)


def _parse(arguments: Sequence[str]) -> tuple[Namespace, list[str]]:
    """Returns our options with those of TFX's runner, and the remaining arguments, which are Beam's flags."""
    parser = argparse.ArgumentParser(prog="runners.kubeflow.pod.entry", allow_abbrev=False)
    required = ("records", "step", "module", "source", "executor_class_path")
    for name in (*required, "json_serialized_invocation_args"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--json_serialized_inputs_spec_args", default="{}")
    parser.add_argument("--unshown", default="{}")
    parser.add_argument("--own", type=json.loads, default={})
    parser.add_argument("--settings", type=json.loads)
    for name in ("alerts", "registry", "shards", "meeting"):
        parser.add_argument(f"--{name}")
    for name in ("pods", "pod"):
        parser.add_argument(f"--{name}", type=int)
    return parser.parse_known_args(arguments)


def _run_step(options: Namespace, flags: list[str], executor_input: Json, run: str, root: Path) -> None:
    """Does the work of the pod, one stage after another: read, fetch, run, write."""
    started = datetime.now(timezone.utc)
    clock = time.monotonic()
    launcher = Locations(root)
    task = _read_task(options, flags, executor_input, run)
    with share_with_executors(task.step, run, flags, executor_input, launcher) as places:
        with _fetch_inputs(task, places):
            output = _execute(task)

        seconds = round(time.monotonic() - clock, 3)
        handover.hand_back(output, places, {"step_started": started.isoformat(), "step_seconds": seconds})
        added = pages.make_pages(options.step, task.foreign, executor_input, launcher)
    _write_output(task, output, added)


def _read_task(options: Namespace, flags: list[str], executor_input: Json, run: str) -> _Task:
    """Puts the parameters of a step into the form of TFX, and takes out the outputs that TFX does not know.

    Args:
        options: Ours, with those of TFX's runner.
        flags: Beam's.
        executor_input: As the launcher passes it; changed in place.
        run: The id of the run.

    Raises:
        UsageError: The first step got a parameter of the run that is no valid setting.
    """
    foreign = handover.take_foreign_outputs(executor_input)
    step = find_helped_step(options.step)
    fillings = {RUN_ID: run}
    if CODE_OF_IMAGE in options.unshown:
        files = digest_step_files(options.module, options.source, options.own)
        fillings |= {CODE_OF_IMAGE: digest(files), LOCK_OF_IMAGE: inputs.digest_lock()}
    passed = executor_input.setdefault("inputs", {}).get("parameterValues", {})
    if options.settings:
        parameters.check_parameters(options.settings, passed)
    values = parameters.put_together(step, passed, options.unshown, fillings)
    executor_input["inputs"]["parameterValues"] = values
    return _Task(options, flags, executor_input, run, step, foreign)


@contextmanager
def _fetch_inputs(task: _Task, places: Locations) -> Iterator[None]:
    """Makes the inputs local, and brings shards that the step then wrote to where others read them."""
    handover.prepare(task.executor_input, json.loads(task.options.json_serialized_inputs_spec_args), places)
    store = f"{task.options.shards}/{task.run}" if task.options.shards else None
    with move_shards(task.step, task.executor_input, store):
        yield


def _execute(task: _Task) -> Json:
    """Runs the step's executor in TFX's runner; returns the executor output, with local URIs."""
    # TFX is imported only now, so that a wrong input is reported at once.
    load_workload_module(task.options.module)
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor

    speed_up_beam()
    with _join_pods(task):
        passed = {**vars(task.options), "json_serialized_invocation_args": json.dumps(task.executor_input)}
        kubeflow_v2_run_executor.main((Namespace(**passed), task.flags))
    output: Json = json.loads(_find_output_file(task).read_text(encoding="utf-8"))
    if task.options.pod:
        output["artifacts"] = {}
    return output


def _write_output(task: _Task, output: Json, added: Mapping[str, Json]) -> None:
    """Writes the executor output for the launcher, with the outputs that the UI shows."""
    output.setdefault("artifacts", {}).update(added)
    _find_output_file(task).write_text(json.dumps(output), encoding="utf-8")


def _find_output_file(task: _Task) -> Path:
    return Path(task.executor_input["outputs"]["outputFile"])


@contextmanager
def _join_pods(task: _Task) -> Iterator[None]:
    """Waits for the other pods of the Trainer, if it has several; only the first keeps its outputs."""
    options = task.options
    if not options.pods:
        yield
        return
    meeting = Path(options.meeting, task.run)
    os.environ["TF_CONFIG"] = meet(meeting, options.pod, options.pods)
    try:
        with TemporaryDirectory() as folder:
            unused_outputs = _TRAINED if options.pod else {}
            for name, kind in unused_outputs.items():
                unused = {"name": name, "uri": f"{folder}/{name}", "type": {"schemaTitle": kind}}
                task.executor_input["outputs"].setdefault("artifacts", {})[name] = {"artifacts": [unused]}
            yield
    finally:
        if options.pod == 0:
            shutil.rmtree(meeting, ignore_errors=True)


def _log_lines(*lines: str) -> None:
    """Writes texts to standard error, each on one line."""
    sys.stdout.flush()
    for line in lines:
        sys.stderr.write(" ".join(line.split()) + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    arguments = sys.argv[1:]
    end_when_told_to(_parse(arguments)[0].step)
    code = main(arguments)
    # Python would take seconds to free what TensorFlow and Beam hold; the system frees it at once.
    os._exit(code)
