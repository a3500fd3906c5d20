"""Generates weekly spans of sensor readings: twenty machines, each read at an even interval.

The seed and the number of the span decide everything. Load and temperature have a daily cycle, temperature
also a yearly one; vibration grows with wear until a machine is serviced; readings are lost, spike, and stand
still for a while, and none of that is an anomaly. About a twentieth of the readings belong to an anomaly,
which lasts for some dozens of readings and grows over the first few of them:

    bearing    knocks: vibration spreads on all axes, and the machine warms up
    leak       pressure falls while flow rises
    imbalance  vibration across the shaft (x, y) grows with the square of the speed

One reading hardly differs from that of another machine or another load; a window of readings does.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, time, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.sensors.faults import FAULTS, ROW, spoil_line, spoil_machines
from data.spans.layout import Span
from data.spans.sample import add_weeks, assign_faults, check_arguments, find_monday

NUMBERS = (
    "temperature",  # degrees Celsius
    *("vibration_x", "vibration_y", "vibration_z"),  # mm/s
    "pressure",  # bar
    "current",  # A
    "flow",  # l/min
    "speed",  # 1/min
)
COLUMNS = ("timestamp", "machine_id", *NUMBERS, "fault_label")
LABELS = ("normal", "bearing", "leak", "imbalance")
MACHINES = 20
ANOMALIES = 0.05

_WEEK_S = 7 * 86_400
_EPISODE = (16, 48)  # Readings that an anomaly lasts.
_RAMP = 6
_SERVICED_EVERY = 12  # weeks
_MISSING, _SPIKES, _STUCK = 0.008, 0.001, 0.002  # Shares of the readings of one sensor.
_STUCK_FOR = 24
_CHUNK = 4096  # Ticks that are made at once: memory stays flat in the length of a week.
_FORMAT = "%s,%s,%.1f,%.2f,%.2f,%.2f,%.2f,%.2f,%.1f,%.0f,%s"

_Floats = NDArray[np.float64]


def generate(
    data_dir: Path, *, weeks: int, per_week: int, seed: int, faults: Mapping[str, float], workers: int = 1
) -> list[Span]:
    """Generates weekly spans, see `data/spans/sample.py`; one process makes 200,000 rows a second.

    Args:
        data_dir: The folder of spans.
        weeks: The number of spans.
        per_week: The number of readings of all machines together, before duplicates.
        seed: With the number of the span, it decides every byte; the machines are always the same.
        faults: Rates by name, 0..1.
        workers: It is checked, and not used: one process writes all spans.
    """
    check_arguments(
        faults, FAULTS, weeks=weeks, per_week=per_week, seed=seed, workers=workers, most=MACHINES * _WEEK_S
    )

    def fill(number: int, folder: Path) -> None:
        with (folder / "readings.csv").open("w", encoding="utf-8", newline="") as file:
            file.write(",".join(COLUMNS) + "\n")
            file.writelines(_generate_lines(number, per_week, seed, faults))

    return add_weeks(data_dir, weeks, per_week, "rows", fill)


def _generate_lines(span: int, rows: int, seed: int, faults: Mapping[str, float]) -> Iterator[str]:
    """Yields the lines of one week in the order of their times."""
    start = int(datetime.combine(find_monday(span), time(), timezone.utc).timestamp())
    ticks = -(-rows // MACHINES)
    interval = _WEEK_S / ticks
    kinds, severity = _plan_anomalies(ticks, np.random.default_rng([seed, span, 0]))
    drill = np.random.default_rng([seed, span, 1])
    spoiled = assign_faults(faults, ROW, drill.permutation(rows).tolist())
    machine_faults = drill.integers(2**31)
    for first in range(0, ticks, _CHUNK):
        tick = np.arange(first, min(first + _CHUNK, ticks))
        times = np.asarray(start + (tick[:, None] + np.arange(MACHINES) / MACHINES) * interval, np.int64)
        rng = np.random.default_rng([seed, span, 2, first])
        values = _simulate_sensors(times, span, kinds[tick], severity[tick], rng)
        _disturb(values, rng)
        # The new generator chooses the same machines in every chunk of the week.
        reporting = spoil_machines(values, times, faults, np.random.default_rng(machine_faults))
        stamps = np.datetime_as_string(times.ravel().astype("datetime64[s]"), timezone="UTC").tolist()
        machines = [f"m-{1 + machine:02d}" for machine in range(MACHINES)] * len(times)
        columns = values.reshape(-1, len(NUMBERS)).T.tolist()
        labels = np.array(LABELS)[kinds[tick].ravel()].tolist()
        cells = zip(stamps, machines, *columns, labels, strict=True)
        reports_and_cells = zip(reporting.tolist() * len(times), cells, strict=True)
        for row, (reports, line) in enumerate(reports_and_cells, first * MACHINES):
            if reports and row < rows:
                text = (_FORMAT % line).replace("nan", "")
                for fault in spoiled.get(row, ()):
                    text = spoil_line(fault, text)
                yield text + "\n"


def _plan_anomalies(ticks: int, rng: Any) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Returns each reading's anomaly, as its place in LABELS, and its strength, both [ticks, machines]."""
    kinds = np.zeros((ticks, MACHINES), np.int8)
    severity = np.zeros((ticks, MACHINES), np.float32)
    low, high = (min(length, max(1, ticks // 4)) for length in _EPISODE)
    slots = max(1, ticks // (2 * high))
    remaining = round(ANOMALIES * ticks * MACHINES)
    for index, place in enumerate(rng.permutation(slots * MACHINES)):
        if remaining <= 0:
            break
        slot, machine = divmod(int(place), MACHINES)
        length = min(remaining, int(rng.integers(low, high + 1)))
        begin = slot * ticks // slots + int(rng.integers(high))
        period = slice(begin, min(begin + length, ticks))
        kinds[period, machine] = 1 + index % 3
        ramp = np.minimum(1, np.arange(1, length + 1) / _RAMP)[: period.stop - period.start]
        severity[period, machine] = rng.uniform(0.5, 1.0) * ramp
        remaining -= length
    return kinds, severity


def _draw_noise(rng: Any, ticks: int, keep: float) -> _Floats:
    """Draws noise of deviation 1 that keeps a share of itself from tick to tick, [ticks, machines]."""
    noise: _Floats = rng.standard_normal((ticks, MACHINES))
    noise[1:] *= np.sqrt(1 - keep * keep)
    for before, after in pairwise(noise):
        after += keep * before
    return noise


def _simulate_sensors(
    times: NDArray[np.int64], span: int, kinds: NDArray[np.int8], severity: NDArray[np.float32], rng: Any
) -> _Floats:
    """Simulates the readings of sound sensors, [ticks, machines, numbers]."""
    ticks = len(times)
    built = np.random.default_rng(20260105)  # The machines are the same for every seed.
    rated, draws, pumped, filled = (
        built.uniform(low, high, MACHINES) for low, high in ((1400, 1600), (11, 15), (110, 130), (5.5, 6.5))
    )
    warm = built.normal(0, 3, MACHINES)
    worn = built.permutation(MACHINES) % _SERVICED_EVERY
    base = built.uniform((1.5, 1.5, 0.9), (2.3, 2.3, 1.5), (MACHINES, 3))
    bearing, leak, imbalance = (severity * (kinds == kind) for kind in (1, 2, 3))

    def noise() -> _Floats:
        values: _Floats = rng.standard_normal((ticks, MACHINES))
        return values

    day, year = times / 86_400 % 1, times / (365.25 * 86_400) % 1
    shift = 0.85 + 0.12 * np.sin(2 * np.pi * (day - 0.3))
    load = np.clip(shift + 0.07 * _draw_noise(rng, ticks, 0.9), 0.3, 1.2)
    ambient = 20 + 2.5 * np.sin(2 * np.pi * (day - 0.4)) + 2 * np.sin(2 * np.pi * (year - 0.3))
    temperature = (
        ambient + warm + 22 * load + 1.2 * _draw_noise(rng, ticks, 0.95) + 0.5 * noise() + 6 * bearing
    )
    wear = 1 + 0.015 * ((span + worn) % _SERVICED_EVERY)
    spread = 0.12 + 0.45 * bearing
    vibration = [
        base[:, axis] * wear * load**1.5 * np.exp(spread * noise()) * (1 + across * imbalance * load**2)
        for axis, across in enumerate((0.8, 0.7, 0.0))
    ]
    pressure = filled * (0.92 + 0.08 * load) * (1 + 0.012 * _draw_noise(rng, ticks, 0.8)) * (1 - 0.14 * leak)
    flow = pumped * load * (1 + 0.02 * noise()) * (1 + 0.12 * leak)
    current = draws * (0.3 + 0.6 * load + 0.05 * _draw_noise(rng, ticks, 0.8)) + 0.1 * noise()
    speed = rated * load * (1 + 0.004 * noise())
    pressure = pressure + 0.04 * noise()
    return np.stack([temperature, *vibration, pressure, current, flow, speed], axis=-1)


def _disturb(values: _Floats, rng: Any) -> None:
    """Adds small disturbances in place: values that stand still, spikes, and lost readings."""
    ticks = len(values)
    for _ in range(round(_STUCK * values.size / _STUCK_FOR)):
        at, machine, sensor = (int(rng.integers(size)) for size in values.shape)
        values[at : min(at + _STUCK_FOR, ticks), machine, sensor] = values[at, machine, sensor]
    spikes = rng.random(values.shape) < _SPIKES
    values[spikes] *= rng.uniform(1.3, 1.9, int(spikes.sum()))
    values[rng.random(values.shape) < _MISSING] = np.nan
