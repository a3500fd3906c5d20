"""Runs one step of a past run again, on its original inputs, in a folder of its own.

OUT/metadata.sqlite    a copy of the workspace's ML Metadata, for the inputs
OUT/artifacts/         the outputs of the step
OUT/runs/<id>/         run.json, with the changed settings, events.jsonl, and run.log

The workspace itself stays as it is: no later run, report or release knows of it.
"""

import itertools
import os
import shutil
from dataclasses import replace
from pathlib import Path

from data.spans.layout import find_newest_spans
from edgeline.cli.stdout import print_json, say
from edgeline.errors import EdgelineError, UsageError, suggest
from edgeline.records.run import CODE, Run
from edgeline.records.training import CHECKPOINTS
from edgeline.report.sources import Sources
from edgeline.store.locations import locate
from edgeline.workspace import runs
from edgeline.workspace.runs import RunFolder, find_run
from runners.local.lock import hold, hold_artifacts
from runners.local.metadata_rows import METADATA, copy_without_step
from runners.local.worker_link import run_worker
from runners.shared import inputs
from runners.shared.code import digest_step_files
from runners.shared.progress import Progress
from runners.shared.run_options import NamedSettings, StepOptions, check_path

# By step that changes the release store: what to do instead of running it again.
_INSTEAD = {
    "DataGate": "Name DataValidator, which gives the verdict on the data.",
    "Pusher": "Use `edgeline promote` to put a release in production.",
}


def run_step(options: StepOptions) -> tuple[Path, dict[str, str], float]:
    """Runs the step; returns its folder, the folders of its outputs by name, and its wall time in seconds.

    Raises:
        UsageError: The run has no such step, its inputs are gone, a setting is wrong, or the path of the
            folder is a pattern.
        EdgelineError: The step failed; the exit code is the one that a run would have had.
    """
    folder, run = find_run(options.workspace, options.run)
    with hold_artifacts(options.workspace):
        return _run_step(options, folder, run)


def _run_step(options: StepOptions, folder: RunFolder, run: Run) -> tuple[Path, dict[str, str], float]:
    from rich.console import Console

    _check(options.step, run)
    named = NamedSettings(run.workload_source, None, options.overrides, base=run.settings)
    workload, settings = named.load()
    check_path((options.out or Path()).absolute(), "--out")
    out = _make_folder(options, run)
    if options.step == "ExampleGen":  # It reads the data as they are now.
        spans = find_newest_spans(locate(run.data), settings.data.window, settings.data.until)
        code = digest_step_files(workload.module, workload.source, settings.own_modules())
        digests = inputs.digest_inputs(spans, out / "window.json", workload, settings, run.push, code)
        run = replace(run, inputs=digests)
    model_run = Sources.of(run).model_run
    if options.step == "Trainer" and model_run and (model_run / CHECKPOINTS).is_dir():
        shutil.copytree(model_run / CHECKPOINTS, out / CHECKPOINTS)  # for another trainer.checkpoint
    run = replace(run, settings=settings.recorded(), outcome="running", ended_at=None, steps=(), artifacts=())
    run = replace(run, pid=os.getpid(), process=runs.identify_process(os.getpid()))
    own = RunFolder(out / "runs" / run.id)
    own.path.mkdir(parents=True)
    CODE.write(own.path, CODE.read(folder.path))
    own.write(run)
    node = f"{workload.pipeline}.{options.step}"
    copy_without_step(options.workspace / METADATA, out / METADATA, run.id, node)
    with Progress(Console(stderr=True, highlight=False)) as progress, hold(out) as lock:
        progress.say(f"{options.step} of run {run.id}, again in {out}", "bold")
        problem = run_worker(own, lock.descriptor, progress.handle, options.step)
    if problem is not None:
        raise EdgelineError.from_problem(problem)
    run = own.add_events(run)
    if not run.steps:
        raise UsageError(
            f"The DAG has no step {options.step} now.",
            f"It had one in run {run.id}; the code or the settings have changed since.",
            "Name another run with --of RUN.",
        )
    outputs = {artifact.output: artifact.uri for artifact in run.artifacts}
    return out, outputs, run.steps[0].seconds or 0.0


def print_step(options: StepOptions) -> int:
    """Runs the step and prints where its outputs are; returns the exit code. Raises as `run_step` does."""
    out, outputs, seconds = run_step(options)
    if options.as_json:
        return print_json({"step": options.step, "folder": str(out), "outputs": outputs, "seconds": seconds})
    for name, uri in outputs.items():
        say(f"{name}: {uri}")
    say(f"Nothing of this is in {options.workspace}. Remove {out} when it is not needed.")
    return 0


def _check(step: str, run: Run) -> None:
    names = [step_record.name for step_record in run.steps]
    if step not in names:
        raise UsageError(
            f"Run {run.id} had no step {step!r}.",
            f"Its steps: {', '.join(names)}." if names else "It ended before its first step.",
            suggest(step, names) or ("Name one of them." if names else "Name another run with --of RUN."),
        )
    if step in _INSTEAD:
        raise UsageError(
            f"{step} does not run again by itself.",
            "It changes what is in production, outside of its outputs.",
            _INSTEAD[step],
        )
    before = run.steps[: names.index(step)]
    if unfinished := [item for item in before if item.name not in run.finished_steps]:
        raise UsageError(
            f"Run {run.id} ended before {step}: the state of {unfinished[0].name} is {unfinished[0].state}.",
            f"{step} needs the outputs of the steps before it.",
            f"Name {unfinished[0].name}, or another run with --of RUN.",
        )
    needed = {item.name for item in before}
    for artifact in run.artifacts:
        if artifact.step in needed and not os.path.isdir(artifact.uri):
            raise UsageError(
                f"The output {artifact.output} of {artifact.step} in run {run.id} is gone: {artifact.uri}",
                "Artifacts of old runs are removed by `edgeline gc` and workspace.max_gb.",
                "Name another run with --of RUN.",
            )


def _make_folder(options: StepOptions, run: Run) -> Path:
    if options.out is not None:
        out = options.out.absolute()
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UsageError(
                f"{out} exists and is not an empty folder.",
                "What is in it would be mixed with the outputs of the step.",
                "Name another one with --out DIR.",
            )
        out.mkdir(parents=True, exist_ok=True)
        return out
    name = f"{options.step}-of-{run.id}"
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    out = next(path for path in map(Path, names) if not path.exists()).absolute()
    out.mkdir()
    return out
