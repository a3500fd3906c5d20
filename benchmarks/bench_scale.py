"""The number of rows from which Spark pays: the steps of data on DirectRunner and on Spark.

    python -m benchmarks.bench_scale [--rows N] [--cores 2]

Each engine processes sensor readings twice, few rows of one week and N rows of eight: the few show the cost
of starting, the difference the cost of rows. For more cores than are here, Spark processes both again on the
cores here, its work cut into tasks for the most cores. From its event log the time of each stage on more
cores is computed: that of its longest task, or of all tasks divided by the cores, whichever is more. All else
takes as long as here. So figures for more cores are computed, not measured. The DAG ends at the Trainer,
whose settings require a GPU.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from data.sensors import generator

_STEPS, _WEEKS = ("ExampleGen", "StatisticsGen", "Transform"), 8
_FEW = 4_000  # rows of one week; with fewer, readings are too far apart for windows
_CORES = (2, 8, 64)


@dataclass
class Measurement:
    """A run: seconds by step, peak MB by kind of process, and CPU seconds."""

    seconds: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    cpu: dict[int, float] = field(default_factory=dict)  # seconds by process
    stages: list[list[float]] = field(default_factory=list)  # seconds of the tasks of each stage of Spark

    @property
    def total(self) -> float:
        """The seconds of all steps."""
        return sum(self.seconds.values())

    def estimate(self, cores: int, local: int) -> float:
        """Computes the seconds of all steps if Spark had `cores` cores, not the local ones."""
        saved = (max(max(s), sum(s) / local) - max(max(s), sum(s) / cores) for s in self.stages)
        return self.total - sum(saved)


def _classify(process: psutil.Process) -> str:
    if process.name() == "java":
        return "java"
    return "worker" if "pyspark.daemon" in process.cmdline() else "driver"


def _watch(process: subprocess.Popen[bytes], memory: dict[str, float], cpu: dict[int, float]) -> None:
    """Records peak memory by kind and of all processes, and their CPU time, until the process ends."""
    while process.poll() is None:
        total, root = 0.0, psutil.Process(process.pid)
        for each in (root, *root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):  # it has ended; it may be a zombie
                kind, size = _classify(each), each.memory_info().rss / 1e6
                cpu[each.pid] = sum(each.cpu_times()[:2])
                memory[kind] = max(memory[kind], size)
                total += size
        memory["all"] = max(memory["all"], total)
        time.sleep(0.2)


def _read_tasks(log: Path) -> Iterator[list[float]]:
    """Yields the seconds of the tasks of each stage."""
    for application in log.iterdir():
        of_stage = defaultdict(list)
        for path in [application] if application.is_file() else application.glob("events_*"):
            for event in map(json.loads, path.read_text().splitlines()):
                if event["Event"] == "SparkListenerTaskEnd":
                    task = event["Task Info"]
                    seconds = (task["Finish Time"] - task["Launch Time"]) / 1000
                    of_stage[event["Stage ID"]].append(seconds)
        yield from of_stage.values()


def measure(data: Path, folder: Path, cores: int = 0, cut_for: int = 0) -> Measurement:
    """Runs the steps on DirectRunner, or on Spark with so many cores, with tasks cut for `cut_for` cores."""
    result, log = Measurement(), folder / "log"
    log.mkdir(parents=True)
    settings = ["trainer.require_gpu=true", "registry.enabled=false", "gate.min_examples_per_class=0"]
    settings += ["gate.severity={label_shift: warn, schema: warn}"]
    if cores:
        conf = {"enabled": "true", "compress": "false", "dir": str(log)}
        flags = ", ".join(f"--spark_conf=spark.eventLog.{name}={value}" for name, value in conf.items())
        flags += f", --spark_conf=spark.default.parallelism={cut_for}"
        settings += ["beam.engine=spark", f"beam.master=local[{cores}]", f"beam.flags=[{flags}]"]
    runner = str(Path(__file__).resolve().parents[1] / "runners" / "local_runner.py")
    command = [sys.executable, runner, "--json", "--workload", "sensor", "--data", str(data)]
    command += ["--workspace", str(folder / "workspace")]
    command += [part for setting in settings for part in ("--set", setting)]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)
        _watch(process, result.memory, result.cpu)
        output.seek(0)
        run = json.loads(output.read())
    done = {step["name"]: step["seconds"] for step in run["steps"] if step["state"] == "done"}
    result.seconds = {name: done[name] for name in _STEPS if name in done}
    if tuple(result.seconds) != _STEPS:
        (run_log,) = folder.glob("workspace/runs/*/run.log")
        raise SystemExit(f"{run_log.read_text()[-4000:]}\nThe run ended before Transform ended: {run}")
    result.stages = list(_read_tasks(log))
    print(f"{folder.name}: {result.total:.1f} s, {sum(result.cpu.values()):.1f} CPU seconds", file=sys.stderr)
    return result


def find_break_even(direct: tuple[float, float], spark: tuple[float, float]) -> float | None:
    """Returns the rows from which Spark wins, by (seconds of few rows, seconds a row) each; None: never."""
    saved = direct[1] - spark[1]
    return max(0.0, _FEW + (spark[0] - direct[0]) / saved) if saved > 0 else None


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints tables of time, memory and the size from which Spark is faster."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=50_000, help="number of rows (50,000)")
    parser.add_argument("--cores", type=int, default=2, help="cores of this machine for Spark (2)")
    options = parser.parse_args(arguments)
    rows, local = max(options.rows, _WEEKS * _FEW), options.cores
    cuts = {local: local, **dict.fromkeys((cores for cores in _CORES if cores > local), max(_CORES))}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = {"few": folder / "few", "rows": folder / "rows"}
        generator.generate(data["few"], weeks=1, per_week=_FEW, seed=20, faults={})
        generator.generate(data["rows"], weeks=_WEEKS, per_week=rows // _WEEKS, seed=20, faults={})
        measure(data["few"], folder / "libraries")  # reads the libraries from the disk once
        direct = {key: measure(data[key], folder / f"{key}-direct") for key in data}
        spark = {
            cut: {key: measure(data[key], folder / f"{key}-{cut}", local, cut) for key in data}
            for cut in dict.fromkeys(cuts.values())
        }
    results = {"DirectRunner": direct, f"Spark local[{local}]": spark[local]}
    print(f"{rows:,} rows; seconds in brackets")
    print(f"{'rows per second':16}" + "".join(f"{name:>18}" for name in (*_STEPS, "all three")))
    for engine, runs in results.items():
        cells = [*runs["rows"].seconds.values(), runs["rows"].total]
        print(f"{engine:16}" + "".join(f"{rows / s:>10,.0f} ({s:5.1f})" for s in cells))
    slow, fast = direct["rows"], spark[local]["rows"]
    cells = [*(slow.seconds[name] / fast.seconds[name] for name in _STEPS), slow.total / fast.total]
    print(f"{'ratio':16}" + "".join(f"{cell:>10.2f}{'':8}" for cell in cells))
    print(f"\n{'peak MB':16}{'rows':>12}{'driver':>10}{'java':>10}{'worker':>10}{'all':>10}{'CPU s':>10}")
    for engine, runs in results.items():
        for key, count in (("few", _FEW), ("rows", rows)):
            sizes = (runs[key].memory.get(kind, 0) for kind in ("driver", "java", "worker", "all"))
            cells = [*sizes, sum(runs[key].cpu.values())]
            print(f"{engine:16}{count:>12,}" + "".join(f"{cell:>10,.0f}" for cell in cells))
    stages = len(spark[local]["few"].stages)
    more = (spark[local]["few"].total - direct["few"].total) / stages
    print(f"\n{_FEW:,} rows on Spark: {stages} stages, {more:.2f} s more per stage than on DirectRunner")
    print(f"\n{'seconds for':26}{_FEW:>10,} rows{'a million more':>16}{'Spark wins from':>18} rows")
    of_direct = direct["few"].total, (direct["rows"].total - direct["few"].total) / (rows - _FEW)
    print(f"{'DirectRunner':26}{of_direct[0]:>15.1f}{of_direct[1] * 1e6:>16.0f}")
    for cores, cut in cuts.items():
        few, all_rows = (spark[cut][key].estimate(cores, local) for key in data)
        of_spark = few, (all_rows - few) / (rows - _FEW)
        size = find_break_even(of_direct, of_spark)
        how = "measured" if cores == local else "computed"
        start = "never" if size is None else f"{size:,.0f}"
        print(f"{f'Spark, {cores} cores, {how}':26}{few:>15.1f}{of_spark[1] * 1e6:>16.0f}{start:>18}")


if __name__ == "__main__":
    main()
