"""A year of weekly runs in one workspace: its size by part, what gc frees, and what grows slower to answer.

    python -m benchmarks.bench_year [--workspace DIR] [--weeks N] [--keep N]

The whole DAG runs on the first two weeks of sensor readings. The second run is then copied week by week: its
folder, artifacts and rows of ML Metadata, each with ids, paths and a date of its own, and its release is
pushed again for each. The mirror brings all of these to MLflow. The result are the files and rows of
52 weeks, as 52 runs leave them; the weeks are alike, but nothing is compressed. Seconds are those of one
command, except `start`: a run from the cache without its steps.
"""

import argparse
import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import ml_metadata
from ml_metadata.proto import metadata_store_pb2

from benchmarks.bench_rows import measure
from data.sensors import generator
from labels import parse_labels
from locations import measure_size
from records.run import RUN, Run
from release import store
from release.layout import LABELS, MANIFEST, PREPROCESSING
from report import records
from runners.local import gc, mirror
from runners.shared.runs import PRODUCTION, find_run, read_runs

_MODEL, _PER_WEEK, _MB = "sensor", 6000, 1e6
# With these settings training is short, and no gate holds a run back.
_SETTINGS = (
    *("data.window=2", "trainer.epochs=1", "trainer.batch_size=32", "gate.min_examples_per_class=1"),
    *("evaluation.bounds=[]", "evaluation.beat_majority=false", "evaluation.min_class_examples=1000000"),
    *("edge.min_agreement=0", "edge.max_accuracy_drop=1", "gate.severity={label_shift: warn, drift: warn}"),
)
_RUN = ("run", "--json", *(part for setting in _SETTINGS for part in ("--set", setting)))
_PARTS = ("artifacts", "runs", "metadata.sqlite", "mlflow", "mlflow.db", "push")
_ARTIFACT = re.compile(r"(artifacts/\w+/\w+/)(\d+)\b")


class Copies:
    """Copies of a complete run, as the runs of later weeks."""

    def __init__(self, workspace: Path) -> None:
        config = metadata_store_pb2.ConnectionConfig()
        config.sqlite.filename_uri = str(workspace / "metadata.sqlite")
        self._workspace, self._rows = workspace, ml_metadata.MetadataStore(config)
        self._folder, self._run = find_run(workspace, PRODUCTION)
        rows = self._rows
        run_context = rows.get_context_by_type_and_name("pipeline_run", self._run.id).id
        self._executions = rows.get_executions_by_context(run_context)
        contexts = {c.id for each in self._executions for c in rows.get_contexts_by_execution(each.id)}
        # Copies rename the contexts of one execution, so that later runs use the cache of the run itself.
        unshared = (each for each in contexts if len(rows.get_executions_by_context(each)) == 1)
        self._own = {run_context, *unshared}

    def add(self, week: int) -> None:
        """Adds the copy of the run for so many weeks later."""
        began = date.fromisoformat(self._run.started_at[:10])
        day = began + timedelta(weeks=week)
        name = f"{day:%Y%m%d}{self._run.id[8:]}"
        numbers: dict[str, str] = {}  # old to new, of executions; their folders are named so

        def move(text: str) -> str:
            text = text.replace(self._run.id, name).replace(f"{began}", f"{day}")
            return _ARTIFACT.sub(lambda match: match[1] + numbers.get(match[2], match[2]), text)

        self._add_rows(name, numbers, move)
        for old, new in numbers.items():
            for source in (self._workspace / "artifacts").glob(f"*/*/{old}"):
                shutil.copytree(source, source.with_name(new))
        folder, version = self._workspace / "runs" / name, self._push(name)
        folder.mkdir()
        for path in self._folder.path.iterdir():
            (folder / path.name).write_text(move(path.read_text()))
        number = max(run.number for run in read_runs(self._workspace)) + 1
        run: Run = replace(RUN.read(folder), number=number, version=version)
        RUN.write(folder, run)
        facts = records.read(folder)
        assert facts is not None
        about = replace(facts.about, number=run.number, version=version)
        records.write(folder, replace(facts, about=about), (folder / records.PAGE).read_text())

    def _add_rows(self, name: str, numbers: dict[str, str], move: Callable[[str], str]) -> None:
        rows = self._rows
        copies: dict[int, int] = {}
        for execution in sorted(deepcopy(self._executions), key=lambda each: int(each.id)):
            old, contexts = execution.id, rows.get_contexts_by_execution(execution.id)
            for context in contexts:
                if context.id in self._own:
                    context.ClearField("id")
                    context.name = name if context.name == self._run.id else f"{context.name} {name}"
            execution.ClearField("id")
            execution.ClearField("name")
            (new,) = rows.put_executions([execution])
            execution.id, numbers[str(old)] = new, str(new)
            pairs = []
            for event in rows.get_events_by_execution_ids([old]):
                (artifact,) = rows.get_artifacts_by_id([copies.get(event.artifact_id, event.artifact_id)])
                uri = move(artifact.uri)
                if uri != artifact.uri:
                    artifact.ClearField("id")
                    artifact.ClearField("name")
                    artifact.uri = uri
                copied = metadata_store_pb2.Event(type=event.type, path=event.path)
                pairs.append((event.artifact_id, artifact, copied))
            _, ids, _ = rows.put_execution(execution, [pair[1:] for pair in pairs], contexts, True)
            copies |= dict(zip((pair[0] for pair in pairs), ids, strict=True))

    def _push(self, run: str) -> int:
        old = store.releases(self._run.push, _MODEL)[0]
        names = [
            entry.path.split("/", 3)[3] for entry in old.manifest.files if entry.path.startswith("edge/")
        ]
        fields = ("default_variant", "variants", "metrics", "data", "code", "versions")
        candidate = store.Candidate(
            saved_model=Path(str(old.serving)),
            edge_files={
                name: Path(str(old.edge / name))
                for name in names
                if name not in (LABELS, PREPROCESSING, MANIFEST)
            },
            labels=tuple(parse_labels(old.read(LABELS), LABELS)),
            preprocessing=json.loads(old.read(PREPROCESSING)),
            run=run,
            expires_days=365,
            **{name: getattr(old.manifest, name) for name in fields},
        )
        return store.push(self._run.push, _MODEL, candidate).version


def time_command(*arguments: str) -> tuple[str, float]:
    """Runs our command; returns its output and its seconds."""
    output, seconds, _ = measure([sys.executable, "-m", "runners.cli", *arguments])
    return output, seconds


def measure_workspace(workspace: Path) -> dict[str, float]:
    """Measures megabytes by part, and seconds by read-only command."""
    place = ("--workspace", str(workspace))
    figures = {name: measure_size(workspace / name) / _MB for name in _PARTS}
    figures["all, MB"] = measure_size(workspace) / _MB
    for name, *arguments in (("runs, s", "runs"), ("status, s", "status"), ("index, s", "report", "--index")):
        figures[name] = min(time_command(*arguments, *place)[1] for _ in range(2))
    figures["index, MB"] = measure_size(workspace / "runs" / f"index-{_MODEL}.html") / _MB
    return figures


def measure_start(workspace: Path, data: Path) -> dict[str, float]:
    """Measures a run that finds nothing new, and one from the cache without its steps, in seconds."""
    source = ("--workload", _MODEL, "--data", str(data), "--workspace", str(workspace))
    figures = {"nothing new, s": time_command(*_RUN, *source, "--if-changed")[1]}
    output, wall = time_command(*_RUN, *source)
    seconds = sum(step["seconds"] or 0.0 for step in json.loads(output)["steps"])
    return {**figures, "start, s": wall - seconds}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table of sizes and seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--workspace", type=Path, help="of its first two runs, or a new one (temporary)")
    parser.add_argument("--weeks", type=int, default=52, help="weeks (52)")
    parser.add_argument("--keep", type=int, default=8, help="runs that gc keeps (8)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        workspace = (options.workspace or Path(temporary, "workspace")).absolute()
        data = workspace.with_name("data")
        while len(list(workspace.glob("runs/*/run.json"))) < 2:
            weeks = 1 if data.exists() else 2
            generator.generate(data, weeks=weeks, per_week=_PER_WEEK, seed=20, faults={}, workers=1)
            time_command(*_RUN, "--workload", _MODEL, "--data", str(data), "--workspace", str(workspace))
        copies = Copies(workspace)
        columns = {"2 weeks": {**measure_workspace(workspace), **measure_start(workspace, data)}}
        began = time.monotonic()
        for week in range(1, options.weeks - 1):
            copies.add(week)
        _, run = find_run(workspace, "latest")
        assert run.registry is not None
        mirror.mirror(run.registry, workspace, _MODEL, run.push)
        print(f"copied in {time.monotonic() - began:.0f} s")
        columns[f"{options.weeks} weeks"] = {**measure_workspace(workspace), **measure_start(workspace, data)}
        half, began = measure_size(workspace) / 2, time.monotonic()
        warnings = gc.keep_within(workspace, half / 1e9, run.push)
        seconds, left = time.monotonic() - began, len(list((workspace / "runs").glob("*/run.json")))
        print(f"workspace.max_gb of half its size: {seconds:.1f} s, {left} runs stay", *warnings)
        output, seconds = time_command("gc", "--keep", str(options.keep), "--workspace", str(workspace))
        print(f"gc --keep {options.keep}: {seconds:.1f} s\n{output}")
        columns[f"keep {options.keep}"] = measure_workspace(workspace)
        print(f"{'':16}" + "".join(f"{name:>10}" for name in columns))
        for name in next(iter(columns.values())):
            print(
                f"{name:16}"
                + "".join(
                    f"{column[name]:>10.2f}" if name in column else f"{'':>10}" for column in columns.values()
                )
            )


if __name__ == "__main__":
    main()
