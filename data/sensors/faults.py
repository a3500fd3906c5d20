"""Faults for drills: sensors and their tables go wrong on purpose as they do in the field.

The rate of `nulls` is a share of a week's numbers; the rates of `ROW` are shares of its rows; the others are
shares of its machines.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROW = ("out-of-range", "unlabelled", "unknown-label", "ragged", "decimal-comma", "duplicate")
_MACHINE = ("stuck-sensor", "swapped-columns", "fahrenheit", "missing-machine", "clock-backwards")
FAULTS = ("nulls", *ROW, *_MACHINE)

_SET_BACK_S = 3 * 3600
_NO_READING = -999.0  # Many loggers write this if a sensor does not answer.
_TEMPERATURE, _PRESSURE, _FLOW = 0, 4, 6


def spoil_machines(
    values: NDArray[np.float64], times: NDArray[np.int64], faults: Mapping[str, float], rng: Any
) -> NDArray[np.bool_]:
    """Adds the faults of machines and `nulls` to a week, in place.

    Args:
        values: Readings, [ticks, machines, numbers].
        times: Seconds, [ticks, machines].
        faults: Rates by name.
        rng: Chooses the machines.

    Returns:
        Whether each machine reports at all, bool [machines].
    """
    machines = values.shape[1]
    chosen = {
        name: rng.permutation(machines)[: int(np.ceil(faults.get(name, 0) * machines))] for name in _MACHINE
    }
    for machine in chosen["stuck-sensor"]:
        sensor = rng.integers(values.shape[2])
        values[:, machine, sensor] = np.nanmedian(values[:, machine, sensor])
    for machine in chosen["swapped-columns"]:
        values[:, machine, [_PRESSURE, _FLOW]] = values[:, machine, [_FLOW, _PRESSURE]]
    values[:, chosen["fahrenheit"], _TEMPERATURE] = values[:, chosen["fahrenheit"], _TEMPERATURE] * 1.8 + 32
    times[len(times) // 2 :, chosen["clock-backwards"]] -= _SET_BACK_S
    if rate := faults.get("nulls", 0):
        values[rng.random(values.shape) < rate] = np.nan
    return ~np.isin(np.arange(machines), chosen["missing-machine"])


def spoil_line(name: str, line: str) -> str:
    """Returns a line of the table (time, machine, numbers, label; no line end) with a fault of `ROW`."""
    *cells, label = line.split(",")
    match name:
        case "out-of-range":
            cells[2 + _TEMPERATURE] = str(_NO_READING)
        case "unlabelled":
            label = ""
        case "unknown-label":
            label = "vandalism"
        case "ragged":
            cells = cells[:-1]
        case "decimal-comma":
            cells[2 + _PRESSURE] = f'"{cells[2 + _PRESSURE].replace(".", ",") or "6,1"}"'
        case "duplicate":
            return f"{line}\n{line}"
    return ",".join([*cells, label])
