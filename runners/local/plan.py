"""The plan of a run, made within a second: which steps come from the cache, which run, and why."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from data.spans.layout import find_newest_spans
from edgeline.cli.stdout import print_json, say
from edgeline.records.run import CODE, Run, flatten
from edgeline.records.steps import StepInfo, select_steps
from edgeline.workspace import runs
from edgeline.workspace.runs import RunFolder
from runners.shared import inputs
from runners.shared.code import digest, digest_step_files
from runners.shared.run_options import RunOptions

if TYPE_CHECKING:
    from edgeline.records.workload import Workload
    from pipeline.settings import Settings

Code = Mapping[str, Mapping[str, str]]
# Values of settings, such as lists of bounds, are cut at this many characters.
_LONGEST = 60
_WORDS = {
    "data": "the data folder",
    "window": "the data of the window",
    "workload": "the workload",
    "labels": "the labels",
    "schema": "the curated schema",
    "production": "the release in production",
    "unjudged": "the list of spans to judge",
    "destination": "the destination of releases",
    "lock": "the libraries",
    "weights": "the file of model.weights",
    "slow": "the list of runs in which a file was only too slow",
}


@dataclass(frozen=True)
class PlannedStep:
    """One step: `cached`, or the reasons why it runs, a few words each."""

    name: str
    cached: bool
    why: tuple[str, ...] = ()


@dataclass(frozen=True)
class World:
    """The inputs, settings and code that the steps of one run depend on."""

    inputs: Mapping[str, str]  # digests, and the data folder, by name
    settings: Mapping[str, str]  # by dotted name
    code: Code  # digests of the files of each step
    own: Mapping[str, Any]  # the setting `steps`, in JSON's types

    @property
    def steps(self) -> Mapping[str, StepInfo]:
        """Returns the steps of the DAG with these settings."""
        return select_steps(self.settings.get("tune.max_trials", "0") != "0", self.own)

    def select_inputs(self, step: str) -> dict[str, str]:
        """Returns everything in the cache key of a step except the outputs of other steps."""
        info = self.steps[step]
        values = {name: self.inputs.get(name, "") for name in info.inputs}
        values |= {f"setting {name}": value for name, value in self.settings.items() if info.takes(name)}
        if "spill" in info.opens:  # it runs on Beam, and TFX takes Beam's flags for a part of it
            values |= {f"setting {n}": value for n, value in self.settings.items() if n.startswith("beam.")}
        if info.has_code:
            values |= {f"code of {module}": value for module, value in self.code.get(step, {}).items()}
            values["lock"] = self.inputs.get("lock", "")
        return values

    def make_keys(self) -> dict[str, str]:
        """Returns the key of each step, which includes the keys of the steps before it."""
        keys: dict[str, str] = {}
        for step, info in self.steps.items():
            keys[step] = digest([self.select_inputs(step), [keys[before] for before in info.after]])
        return keys


def plan(options: RunOptions) -> int:
    """Prints the plan of a run with these options; returns the exit code.

    Raises:
        UsageError: Something in the options is wrong, or there is no data to read.
        DataRefused: All data is excluded.
    """
    named = options.named.with_whole_path()
    workload, settings = named.load()
    workspace = options.workspace.absolute()
    earlier = [item for item in runs.read_all(workspace) if item[1].workload == workload.name]
    world = _read_world(options, workload, settings, [run for _, run in earlier])
    steps = make_plan(world, earlier)
    if options.as_json:
        return print_json({"last_run": earlier[-1][1].id if earlier else None, "steps": to_builtins(steps)})
    say(f"{workload.name} from {world.inputs['data']}")
    for step in steps:
        say(f"  {step.name:<16} {'cached' if step.cached else 'runs: ' + '; '.join(step.why)}")
    return 0


def make_plan(now: World, earlier: Sequence[tuple[RunFolder, Run]]) -> list[PlannedStep]:
    """Plans the steps of a run in the world `now`, given the earlier runs of its model, oldest first."""
    wanted = now.make_keys()
    finished = set[str]()
    last: dict[str, World] = {}
    for folder, run in earlier:
        code = CODE.find_readable(folder.path) or {}
        world = _make_world({**run.inputs, "data": run.data}, run.settings, code)
        keys = world.make_keys()
        for step in run.finished_steps:
            if step in wanted and step in keys:
                last[step] = world
                if step not in finished and keys[step] == wanted[step] and _is_complete(run, step):
                    finished.add(step)

    planned: dict[str, PlannedStep] = {}
    for name, info in now.steps.items():
        after = [before for before in info.after if not planned[before].cached]
        if info.each_run:
            planned[name] = PlannedStep(name, False, ("it runs every time",))
        elif name in finished and not after:
            planned[name] = PlannedStep(name, True)
        else:
            why = list(_list_changes(name, now, last.get(name)))
            if after:
                why.append(f"after {', '.join(after)}")
            planned[name] = PlannedStep(name, False, tuple(why or ["its outputs are gone or damaged"]))
    return list(planned.values())


def _list_changes(step: str, now: World, before: World | None) -> Iterator[str]:
    """Yields what changed for a step since it was last done, a few words each."""
    if before is None:
        yield "it has not run yet"
        return
    dropped = set(before.steps[step].after) - set(now.steps[step].after)
    yield from (f"{other} no longer runs" for other in sorted(dropped))
    new, old = now.select_inputs(step), before.select_inputs(step)
    changed = [name for name in sorted({*new, *old}) if new.get(name) != old.get(name)]
    files = [name.removeprefix("code of ") for name in changed if name.startswith("code of ")]
    for name in changed:
        if name.startswith("setting "):
            values = old.get(name, "not set"), new.get(name, "not set")
            yield f"{name.removeprefix('setting ')} {' -> '.join(value[:_LONGEST] for value in values)}"
        elif not name.startswith("code of "):
            yield f"{_WORDS[name]} changed"
    if files:
        more = f" and {len(files) - 3} more" if len(files) > 3 else ""
        yield f"code of {', '.join(files[:3])}{more} changed"


def _is_complete(run: Run, step: str) -> bool:
    """Tells whether all outputs of a step of a run still exist, with all their files."""
    outputs = [artifact for artifact in run.artifacts if artifact.step == step]
    return bool(outputs) and all(os.path.isdir(it.uri) and not runs.describe_damage(it) for it in outputs)


def _read_world(
    options: RunOptions, workload: "Workload", settings: "Settings", earlier: Sequence[Run]
) -> World:
    workspace = options.workspace.absolute()
    push = settings.push.root(workspace)
    data = options.data.absolute() if options.data is not None else inputs.locate_sample(workspace, workload)
    code = digest_step_files(workload.module, workload.source, settings.own_modules())
    has_data = options.data is not None or Path(str(data)).is_dir()
    limits = settings.data
    spans = find_newest_spans(data, limits.window, limits.until) if has_data else ()
    # A workspace is created by its first run.
    cache = workspace / "window.json" if workspace.is_dir() else None
    digests = inputs.digest_inputs(spans, cache, workload, settings, push, code, earlier)
    return _make_world({**digests, "data": str(data)}, settings.recorded(), code)


def _make_world(inputs: Mapping[str, str], settings: Mapping[str, Any], code: Code) -> World:
    values = {name: str(value) for name, value in flatten(settings).items()}
    return World(inputs, values, code, settings.get("steps", {}))
