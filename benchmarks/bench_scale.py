"""From how many rows on Spark pays: ExampleGen, StatisticsGen and Transform on DirectRunner and on Spark.

    python -m benchmarks.bench_scale [--rows N] [--cores 2]

Each engine takes sensor readings twice, few rows of one week and N of eight: few cost what starting costs,
and the difference what rows cost. Spark's own log of events tells which stages had work for one task alone;
the time of these does not fall with more cores, that of all others is taken to, and the rest to be the same.
What is said of more cores than were used is computed so, not measured. The DAG ends at the Trainer, which is
told to want a GPU.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from data.sensors import generator

_STEPS, _WEEKS = ("ExampleGen", "StatisticsGen", "Transform"), 8
_FEW = 4_000  # of one week; of fewer, readings are too far apart for windows
_CORES = (2, 8, 64)
# A stage of several tasks is as one of a single task where the longest has so much of the work.
_ALONE = 0.9


@dataclass
class Measured:
    """One run: seconds by step, and in MB what processes of each kind had at most."""

    seconds: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    stages: int = 0
    alone: float = 0.0  # seconds in stages of one task
    together: float = 0.0  # seconds in the others

    @property
    def all(self) -> float:
        """Seconds of all steps."""
        return sum(self.seconds.values())


def _kind(process: psutil.Process) -> str:
    if process.name() == "java":
        return "java"
    return "worker" if "pyspark.daemon" in process.cmdline() else "driver"


def _watch(process: subprocess.Popen[bytes], memory: dict[str, float]) -> None:
    """Until it ends: of each kind the largest process, and all of them together."""
    while process.poll() is None:
        total = 0.0
        try:
            root = psutil.Process(process.pid)
            for found in (root, *root.children(recursive=True)):
                size = found.memory_info().rss / 1e6
                kind = _kind(found)
                memory[kind] = max(memory[kind], size)
                total += size
        except psutil.NoSuchProcess:
            continue
        memory["all"] = max(memory["all"], total)
        time.sleep(0.2)


def _tasks(log: Path) -> Iterator[list[float]]:
    """Of each stage, the seconds of its tasks."""
    for application in log.iterdir():
        of_stage = defaultdict(list)
        for path in [application] if application.is_file() else application.glob("events_*"):
            for event in map(json.loads, path.read_text().splitlines()):
                if event["Event"] == "SparkListenerTaskEnd":
                    about = event["Task Info"]
                    seconds = (about["Finish Time"] - about["Launch Time"]) / 1000
                    of_stage[event["Stage ID"]].append(seconds)
        yield from of_stage.values()


def measure(data: Path, folder: Path, cores: int) -> Measured:
    """Runs the steps on DirectRunner, or on Spark with so many cores, where there are any."""
    made, log = Measured(), folder / "log"
    log.mkdir(parents=True)
    settings = ["trainer.require_gpu=true", "registry.enabled=false", "gate.min_examples_per_class=0"]
    settings += ["gate.severity={label_shift: warn, schema: warn}"]
    if cores:
        conf = {"enabled": "true", "compress": "false", "dir": str(log)}
        flags = ", ".join(f"--spark_conf=spark.eventLog.{name}={value}" for name, value in conf.items())
        settings += ["beam.engine=spark", f"beam.master=local[{cores}]", f"beam.flags=[{flags}]"]
    runner = str(Path(__file__).resolve().parents[1] / "runners" / "local_runner.py")
    command = [sys.executable, runner, "--json", "--workload", "sensor", "--data", str(data)]
    command += ["--workspace", str(folder / "workspace")]
    command += [part for setting in settings for part in ("--set", setting)]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.DEVNULL)
        _watch(process, made.memory)
        said.seek(0)
        run = json.loads(said.read())
    done = {step["name"]: step["seconds"] for step in run["steps"] if step["state"] == "done"}
    made.seconds = {name: done[name] for name in _STEPS if name in done}
    if tuple(made.seconds) != _STEPS:
        raise SystemExit(f"The run ended before Transform: {run.get('reasons') or run}")
    for tasks in _tasks(log):
        made.stages += 1
        if max(tasks) > _ALONE * sum(tasks):
            made.alone += max(tasks)
        else:
            made.together += sum(tasks) / cores
    return made


def wins_from(direct: tuple[float, float], spark: tuple[float, float]) -> float | None:
    """The rows from which on Spark takes less, of (seconds to start, seconds a row) each; None: never."""
    saved = direct[1] - spark[1]
    return max(0.0, (spark[0] - direct[0]) / saved) if saved > 0 else None


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=50_000, help="rows (50,000)")
    parser.add_argument("--cores", type=int, default=2, help="of Spark, on this machine (2)")
    given = parser.parse_args(arguments)
    rows, few = max(given.rows, _WEEKS * _FEW), _FEW
    engines = {"DirectRunner": 0, f"Spark local[{given.cores}]": given.cores}
    found: dict[str, tuple[Measured, Measured]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count, weeks in ((few, 1), (rows, _WEEKS)):
            generator.generate(folder / str(count), weeks=weeks, per_week=count // weeks, seed=20, faults={})
        for engine, cores in engines.items():
            found[engine] = (
                measure(folder / str(few), folder / f"few-{cores}", cores),
                measure(folder / str(rows), folder / f"rows-{cores}", cores),
            )
    (few_direct, direct), (few_spark, spark) = found.values()
    print(f"{rows:,} rows; in brackets seconds")
    print(f"{'rows a second':16}" + "".join(f"{name:>18}" for name in (*_STEPS, "all three")))
    for engine, (_, made) in found.items():
        cells = [*made.seconds.values(), made.all]
        print(f"{engine:16}" + "".join(f"{rows / s:>10,.0f} ({s:5.1f})" for s in cells))
    cells = [*(direct.seconds[name] / spark.seconds[name] for name in _STEPS), direct.all / spark.all]
    print(f"{'ratio':16}" + "".join(f"{cell:>10.2f}{'':8}" for cell in cells))
    print(f"\n{'peak MB':16}{'driver':>10}{'java':>10}{'a worker':>10}{'all':>10}")
    for engine, (_, made) in found.items():
        kinds = ("driver", "java", "worker", "all")
        print(f"{engine:16}" + "".join(f"{made.memory.get(kind, 0):>10,.0f}" for kind in kinds))
    # All that few rows take is starting: of Spark, of its workers, and of each stage.
    of_stages = (few_spark.alone + few_spark.together) / few_spark.stages
    print(
        f"\n{few:,} rows: DirectRunner {few_direct.all:.1f} s,"
        f" Spark {few_spark.all:.1f} s in {few_spark.stages} stages: {of_stages:.2f} s in each,"
        f" {(few_spark.all - few_direct.all) / few_spark.stages:.2f} s each more than DirectRunner"
    )
    more = rows - few
    of_direct = (direct.all - few_direct.all) / more
    alone, together = spark.alone - few_spark.alone, spark.together - few_spark.together
    rest = spark.all - few_spark.all - alone - together
    one, all_of = ((alone + rest) / more, together * given.cores / more)
    print(
        f"a million rows: DirectRunner {of_direct * 1e6:.0f} s,"
        f" Spark {one * 1e6:.0f} s on one core and {all_of * 1e6:.0f} core seconds on all"
    )
    for cores in _CORES:
        size = wins_from((few_direct.all, of_direct), (few_spark.all, one + all_of / cores))
        says = "at no size" if size is None else f"from {size:,.0f} rows on"
        how = "measured" if cores == given.cores else "computed, not measured"
        print(f"{cores:>3} cores: Spark wins {says} ({how})")


if __name__ == "__main__":
    main()
