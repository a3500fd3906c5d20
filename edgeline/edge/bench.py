"""Times the files of a release on an Android phone."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from edgeline.edge.measure import RUNS, WARM_UP
from edgeline.errors import EdgelineError, UsageError
from edgeline.records.edge import Latency, Machine, Speed

# Google's build of benchmark_model, which times a file with random input.
TOOL = PurePosixPath("/data/local/tmp/benchmark_model")
_TIMEOUT_S = 300
# As TensorFlow's stats_calculator.h and benchmark_model.cc print them; the last `count=` is of the runs.
_RUNS = re.compile(r"count=(\d+) .*\bmedian=([\d.e+]+) p95=([\d.e+]+)")
_FIRST = re.compile(r"Inference timings in us: Init: ([\d.e+]+), First inference: ([\d.e+]+)")
_MEMORY = re.compile(r"emory footprint.*\(MB\): init=\S+ overall=([\d.e+]+)")


def bench_on_phone(files: Mapping[str, Path], tool: Path | None) -> tuple[Machine, dict[str, Speed]]:
    """Times files, by name, on the phone that adb reaches.

    `tool` is a benchmark_model for the phone's processor, which is copied there; None if it is there already.

    Raises:
        UsageError: adb is not installed, or the phone has no benchmark_model.
        EdgelineError: The phone cannot be reached, or the tool fails or says no median.
    """
    if shutil.which("adb") is None:
        raise UsageError(
            "adb was not found.",
            "It comes with Android's platform tools, and connects to a phone.",
            "Install them, connect a phone with USB debugging, and check that `adb devices` lists it.",
        )
    if tool is not None:
        _call_adb("push", str(tool), str(TOOL))
        _call_adb("shell", f"chmod +x {TOOL}")
    elif _call_adb("shell", f"ls {TOOL} 2>/dev/null || true").strip() != str(TOOL):
        raise UsageError(
            f"The phone has no {TOOL}.",
            "Google's tool runs a file on the phone; its binary depends on the phone's processor.",
            "Build or download it (tensorflow/lite/tools/benchmark), and pass it with --tool FILE.",
        )
    properties = ("ro.product.manufacturer", "ro.product.model", "ro.board.platform")
    named = [_call_adb("shell", f"getprop {name}").strip() for name in properties]
    system = _call_adb("shell", "getprop ro.build.version.release").strip()
    speeds = {name: _bench_file_on_phone(path) for name, path in files.items()}
    return Machine(" ".join(filter(None, named)), f"benchmark_model, Android {system}"), speeds


def _bench_file_on_phone(file: Path) -> Speed:
    remote = TOOL.parent / f"edgeline-{file.name}"
    _call_adb("push", str(file), str(remote))
    try:
        one, two = (
            _call_adb(
                "shell",
                f"{TOOL} --graph={remote} --num_threads={threads} --warmup_runs={WARM_UP} --num_runs={RUNS}"
                " 2>&1",
            )
            for threads in (1, 2)
        )
    finally:
        _call_adb("shell", f"rm -f {remote}")
    first, memory = _FIRST.search(one), _MEMORY.search(one)
    return Speed(
        latency=_read_latency(one, file.name),
        two_threads=_read_latency(two, file.name),
        cold_start_ms=(float(first[1]) + float(first[2])) / 1e3 if first else None,
        peak_memory_bytes=round(float(memory[1]) * 1e6) if memory else None,
    )


def _read_latency(output: str, file: str) -> Latency:
    """Reads median and 95th percentile of the runs from what benchmark_model prints, in microseconds."""
    runs = _RUNS.findall(output)
    if not runs:
        raise EdgelineError(
            [f"benchmark_model printed no median for {file}:", *output.strip()[-500:].splitlines()],
            "Earlier builds print an average only, which one slow run moves.",
            "Pass a newer one with --tool FILE.",
        )
    count, median, p95 = runs[-1]
    return Latency(float(median) / 1e3, None, int(count), p95_ms=float(p95) / 1e3)


def _call_adb(*arguments: str) -> str:
    """Calls adb; returns what it prints."""
    try:
        call = subprocess.run(
            ["adb", *arguments], capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        failed = f"did not end within {_TIMEOUT_S} s"
    else:
        if not call.returncode:
            return call.stdout
        failed = f"ended with exit code {call.returncode}: {(call.stderr or call.stdout).strip()[-500:]}"
    raise EdgelineError(
        f"`adb {' '.join(arguments)}` {failed}.",
        "Files are timed on one phone that is connected, with USB debugging allowed.",
        "Check that `adb devices` lists one device; ANDROID_SERIAL chooses one of several.",
    )
