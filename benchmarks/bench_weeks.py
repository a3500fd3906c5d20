"""The time of the data steps of a weekly run, with and without what was kept of earlier weeks.

    python -m benchmarks.bench_weeks [--rows N | --photos N] [--weeks N]

A workspace gets eight weeks, then one more, and the steps run on each window; the second window then runs in
a workspace of its own, and so does its last week alone. The steps run in this process, with all imports done
before. SchemaGen, ExampleValidator, DataValidator and DataGate read only statistics, and take less than a
second each whatever the window.

It ends with an error if kept results changed a byte of the examples, or an exact value of the statistics.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfx.types.standard_artifacts import Examples, ExampleStatistics, Schema, TransformGraph

from components.artifacts import Quarantine
from components.example_gen import SpanExampleGen
from components.import_schema_gen import ImportSchemaGen
from components.kept_spans import kept_folder
from components.tfx_steps import StatisticsGen, Transform
from data.sensors import generator
from data.settings import DataSettings
from data.shelf import renderer
from gates.drift import features_to_count
from pipeline.beam_settings import BeamSettings
from pipeline.workloads import BUILT_IN, read_schema, with_features

_STEPS = ("SpanExampleGen", "StatisticsGen", "Transform")
_MODEL = {"image_size": 128, "channels": 1, "max_side": 512, "buckets": 16, "vocabulary": 32}


def run_steps(name: str, data: Path, folder: Path, workspace: Path, window: int) -> dict[str, Any]:
    """Runs the steps; returns CPU seconds and wall seconds by step."""
    workload, times = with_features(BUILT_IN[name]), {}
    kinds = {"examples": Examples, "quarantine": Quarantine, "statistics": ExampleStatistics}
    kinds |= {"schema": Schema, "transform_graph": TransformGraph}
    artifacts = {kind: new() for kind, new in kinds.items()}
    for kind, artifact in artifacts.items():
        artifact.uri = str(folder / kind)

    def run(step: Any, inputs: Sequence[str], outputs: Sequence[str], **properties: Any) -> None:
        began = _measure_cpu(), time.monotonic()
        executor = step.EXECUTOR_SPEC.executor_class
        flags = {"beam_pipeline_args": list(BeamSettings().as_flags())} if step is not ImportSchemaGen else {}
        executor(executor.Context(tmp_dir=str(folder / "tmp"), unique_id="1", **flags)).Do(
            {kind: [artifacts[kind]] for kind in inputs},
            {kind: [artifacts[kind]] for kind in outputs},
            properties,
        )
        times[step.__name__] = _measure_cpu() - began[0], time.monotonic() - began[1]

    of_kind = workload.settings.get("data", {})
    run(ImportSchemaGen, [], ["schema"], text=Path(workload.schema).read_text())
    run(
        SpanExampleGen,
        [],
        ["examples", "quarantine"],
        data=str(data),
        workload=workload.to_json(),
        settings=DataSettings(window=window, **of_kind).model_dump_json(),
        window="",
        workspace=str(workspace),
        code="",
    )
    run(
        StatisticsGen,
        ["examples"],
        ["statistics"],
        features=json.dumps(features_to_count(read_schema(workload), workload.unmeasured)),
        kept=str(kept_folder(workspace, workload) / "statistics"),
        code="",
    )
    config = {"labels": workload.labels, "numbers": workload.numbers, "categories": workload.categories}
    run(
        Transform,
        ["examples", "schema"],
        ["transform_graph"],
        preprocessing_fn=f"{workload.module}.preprocessing_fn",
        custom_config=json.dumps({**config, **_MODEL}),
        disable_statistics=1,
    )
    return times


def read_results(folder: Path) -> dict[Any, Any]:
    """Reads the bytes of the examples, and the exact values of the statistics."""
    from tensorflow_data_validation import load_stats_binary

    files = folder.glob("examples/*/*.gz")
    content: dict[Any, Any] = {(path.parent.name, path.name): path.read_bytes() for path in files}
    for path in folder.glob("statistics/*/FeatureStats.pb"):
        for dataset in load_stats_binary(str(path)).datasets:
            for feature in dataset.features:
                stats = getattr(feature, feature.WhichOneof("stats"))
                stats.common_stats.ClearField("num_values_histogram")
                if feature.HasField("num_stats"):
                    for inexact in ("mean", "std_dev", "median", "histograms"):
                        stats.ClearField(inexact)
                where = path.parent.name, dataset.name, str(feature.path)
                content[where] = dataset.num_examples, str(feature)
    return content


def _measure_cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables of CPU seconds and seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=20_000, help="sensor readings per week (20,000)")
    parser.add_argument("--photos", type=int, help="use this number of photos per week instead")
    parser.add_argument("--weeks", type=int, default=8, help="weeks in the window (8)")
    options = parser.parse_args(arguments)
    name, per_week = ("shelf", options.photos) if options.photos else ("sensor", options.rows)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)

        def add(weeks: int, data: str = "data") -> None:
            workers = os.cpu_count() or 1
            generate = renderer.generate if options.photos else generator.generate
            generate(folder / data, weeks=weeks, per_week=per_week, seed=20, faults={}, workers=workers)

        def run(side: str, workspace: str, window: int = options.weeks, data: str = "data") -> Any:
            return run_steps(name, folder / data, folder / side, folder / workspace, window)

        add(1, "little")
        run("warm", "warm", 1, "little")  # imports
        add(options.weeks)
        sides = {"first run": run("first", "kept")}
        add(1)
        sides["next week"] = run("next", "kept")
        sides["without"] = run("without", "new")
        sides["one week"] = run("one", "one", 1)
        columns = (*sides, "without / next")
        for place, unit in enumerate(("CPU seconds", "seconds")):
            print(f"{unit:16}" + "".join(f"{column:>15}" for column in columns))
            for step in (*_STEPS, "all three"):
                chosen = _STEPS if step == "all three" else (step,)
                seconds = [sum(times[each][place] for each in chosen) for times in sides.values()]
                ratio = seconds[2] / seconds[1]
                print(f"{step:16}" + "".join(f"{value:15.1f}" for value in (*seconds, ratio)), flush=True)
        if read_results(folder / "next") != read_results(folder / "without"):
            raise SystemExit("The cached results changed the examples or the statistics.")


if __name__ == "__main__":
    main()
