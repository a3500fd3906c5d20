"""The share of the sample's bearing faults that can be seen in the readings at all.

    python -m benchmarks.bench_bearing [--weeks 40]

The generator's own distributions give the probability of a bearing fault at the newest of 16 readings. No
one answers better (Bayes) than who knows them, each machine, its wear and its load without error, and has
readings without disturbances. A model has to learn all this.
"""

import argparse
from typing import Any

import numpy as np

from data.sensors import generator

_READINGS, _LONGEST, _RAMP = 16, 48, 6
_PER_WEEK, _WEIGHT = 10_000, 2.0  # the sample's size, and the weight of a fault in the loss of the workload


def main() -> None:
    """Prints the recall of an observer who knows the generator, by the age of the fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--weeks", type=int, default=40)
    weeks = parser.parse_args().weeks
    parts = [_observe(*_simulate(week)) for week in range(weeks)]
    odds, ages = (np.concatenate(column) for column in zip(*parts, strict=True))
    is_fault = ages > 0
    alarm = odds * _WEIGHT > 1
    print(f"{len(odds):,} windows, {is_fault.sum():,} with a bearing fault at the newest reading")
    print(f"recall {alarm[is_fault].mean():.3f}, precision {is_fault[alarm].mean():.3f}")
    for rate in (0.01, 0.001):
        found = odds[is_fault] > np.quantile(odds[~is_fault], 1 - rate)
        print(f"recall at {rate:.1%} false alarms {found.mean():.3f}")
    for first, last in ((1, 3), (4, 6), (7, 12), (13, _LONGEST)):
        of_age = (ages >= first) & (ages <= last)
        print(f"recall of readings {first} to {last} of a fault {alarm[of_age].mean():.3f}")


def _simulate(week: int) -> tuple[Any, Any, Any]:
    """Returns vibration and temperature less what is no fault, and whether there is one, by tick, machine."""
    rng = np.random.default_rng([7, week])
    ticks = _PER_WEEK // generator.MACHINES
    kinds, severity = generator._plan_anomalies(ticks, rng)
    bearing = severity * (kinds == 1)
    vibration = (0.12 + 0.45 * bearing)[..., None] * rng.standard_normal((*bearing.shape, 3))
    slow = generator._draw_noise(rng, ticks, 0.95)
    temperature = 1.2 * slow + 0.5 * rng.standard_normal(bearing.shape) + 6 * bearing
    return vibration, temperature, kinds


def _observe(vibration: Any, temperature: Any, kinds: Any) -> tuple[Any, Any]:
    """Returns the odds of a bearing fault at the newest reading, and the fault's age or 0."""
    age = np.zeros(kinds.shape, int)
    for tick in range(len(kinds)):
        age[tick] = (kinds[tick] == 1) * (1 + (age[tick - 1] if tick else 0))
    squares, warmth, kind = [
        np.lib.stride_tricks.sliding_window_view(values, _READINGS, axis=0).reshape(-1, _READINGS)
        for values in ((vibration**2).sum(-1), temperature, kinds)
    ]
    # A window with another fault in it says nothing about bearings.
    own = np.isin(kind, (0, 1)).all(axis=1)
    newest_age = age[_READINGS - 1 :].reshape(-1)[own]
    squares, warmth = squares[own], warmth[own]
    distance = np.abs(np.subtract.outer(np.arange(_READINGS), np.arange(_READINGS)))
    precision = np.linalg.inv(1.44 * 0.95**distance + 0.25 * np.eye(_READINGS))
    rate = generator.ANOMALIES / 3 / 32  # faults begin so often in a reading of a machine

    strengths, priors, present = [], [], []
    for peak in np.linspace(0.5, 1, 11):
        for ended in range(_READINGS - 1):  # a fault that is over; it had reached its peak
            strengths.append(peak * (np.arange(_READINGS) <= ended))
            priors.append(rate / 11)
            present.append(False)
        for passed in range(1, _LONGEST + 1):
            since = np.arange(_READINGS) - (_READINGS - 1 - passed)
            strengths.append(peak * np.clip(since / _RAMP, 0, 1))
            priors.append(rate / 11 * min(1, (_LONGEST + 1 - passed) / 33))  # 16 to 48 readings
            present.append(True)
    strengths.append(np.zeros(_READINGS))
    priors.append(1 - sum(priors))
    present.append(False)
    strength, is_present = np.array(strengths), np.array(present)
    deviation = 0.12 + 0.45 * strength
    likelihood = np.log(priors) - 3 * np.log(deviation).sum(1) - squares @ (0.5 / deviation**2).T
    shifted = 6 * strength @ precision
    likelihood += warmth @ shifted.T - 0.5 * (shifted * 6 * strength).sum(1)
    weights = np.exp(likelihood - likelihood.max(1, keepdims=True))
    return weights[:, is_present].sum(1) / weights[:, ~is_present].sum(1), newest_age


if __name__ == "__main__":
    main()
