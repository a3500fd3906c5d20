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

from data.shelf.faults import FAULTS as RENDERED
from edgeline.errors import UsageError, find_nearest

# The things that a fault may do to its week.
Effect = Literal["recovers", "refused", "may"]
EFFECTS: Mapping[Effect, str] = {
    "recovers": "is good, and has to reach a model",
    "refused": "is bad, and must not reach a model",
    "may": "may be used or not: what the models are worth decides",
}


@dataclass(frozen=True)
class Fault:
    """A kind of fault."""

    weight: int  # how often it is drawn, beside the others
    effect: Effect
    summary: str
    # A regular expression of words that name the cause, for the sentences of a run that did not push.
    cause: str
    rate: float | None = None  # share of the examples that it affects; None for a fault of the whole week
    before: int = 0  # number of weeks that must lie before it


_FULL = "disk is full|no file can grow|cannot be written"
# "How ML Breaks" (Papasian and Underwood, OpML 2020) finds that most outages of a large pipeline at Google in
# ten years were no faults of learning: two thirds of the weight is on processes, disks, clocks and copies.
FAULTS: Mapping[str, Fault] = {
    "kill-worker": Fault(8, "recovers", "kill -9 of the worker at a random instant", "killed|SIGKILL"),
    "kill-parent": Fault(8, "recovers", "kill -9 of `edgeline run` at a random instant", "killed"),
    "disk-full-ingest": Fault(4, "recovers", "no file can grow while ExampleGen runs", _FULL),
    "disk-full-training": Fault(4, "recovers", "no file can grow while the Trainer runs", _FULL),
    "disk-full-push": Fault(4, "recovers", "no file can grow while the Pusher runs", _FULL),
    "registry-down": Fault(6, "recovers", "MLflow's server refuses connections", "MLflow"),
    "expired-login": Fault(4, "recovers", "MLflow's server refuses the login", "MLflow"),
    "webhook-hangs": Fault(6, "recovers", "the webhook of alerts never answers", "webhook"),
    "clock-back": Fault(4, "recovers", "the clock is 16 days behind", "clock"),
    "missed": Fault(6, "recovers", "nothing ran on that Monday", "span"),
    "rollback": Fault(4, "recovers", "a rollback by hand after the run", "rolled back|rollback"),
    "half-copied": Fault(6, "refused", "half of the photos were not copied yet", "missing|truncated"),
    "empty": Fault(4, "refused", "labels.csv has a header and no row", "no row|no photo"),
    "twice": Fault(5, "refused", "the week before came again as this week", "duplicate", before=1),
    "wrong-week": Fault(5, "refused", "the week three weeks before came as this week", "duplicate", before=3),
    "corrupt": Fault(4, "refused", "photos are damaged", "corrupt|not-a-photo", 0.3),
    "truncated": Fault(2, "refused", "photos are cut off", "truncated", 0.3),
    "unknown-label": Fault(4, "refused", "labels are not in the schema", "unknown-label", 0.2),
    "unlabelled": Fault(2, "refused", "photos have no label", "unlabelled|no-label|missing-label", 0.3),
    "label-shift": Fault(3, "refused", "goods are suddenly damaged everywhere", "label of", 0.5),
    "null-lane": Fault(2, "may", "photos have no lane", "lane", 0.3),
    # The schema of the shelf names its lanes, and a person adds one.
    "new-lane": Fault(2, "may", "sessions in lanes that the schema does not know", "lane", 0.2),
    "dark-lens": Fault(3, "may", "a dirty lens takes a third of the light", "brightness|contrast", 0.3),
    "new-camera": Fault(3, "recovers", "a new phone's camera, a little brighter", "brightness", 0.3),
    "flipped-labels": Fault(
        5, "may", "labels of the train split alone are shuffled", "labels|accuracy|recall", 1.0
    ),
    "blind-class": Fault(
        4, "may", "a setting makes the training ignore `damaged`", "damaged|accuracy|recall"
    ),
    "useless": Fault(3, "may", "a setting makes the model answer `damaged` alone", "ok|accuracy|recall"),
    "dead-session": Fault(
        3,
        "may",
        "sessions of another camera, whose labels are shuffled in train: five of a hundred in the window",
        "labels|accuracy|recall|session",
        0.4,
    ),
    "canary": Fault(
        4, "recovers", "the push begins as a canary on half of the phones", "canary|answers", before=1
    ),
    "bad-canary": Fault(
        4, "recovers", "the push begins as a canary, which serves badly on phones", "canary|answers", before=1
    ),
}
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

    Raises:
        UsageError: The file cannot be read, or names a wrong week or fault; the error has all mistakes.
    """
    import yaml

    from edgeline.settings_layers import read_yaml

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
