"""Times of files on a phone; a script in place of adb prints the lines of benchmark_model."""

import json
import os
from functools import partial
from pathlib import Path

import pytest

from edgeline.release import store
from edgeline.store.locations import locate
from tests.edgeline.release.candidates import make_candidate

# Lines of a Pixel in public reports on benchmark_model, with the percentiles that newer builds print.
WARM_UP = (
    "count=13 first=18535 curr=14300 min=14211 max=18535 avg=14462.3 std=1100 p5=14211 median=14400 p95=18535"
)
RUNS = (
    "count=100 first=14601 curr=14520 min=14101 max=15903 avg=14575.2 std=240 p5=14210 median=14560 p95=15020"
)
TIMES = "Inference timings in us: Init: 5685, First inference: 18535, Inference (avg): 14575.2"
MEMORY = "Memory footprint delta from the start of the tool (MB): init=2.5 overall=9.25"
ADB = """#!/bin/sh
echo "$*" >> {calls}
case "$*" in
*getprop*model*) echo Pixel ;;
*getprop*) echo "" ;;
*--graph*) printf '%s\\n' "$PRINTED" ;;
*"shell ls"*) echo "$TOOL" ;;
*push*) test -e "$2" || {{ echo "adb: error: no devices/emulators found" >&2; exit 1; }} ;;
esac
"""


@pytest.fixture
def phone(tmp_path, monkeypatch):
    """Puts an adb first on PATH; returns the lines that it was called with."""
    calls, folder = tmp_path / "calls", tmp_path / "bin"
    folder.mkdir()
    (folder / "adb").write_text(ADB.format(calls=calls))
    (folder / "adb").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TOOL", "/data/local/tmp/benchmark_model")
    monkeypatch.setenv("PRINTED", "\n".join((WARM_UP, RUNS, TIMES, MEMORY)))
    return lambda: calls.read_text().splitlines()


@pytest.fixture
def bench(call, root):
    return partial(call, "edge", "bench", "--store", root, "--workload", "shelf")


@pytest.fixture
def root(tmp_path) -> Path:
    store.push(tmp_path / "push", "shelf", make_candidate(tmp_path / "candidate"))
    return tmp_path / "push"


def test_the_medians_of_a_phone_are_read_and_kept_beside_the_releases(bench, phone, root):
    code, out, _ = bench("--adb", "--json")
    assert code == 0
    document = json.loads(out)
    assert document["machine"]["cpu"] == "Pixel" and set(document["files"]) == {"fp16", "int8"}
    speed = document["files"]["fp16"]
    assert (speed["latency"]["p50_ms"], speed["latency"]["p95_ms"]) == (14.56, 15.02)
    assert speed["latency"]["p99_ms"] is None and speed["latency"]["runs"] == 100
    assert speed["cold_start_ms"] == pytest.approx(5.685 + 18.535)
    assert speed["peak_memory_bytes"] == 9_250_000
    (file,) = (root / "edge/shelf/benchmarks").iterdir()
    assert json.loads(file.read_text()) == document
    assert store.verify(root, "shelf") == []
    graphs = [line for line in phone() if "--graph" in line]
    assert len(graphs) == 4 and {"--num_threads=1" in line for line in graphs} == {True, False}
    assert sum(line.startswith("shell rm -f /data/local/tmp/edgeline-") for line in phone()) == 2


def test_times_are_kept_in_a_bucket_too(bucket, tmp_path, phone, call):
    store.push(f"{bucket}/push", "shelf", make_candidate(tmp_path / "candidate"))
    code, out, _ = call("edge", "bench", "--adb", "--store", f"{bucket}/push", "--workload", "shelf")
    assert code == 0
    assert "one thread 14.56 ms (p95 15.02), two threads 14.56 ms" in out and "memory 9.2 MB" in out
    assert len([*locate(f"{bucket}/push/edge/shelf/benchmarks").iterdir()]) == 1
    assert store.verify(f"{bucket}/push", "shelf") == []


def test_an_average_is_not_taken_for_a_median(bench, phone, root, monkeypatch):
    monkeypatch.setenv("PRINTED", RUNS.partition(" p5=")[0])
    code, _, err = bench("--adb")
    assert code == 1 and "printed no median for model_fp16.tflite" in err and "--tool FILE" in err
    assert not (root / "edge/shelf/benchmarks").exists()


def test_each_thing_that_is_missing_to_time_a_phone_is_named(bench, phone, tmp_path, monkeypatch):
    code, _, err = bench("--adb", "--tool", str(tmp_path / "none"))
    assert code == 1 and "no devices/emulators found" in err
    monkeypatch.setenv("TOOL", "")
    code, _, err = bench("--adb")
    assert code == 2 and "The phone has no /data/local/tmp/benchmark_model." in err
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = bench("--adb")
    assert code == 2 and err.startswith("adb was not found.")


def test_a_release_that_cannot_be_timed_here_is_bad_usage(bench):
    code, _, err = bench()
    assert code == 2 and "shelf 1 has no golden vectors." in err
    code, _, err = bench("--tool", "benchmark_model")
    assert code == 2 and "--tool is for a phone." in err


def test_a_model_that_was_never_pushed_is_refused(tmp_path, call):
    code, _, err = call("edge", "bench", "--store", tmp_path, "--workload", "shelf")
    assert code == 2 and "has no model 'shelf'" in err
