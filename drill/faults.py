"""The faults of a drill, and the plan that assigns them to weeks: drawn by a seed, or read from a file.

    # A YAML file: by week, a fault or several. A fault of examples takes the share that it affects.
    3: kill-worker
    4: [corrupt=0.3, webhook-hangs]

All other weeks are placebo weeks. A span's number is the number of its week.
"""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from data.shelf.faults import FAULTS as RENDERED
from edgeline.errors import UsageError, find_nearest
from edgeline.records.json_file import convert
from edgeline.settings_layers import read_yaml

# The things that a fault may do to its week.
Effect = Literal["recovers", "refused", "may"]
EFFECTS: Mapping[Effect, str] = {
    "recovers": "is good, and has to reach a model",
    "refused": "is bad, and must not reach a model",
    "may": "may be used or not: what the models are worth decides",
}


@dataclass(frozen=True)
class Fault:
    """A kind of fault; faults.yaml has them all, and says what the fields mean."""

    weight: int
    effect: Effect
    summary: str
    cause: str
    rate: float | None = None  # 0..1
    before: int = 0
    settings: tuple[str, ...] = ()  # `a.b=c` each


FAULTS = convert(yaml.safe_load(Path(__file__).with_name("faults.yaml").read_bytes()), dict[str, Fault])
# The week as many weeks before as must lie before it comes again, with its own faults.
COPIES = frozenset(("twice", "wrong-week"))
FILMED_AGAIN = frozenset(("new-camera", "dead-session"))
CANARIES = frozenset(("canary", "bad-canary"))
# A week that comes again as another replaces the photos and labels of that week.
_REPLACED = frozenset((*RENDERED, "flipped-labels"))
# Faults of a run, which need one; and of two faults that change the same, the second would undo the first.
_EXCLUDE: Mapping[str, Collection[str]] = {
    "missed": (
        *("kill-worker", "kill-parent", "disk-full-ingest", "disk-full-training", "disk-full-push"),
        *("registry-down", "expired-login", "webhook-hangs", "clock-back", "blind-class", "useless"),
        *CANARIES,
    ),
    "registry-down": ("expired-login",),
    "blind-class": ("useless",),
    "canary": ("bad-canary",),
    "empty": ("half-copied", "new-camera", "dead-session", "flipped-labels"),
    "twice": ("wrong-week", *_REPLACED),
    "wrong-week": _REPLACED,
}
_PLACEBO = 0.4  # share of placebo weeks in a drawn plan
_QUIET = 2  # weeks at the beginning without a fault, so that something is in production


@dataclass(frozen=True)
class Drawn:
    """A fault of one week."""

    name: str
    rate: float

    @property
    def fault(self) -> Fault:
        """Returns the kind of the fault."""
        return FAULTS[self.name]

    @property
    def effect(self) -> Effect:
        """Returns what it does to its week; with another share than usual, gates may decide either way."""
        usual, effect = self.fault.rate or 0.0, self.fault.effect
        is_unsure = self.rate < usual if effect == "refused" else self.rate > usual
        return "may" if is_unsure else effect


Plan = Mapping[int, tuple[Drawn, ...]]  # by week, from 1; placebo weeks are left out


def draw_plan(weeks: int, seed: int) -> Plan:
    """Draws the faults of the weeks by their weights; `missed` takes three weeks in a row."""
    rng = random.Random(f"drill {seed}")
    plan: dict[int, tuple[Drawn, ...]] = {}
    for week in range(_QUIET + 1, weeks + 1):
        is_placebo = rng.random() < _PLACEBO
        names = [name for name, fault in FAULTS.items() if fault.before < week]
        [name] = rng.choices(names, [FAULTS[name].weight for name in names])
        if week in plan or is_placebo:
            continue
        for number in range(week, min(week + 3, weeks + 1) if name == "missed" else week + 1):
            plan[number] = (Drawn(name, FAULTS[name].rate or 0.0),)
    return plan


def read_plan(path: Path, weeks: int) -> Plan:
    """Reads a plan of faults.

    Raises UsageError if the file cannot be read, or names a wrong week or fault; the error has all mistakes.
    """
    try:
        content = read_yaml(path)
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(
            f"The plan of faults {path} cannot be read: {error}.",
            "It is YAML: by week, a fault or a list of faults.",
            "Write, for example, `3: kill-worker`, or leave out --faults to draw a plan by the seed.",
        ) from None
    mistakes: list[str] = []
    plan = {}
    if not isinstance(content, Mapping):
        mistakes.append("it is not a mapping of weeks to faults")
        content = {}
    for week, words in content.items():
        if not str(week).isdecimal() or not 1 <= int(week) <= weeks:
            mistakes.append(f"{week!r} is not a week from 1 to {weeks}")
            continue
        if int(week) in plan:
            mistakes.append(f"week {int(week)} is there twice")
        plan[int(week)] = _read_week(int(week), words if isinstance(words, list) else [words], mistakes)
    if mistakes:
        raise UsageError(
            f"{path}: {'; '.join(mistakes)}.",
            "A drill cannot do what it does not know.",
            f"Correct the file. Known faults: {', '.join(FAULTS)}.",
        )
    return plan


def _read_week(week: int, words: Sequence[object], mistakes: list[str]) -> tuple[Drawn, ...]:
    """Reads the faults of a week; adds its mistakes to `mistakes`."""
    faults = [_parse_fault(str(word), week, mistakes) for word in words]
    known = tuple(fault for fault in faults if fault is not None)
    names = [fault.name for fault in known]
    twice = dict.fromkeys(name for name in names if names.count(name) > 1)
    mistakes += [f"week {week}: {name} is there twice" for name in twice]
    for alone, others in _EXCLUDE.items():
        if alone in names and (without_effect := [name for name in names if name in others]):
            mistakes.append(f"week {week}: {alone} leaves nothing to {', '.join(without_effect)}")
    return known


def format_plan(plan: Plan, weeks: int) -> str:
    """Returns the faults of the first weeks as the text of a plan's file."""
    words = {
        week: [item.name if item.fault.rate is None else f"{item.name}={item.rate}" for item in faults]
        for week, faults in sorted(plan.items())
        if week <= weeks
    }
    return "".join(f"{week}: [{', '.join(named)}]\n" for week, named in words.items()) or "{}\n"


def _parse_fault(word: str, week: int, mistakes: list[str]) -> Drawn | None:
    """Reads `NAME` or `NAME=RATE`; adds its mistakes to `mistakes`."""
    name, equals, share = word.partition("=")
    fault = FAULTS.get(name)
    if fault is None:
        nearest = find_nearest(name, FAULTS)
        mistakes.append(f"week {week}: there is no fault {name!r}{f', but {nearest}' if nearest else ''}")
    elif week <= fault.before:
        mistakes.append(f"week {week}: {name} begins in week {fault.before + 1} at the earliest")
    elif equals and fault.rate is None:
        mistakes.append(f"week {week}: {name} takes no rate, but has {share}")
    else:
        try:
            rate = float(share) if equals else fault.rate or 0.0
        except ValueError:
            rate = -1.0
        if 0 < rate <= 1 or not equals:
            return Drawn(name, rate)
        mistakes.append(f"week {week}: the rate of {name} is {share}, not a share above 0, up to 1")
    return None
