"""The record of what phones answered: how many answers, how many were checked, and how many of these right.

A person checks an answer because the phone drew it at random, or because it looked wrong. Only the drawn ones
estimate accuracy; those that looked wrong are counted apart.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from statistics import fmean, median
from typing import Literal, TypeVar

from edgeline.labels import join_names
from edgeline.records.evaluation import SliceMetrics
from edgeline.records.json_file import JsonFile
from edgeline.records.training import Estimate

K = TypeVar("K")
Chosen = Literal["random", "person", ""]
# A phone whose clock is farther from the others than this is not asked for its week.
_MOST_SECONDS_OFF = 366 * 86_400
# A phone that invents versions or names must not fill the record.
_MOST_VERSIONS, _MOST_DEVICES = 50, 30
# The id of a row, which is a line of a file; that of a photo is its name.
ROW = re.compile(r".*:\d+")


@dataclass(frozen=True)
class Answer:
    """An answer of a phone."""

    example: str  # `span-00042/a.jpg`, as the example has it if it was checked; empty if not known
    version: int
    variant: str
    said: str  # the label
    score: float  # its probability, 0..1
    at: float  # when, in seconds since 1970 by the phone's clock
    device: str
    chosen: Chosen  # how it came to be checked; an answer that was drawn may be left unchecked
    # Its place, from 1, among those of its span that are equal to it, have no example, and a day as time.
    nth: int = 0


@dataclass(frozen=True)
class Truth:
    """The label of an example that was checked."""

    label: str
    group: str = ""  # session, machine, author; empty for a group of its own
    slices: Mapping[str, str] = field(default_factory=dict)  # value by kind


@dataclass(frozen=True)
class Tally:
    """The counts of some answers."""

    answers: int
    expected: float  # the mean of their scores: the accuracy to expect if scores are calibrated
    drawn: int = 0  # at random, to be checked
    checked: Estimate | None = None  # accuracy of those that were; the interval allows for groups
    doubted: int = 0  # checked because they looked wrong to a person
    doubted_right: int = 0

    @property
    def order(self) -> tuple[float, int]:
        """The key that sorts the surely worst first."""
        return self.checked.high if self.checked else 1.0, -self.answers


Tallies = Mapping[str, Tally]


@dataclass(frozen=True)
class ServedVersion:
    """The counts of the answers of one version."""

    version: int
    total: Tally
    variants: Tallies = field(default_factory=dict)
    devices: Tallies = field(default_factory=dict)  # the worst first; at most 30 without a checked answer
    weeks: Tallies = field(default_factory=dict)  # ISO weeks such as `2026-W41`, the oldest first
    # By kind and value, `class` for the true label. Only an example that was checked has slices, so here
    # `answers` are the checked ones.
    slices: Mapping[str, Tallies] = field(default_factory=dict)

    @property
    def kinds(self) -> dict[str, Tallies]:
        """The counts by kind of slice: `overall`, `class`, those of the workload, and those of phones."""
        own = (self.variants, self.devices, self.weeks)
        of_phones = dict(zip(name_kinds_of_phones(self.slices), own, strict=True))
        return {"overall": {"all": self.total}, **self.slices, **of_phones}


@dataclass(frozen=True)
class PushedVersion:
    """A version as the release store has it; one that was collected or is damaged is without accuracies."""

    created: str  # UTC, ISO 8601; when it was collected, if it was; empty if it is damaged
    accuracy: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # on eval, by kind and slice
    damage: str = ""  # why its manifest cannot be read, a sentence; empty if it can

    @staticmethod
    def of(created: str, metrics: SliceMetrics) -> "PushedVersion":
        """Returns what is needed of the manifest of a release."""
        accuracies = {}
        for kind, slices in metrics.items():
            shares = {name: item.get("accuracy") for name, item in slices.items()}
            accuracies[kind] = {name: share for name, share in shares.items() if share is not None}
        return PushedVersion(created, accuracies)

    def accuracy_of(self, kind: str, name: str) -> float | None:
        """Returns the accuracy on eval of a slice, that of all examples where eval had no such slice."""
        return self.accuracy.get(kind, {}).get(name, self.accuracy.get("overall", {}).get("all"))


@dataclass(frozen=True)
class Served:
    """The counts of the answers of phones that came with the spans of a window."""

    versions: tuple[ServedVersion, ...] = ()  # the newest first
    repeated: int = 0  # answers that came again, and count once
    unreadable: int = 0  # rows that are not answers
    warnings: tuple[str, ...] = ()  # a sentence each

    def of(self, version: int) -> ServedVersion | None:
        """Returns what a version answered, None if nothing is known."""
        return next((item for item in self.versions if item.version == version), None)


@dataclass(frozen=True)
class Skew:
    """The differences between scores of a device and those of the stored file for the same examples."""

    version: int
    variant: str
    device: str
    differences: tuple[float, ...]  # 0..1, one for each answer that was computed again


SERVED = JsonFile[Served]("served.json", Served)
# The versions that were served, as far as the release store has them.
PUSHED = JsonFile[Mapping[int, PushedVersion]]("pushed.json", Mapping[int, PushedVersion])

# The answers whose scores are computed again, and the differences that this finds.
ASKED = JsonFile[tuple[Answer, ...]]("asked.json", tuple[Answer, ...])
SKEW = JsonFile[tuple[Skew, ...]]("skew.json", tuple[Skew, ...])


def name_kinds_of_phones(kinds: Collection[str]) -> list[str]:
    """Returns the kinds of slices by variant, device and week, beside those of a workload."""
    return [f"served {kind}" if kind in kinds else kind for kind in ("variant", "device", "week")]


def count_served(rows: Iterable[Answer | str], truths: Mapping[str, Truth], noun: str = "example") -> Served:
    """Counts the answers of a window by version, variant, device, week and slice.

    Args:
        rows: The answers of all spans, and why a row is none. Of an answer that came twice, the one that was
            checked counts.
        truths: By example, those of the examples in the data.
        noun: The noun for an example.
    """
    rows = list(rows)
    faults = [row for row in rows if isinstance(row, str)]
    answers, repeated = _drop_repeated((row for row in rows if isinstance(row, Answer)), truths)

    middle = median(answer.at for answer in answers) if answers else 0.0
    is_dated = {answer: abs(answer.at - middle) <= _MOST_SECONDS_OFF for answer in answers}
    undated = Counter(answer.device for answer in answers if not is_dated[answer])

    by_version = _group(answers, lambda answer: answer.version)
    checked = Counter(a.version for a in answers if a.chosen and a.example in truths)
    # A phone can invent answers, but not that a person checked them.
    most_used = sorted(by_version, key=lambda version: (-checked[version], -len(by_version[version])))
    others = sum(len(by_version[version]) for version in most_used[_MOST_VERSIONS:])

    warnings = (
        (len(faults), "Rows of served.csv that are not answers, left out", f" ({join_names(faults, 3)})"),
        (repeated.total(), "Answers that came again, and count once", f", from {_name(repeated)}"),
        (
            undated.total(),
            "Answers more than a year from the others by the clock of the phone, which count for no week",
            f", from {_name(undated)}",
        ),
        *_list_unmatched(answers, truths, noun),
        (others, f"Answers by other versions than the {_MOST_VERSIONS} most used, left out", ""),
    )
    return Served(
        tuple(
            _count_version(version, by_version[version], truths, is_dated)
            for version in sorted(most_used[:_MOST_VERSIONS], reverse=True)
        ),
        repeated.total(),
        len(faults),
        tuple(f"{what}: {count:,}{names}." for count, what, names in warnings if count),
    )


def _drop_repeated(
    answers: Iterable[Answer], truths: Mapping[str, Truth]
) -> tuple[list[Answer], Counter[str]]:
    """Returns each answer once, checked if it was, and how many came again by device."""
    unique: dict[object, Answer] = {}
    repeated: Counter[str] = Counter()
    for key, answer in _identify(answers):
        if first := unique.get(key):
            repeated[answer.device] += 1
            if (answer.example in truths, answer.chosen) <= (first.example in truths, first.chosen):
                continue
        unique[key] = answer
    return list(unique.values()), repeated


def _list_unmatched(
    answers: Sequence[Answer], truths: Mapping[str, Truth], noun: str
) -> Iterator[tuple[int, str, str]]:
    """Yields the counts of answers without an example in the data, each with its sentence and examples."""
    checked = [a for a in answers if a.chosen == "person" and a.example not in truths]
    named = [a.example or f"one of {a.device}" for a in checked]
    what = f"Checked answers whose {noun}s are not among the usable data"
    yield len(named), what, f" ({join_names(named, 3)})"

    random = [a.example for a in answers if a.chosen == "random" and a.example]
    unknown = [example for example in random if example not in truths]
    what = f"More than half of the answers drawn at random have {noun}s that are not among the usable data"
    yield (len(unknown) if 2 * len(unknown) > len(random) else 0), what, f" ({join_names(unknown, 3)})"


def _identify(answers: Iterable[Answer]) -> Iterator[tuple[object, Answer]]:
    """Yields each answer with a key by which a repeated answer is recognised.

    A photo keeps its name; rows of one file are different answers, and have other lines in another file. An
    answer may be sent without its example first: it is the one that has the example.
    """
    places: dict[object, dict[str, object]] = {}
    with_example: dict[object, object] = {}
    for answer in sorted(answers, key=lambda answer: not answer.example):
        same = replace(answer, example="", chosen="")
        span, _, name = answer.example.partition("/")
        rows = places.setdefault((same, span), {})
        key = same, rows.setdefault(name, len(rows)) if ROW.fullmatch(name) else name
        yield (with_example.setdefault(same, key) if not name else key), answer
        if name:
            with_example.setdefault(same, key)


def _count_version(
    version: int, answers: Sequence[Answer], truths: Mapping[str, Truth], is_dated: Mapping[Answer, bool]
) -> ServedVersion:
    def tally(by: Callable[[Answer], str | None]) -> dict[str, Tally]:
        groups = _group(answers, by)
        return {name: _count(groups[name], truths) for name in sorted(filter(None, groups))}

    def find(kind: str, answer: Answer) -> str | None:
        truth = truths.get(answer.example) if answer.chosen else None
        return {**truth.slices, "class": truth.label}.get(kind) if truth else None

    devices = sorted(tally(lambda answer: answer.device).items(), key=lambda item: item[1].order)
    left_out = set([name for name, device in devices if not device.checked][_MOST_DEVICES:])
    kinds = dict.fromkeys(["class", *(kind for truth in truths.values() for kind in truth.slices)])
    return ServedVersion(
        version,
        _count(answers, truths),
        variants=tally(lambda answer: answer.variant),
        devices={name: device for name, device in devices if name not in left_out},
        weeks=tally(lambda answer: _name_week(answer.at) if is_dated[answer] else None),
        slices={kind: tally(partial(find, kind)) for kind in kinds},
    )


def _count(answers: Sequence[Answer], truths: Mapping[str, Truth]) -> Tally:
    checked = [(a, truths[a.example]) for a in answers if a.chosen and a.example in truths]
    random = [pair for pair in checked if pair[0].chosen == "random"]
    doubted = [a.said == truth.label for a, truth in checked if a.chosen == "person"]
    return Tally(
        len(answers),
        fmean(a.score for a in answers),
        sum(a.chosen == "random" for a in answers),
        Estimate.of([a.said == t.label for a, t in random], [t.group or a.example for a, t in random])
        if random
        else None,
        len(doubted),
        sum(doubted),
    )


def _group(answers: Iterable[Answer], by: Callable[[Answer], K]) -> dict[K, list[Answer]]:
    groups: dict[K, list[Answer]] = {}
    for answer in answers:
        groups.setdefault(by(answer), []).append(answer)
    return groups


def _name_week(at: float) -> str:
    year, week, _ = datetime.fromtimestamp(at, timezone.utc).isocalendar()
    return f"{year}-W{week:02d}"


def _name(devices: Counter[str]) -> str:
    return join_names([f"{name} ({count})" for name, count in devices.most_common()], 3)
