"""What a run would do, told in a second: which steps come from the cache, which run, and why."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import to_builtins

from data.spans.layout import newest_spans
from records.run import CODE, Run
from records.steps import STEPS, StepInfo, steps_with
from report.facts import by_dotted_name
from runners.local import artifact_records
from runners.shared import inputs, runs
from runners.shared.code import digest, step_files
from runners.shared.run_options import RunOptions
from runners.shared.runs import RunFolder
from runners.shared.stdout import print_json, say

if TYPE_CHECKING:
    from pipeline.settings import Settings
    from records.workload import Workload

Code = Mapping[str, Mapping[str, str]]
# Of the value of a setting, such as a list of bounds.
_LONGEST = 60
_WORDS = {
    "data": "the data folder",
    "window": "the data of the window",
    "workload": "the workload",
    "labels": "the labels",
    "schema": "the curated schema",
    "production": "what is in production",
    "unjudged": "which spans are judged",
    "destination": "where releases go",
    "lock": "the libraries",
}


@dataclass(frozen=True)
class PlannedStep:
    """One step: whether it comes from the cache, and else why it runs, a few words each."""

    name: str
    cached: bool
    why: tuple[str, ...] = ()


@dataclass(frozen=True)
class World:
    """What the steps of one run depend on."""

    inputs: Mapping[str, str]  # digests, and the data folder, by name
    settings: Mapping[str, str]  # by dotted name
    code: Code  # digests of the files of each step

    @property
    def steps(self) -> Mapping[str, StepInfo]:
        """Those of the DAG with these settings."""
        return steps_with(self.settings)

    def of(self, step: str) -> dict[str, str]:
        """All that is in the cache's key of a step but the outputs of other steps."""
        info = STEPS[step]
        found = {name: self.inputs.get(name, "") for name in info.inputs}
        found |= {f"setting {name}": value for name, value in self.settings.items() if info.takes(name)}
        if info.has_code:
            found |= {f"code of {module}": value for module, value in self.code.get(step, {}).items()}
            found["lock"] = self.inputs.get("lock", "")
        return found

    def keys(self) -> dict[str, str]:
        """The key of each step, those of the steps before it among it."""
        keys: dict[str, str] = {}
        for step, info in self.steps.items():
            keys[step] = digest([self.of(step), [keys[before] for before in info.after]])
        return keys


def plan(options: RunOptions) -> int:
    """Tells what a run with these options would do; returns the exit code.

    Raises:
        UsageError: Something in the options is wrong, or there is no data to read.
        DataRefused: All data is excluded.
    """
    named = options.named.with_whole_path()
    workload, settings = named.load()
    workspace = options.workspace.absolute()
    earlier = [item for item in runs.read_all(workspace) if item[1].workload == workload.name]
    steps = make_plan(_world_now(options, workload, settings), earlier)
    if options.as_json:
        print_json({"last_run": earlier[-1][1].id if earlier else None, "steps": to_builtins(steps)})
        return 0
    for step in steps:
        say(f"  {step.name:<16} {'cached' if step.cached else 'runs: ' + '; '.join(step.why)}")
    return 0


def make_plan(now: World, earlier: Sequence[tuple[RunFolder, Run]]) -> list[PlannedStep]:
    """What each step would do, by what it depends on now and the earlier runs of its model, oldest first."""
    known: dict[str, set[str]] = {step: set() for step in STEPS}
    last: dict[str, World] = {}
    for folder, run in earlier:
        world = _world_of(folder, run)
        keys, there = world.keys(), _kept(folder)
        for step in run.steps:
            if step.name in keys and step.state in ("done", "cached"):
                last[step.name] = world
                if step.name in there:
                    known[step.name].add(keys[step.name])
    planned: dict[str, PlannedStep] = {}
    keys = now.keys()
    for name, info in now.steps.items():
        after = [before for before in info.after if not planned[before].cached]
        if info.each_run:
            planned[name] = PlannedStep(name, False, ("each run does it",))
        elif keys[name] in known[name] and not after:
            planned[name] = PlannedStep(name, True)
        else:
            why = [*_why(name, now, last.get(name)), *([f"after {', '.join(after)}"] if after else [])]
            planned[name] = PlannedStep(name, False, tuple(why or ["what it left is gone"]))
    return list(planned.values())


def _why(step: str, now: World, before: World | None) -> Iterator[str]:
    """What changed for a step since it was done last."""
    if before is None:
        yield "it was not done yet"
        return
    gone = set(before.steps[step].after) - set(now.steps[step].after)
    yield from (f"{other} no longer runs" for other in sorted(gone))
    ours, theirs = now.of(step), before.of(step)
    changed = [name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)]
    files = [name.removeprefix("code of ") for name in changed if name.startswith("code of ")]
    for name in changed:
        if name.startswith("setting "):
            values = theirs.get(name, "not set"), ours.get(name, "not set")
            yield f"{name.removeprefix('setting ')} {' -> '.join(value[:_LONGEST] for value in values)}"
        elif not name.startswith("code of "):
            yield f"{_WORDS[name]} changed"
    if files:
        more = f" and {len(files) - 3} more" if len(files) > 3 else ""
        yield f"code of {', '.join(files[:3])}{more} changed"


def _kept(folder: RunFolder) -> set[str]:
    """The steps of a run whose outputs are all still there."""
    kept: dict[str, bool] = {}
    for record in artifact_records.read(folder.artifacts):
        kept[record.step] = kept.get(record.step, True) and os.path.isdir(record.uri)
    return {step for step, whole in kept.items() if whole}


def _world_of(folder: RunFolder, run: Run) -> World:
    code = CODE.find_readable(folder.path) or {}
    return World({**run.inputs, "data": run.data}, by_dotted_name(run.settings), code)


def _world_now(options: RunOptions, workload: "Workload", settings: "Settings") -> World:
    workspace = options.workspace.absolute()
    push = settings.push.root(workspace)
    data = options.data.absolute() if options.data is not None else inputs.sample_folder(workspace, workload)
    code = step_files(workload.module, workload.source)
    there = options.data is not None or Path(str(data)).is_dir()
    spans = newest_spans(data, settings.data.window) if there else ()
    # A workspace is made by its first run.
    cache = workspace / "window.json" if workspace.is_dir() else None
    seen = inputs.digests(spans, cache, workload, settings, push, code)
    return World({**seen, "data": str(data)}, by_dotted_name(settings.recorded()), code)
