"""Windows of the last N readings of each machine, and the machines whose clock goes backwards."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from data.settings import DataSettings
from data.spans.rule_counts import RuleCounts
from data.spans.source import Rejected
from edgeline.errors import DataRefused
from edgeline.records.columns import format_time

# The last readings of each machine are held in memory: 64 of them in eight columns take 4 kB.
_MOST_MACHINES = 100_000
# A day, a week, 30 days, a year, ten years.
_BLOCKS_HOURS = (24, 168, 720, 8_760, 87_600)
# Windows beside one another that a block has room for: in smaller ones, few windows end; of larger ones, too
# few may be left to be in both splits.
_WINDOWS_A_BLOCK = 1.5


class Reading(NamedTuple):
    """One row of a table, or the newest one of a window with the numbers of all."""

    id: str  # file and line
    label: str  # one of the schema's
    group: str  # the machine
    time: float  # seconds since 1970; 0 if the table has no times
    categories: tuple[str, ...]  # in the order of the workload
    numbers: bytes  # float32, little-endian, [readings, numbers] in the order of the workload


def choose_block_hours(readings: Iterable[tuple[str, float]], count: int) -> int:
    """Chooses `data.block_hours` for windows of `count` readings, by their usual distance.

    Args:
        readings: The group and the time, in seconds since 1970, of each reading.
        count: The number of readings of a window.
    """
    last = dict[str, float]()
    gaps = list[float]()
    for group, time in readings:
        if time > last.get(group, time):
            gaps.append(time - last[group])
        last[group] = time
    needed = median(gaps or [0.0]) / 3600 * count * _WINDOWS_A_BLOCK
    return next((hours for hours in _BLOCKS_HOURS if hours >= needed), _BLOCKS_HOURS[-1])


@dataclass
class _Machine:
    recent: deque[bytes]  # numbers
    labels: deque[str]  # of the same readings
    held: Reading | None = None
    last: float = -float("inf")
    block: float = float("nan")
    count: int = 0

    def accept(self, reading: Reading, settings: DataSettings, normal: str) -> Iterator[Reading]:
        """Adds a reading whose time is right; yields the window that it completes, if it does."""
        self.last = reading.time
        block = reading.time // (settings.block_hours * 3600)
        if block != self.block:
            self.block, self.count = block, 0
            self.recent.clear()
            self.labels.clear()
        self.recent.append(reading.numbers)
        self.labels.append(reading.label)
        self.count += 1
        beyond = self.count - settings.readings
        if beyond >= 0 and beyond % settings.stride == 0:
            label = _label_window(self.labels, settings.window_label, normal)
            yield reading._replace(label=label, numbers=b"".join(self.recent))


def _label_window(labels: Sequence[str], rule: str, normal: str) -> str:
    """Returns the label of a window with the labels of its readings, the oldest first."""
    if rule == "commonest":
        return Counter(reversed(labels)).most_common(1)[0][0]  # of equal counts, the one that came first
    if rule == "event":
        return next((label for label in reversed(labels) if label != normal), normal)
    return labels[-1]


def make_windows(
    readings: Iterable[Reading | Rejected | RuleCounts], settings: DataSettings, normal: str = ""
) -> Iterator[Reading | Rejected | RuleCounts]:
    """Yields the newest reading of each complete window, with the numbers of all, and what is no reading.

    A reading is held until the next one of its machine. If that is earlier than the held one, but later than
    the one before, the held one has the wrong time, so that one wrong date does not cost all later readings.

    Args:
        readings: In the order of the table; what is no reading is passed on.
        settings: The number of readings of a window, its stride, its block, and the rule for its label.
        normal: The label that is no event, for the rule `event`; empty where there is none.

    Raises:
        DataRefused: There are more groups than memory is planned for.
    """
    machines = dict[str, _Machine]()
    for reading in readings:
        if not isinstance(reading, Reading):
            yield reading
            continue
        machine = machines.get(reading.group)
        if machine is None:
            if len(machines) >= _MOST_MACHINES:
                raise DataRefused(
                    f"There are more than {_MOST_MACHINES:,} groups ({reading.id}: {reading.group[:60]!r}).",
                    "The last readings of each are kept in memory while a span is read.",
                    "Name a column of machines as the group, or set data.readings to 1.",
                )
            kept = settings.readings
            machine = machines[reading.group] = _Machine(deque(maxlen=kept), deque(maxlen=kept))
        waiting, name = machine.held, reading.group or "the table"
        if waiting is None or reading.time > waiting.time:
            machine.held = reading
            if waiting is not None:
                yield from machine.accept(waiting, settings, normal)
        elif reading.time in (waiting.time, machine.last):
            detail = f"There is already a reading of {name} at {format_time(reading.time)}."
            yield Rejected(reading.id, "duplicate", detail)
        elif reading.time < machine.last:
            time, last = format_time(reading.time), format_time(machine.last)
            detail = f"Its time {time} is before {last}, the last of {name}."
            yield Rejected(reading.id, "clock-backwards", detail)
        else:
            machine.held = reading
            time, after = format_time(waiting.time), format_time(reading.time)
            detail = f"Its time {time} is after {after}, the next one of {name}."
            yield Rejected(waiting.id, "clock-backwards", detail)
    for machine in machines.values():
        if machine.held is not None:
            yield from machine.accept(machine.held, settings, normal)


def count_windows(
    readings: Iterable[Reading], settings: DataSettings
) -> tuple[Counter[str], int, Rejected | None]:
    """Counts the windows of each label, and the rejected readings; returns the first of these too."""
    counts = Counter[str]()
    rejected = 0
    first: Rejected | None = None
    for item in make_windows(readings, settings):
        if isinstance(item, Rejected):
            rejected, first = rejected + 1, first or item
        elif isinstance(item, Reading):
            counts[item.label] += 1
    return counts, rejected, first
