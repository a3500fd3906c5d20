"""Compares two runs: their settings, data, metrics by slice, edge files and time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from edgeline.report import words
from edgeline.report.changes import Change, describe_facts, pair_lines
from edgeline.report.facts import Facts, Slice
from edgeline.report.page import render
from edgeline.report.verdict import BADGES

Verdict = Literal["better", "worse", "noise", "unknown"]

# Sections without the lines that are equal in both runs; the others show these too.
_DIFFERENCES_ONLY = ("Settings", "Code", "Libraries", "Schema")
SECTIONS = (
    *("Settings", "Data", "Drift", "Schema", "Quarantine"),
    *("Training", "Edge files", "Time", "Code", "Libraries"),
)


@dataclass(frozen=True)
class SlicePair:
    """One slice in both runs; None where a run does not have it. The verdict is on the second run."""

    kind: str
    name: str
    first: Slice | None
    second: Slice | None
    verdict: Verdict

    @property
    def difference(self) -> float | None:
        """Returns the accuracy of the second minus that of the first, -1..1."""
        pair = [side.accuracy for side in (self.first, self.second) if side and side.accuracy is not None]
        return pair[1] - pair[0] if len(pair) == 2 else None


@dataclass(frozen=True)
class Comparison:
    """Two runs of one model, in the order in which they were named."""

    first: Facts
    second: Facts
    slices: tuple[SlicePair, ...]
    same_examples: int = 0  # measured by both models; 0 where each has its own eval split

    @property
    def sections(self) -> dict[str, tuple[Change, ...]]:
        """Returns the lines of each section that has any."""
        texts = describe_facts(self.first), describe_facts(self.second)
        compared = {section: pair_lines(*texts, section) for section in SECTIONS}
        for section in _DIFFERENCES_ONLY:
            compared[section] = tuple(line for line in compared[section] if line.before != line.now)
        return {section: lines for section, lines in compared.items() if lines}

    @property
    def sentence(self) -> str:
        """Returns the overall verdict in a sentence."""
        overall = next((pair for pair in self.slices if pair.kind == "overall"), None)
        if overall is None or overall.difference is None:
            return "At least one of the runs has no model to compare."
        by = f"{words.points(overall.difference)} points of accuracy"
        if overall.verdict == "noise":
            return f"The difference is within noise: {by} for the second run's model."
        return f"The second run's model is {overall.verdict}: {by}, which is beyond noise."

    @property
    def measured_on(self) -> str:
        """Returns what the metrics were measured on, and the method of their verdicts."""
        on, how = "Each model on its own eval split", "Newcombe's method"
        if self.same_examples:
            on = f"Both models on the same {words.count(self.same_examples)} eval examples"
            group = self.second.evaluation.group if self.second.evaluation else "group"
            how = f"a paired bootstrap of these and of their {group}s"
        chance = "by chance, 1 of 20 equal slices looks different"
        return f"{on}. 95 % confidence intervals; verdicts by {how}: {chance}."


def pair_slices(first: Facts, second: Facts) -> tuple[SlicePair, ...]:
    """Pairs the slices of both runs, each measured on its own eval split."""
    ours, theirs = _index_slices(first), _index_slices(second)
    pairs = []
    for key in {**ours, **theirs}:
        one, other = ours.get(key), theirs.get(key)
        pairs.append(SlicePair(*key, one, other, judge_slices(one, other)))
    return tuple(pairs)


def _index_slices(facts: Facts) -> dict[tuple[str, str], Slice]:
    """Returns the slices of a run by their kind and name."""
    slices = facts.evaluation.slices if facts.evaluation else ()
    return {(item.kind, item.name): item for item in slices}


def judge_slices(first: Slice | None, second: Slice | None) -> Verdict:
    """Judges whether two shares of different examples differ by more than chance, at 95 %.

    The interval of their difference follows from the Wilson interval of each (Newcombe, 1998: Statistics in
    Medicine 17, 873-890, method 10).
    """
    if first is None or second is None or first.accuracy is None or second.accuracy is None:
        return "unknown"
    if second.accuracy < first.accuracy:
        return "worse" if judge_slices(second, first) == "better" else "noise"
    nearest = math.hypot(second.accuracy - second.low, first.high - first.accuracy)
    return "better" if second.accuracy - first.accuracy > nearest else "noise"


def render_diff(comparison: Comparison, links: Sequence[str | None]) -> str:
    """Renders the page; `links` are those of the pages of both runs, relative or absolute."""
    pairs = zip((comparison.first, comparison.second), links, strict=True)
    sides = chain.from_iterable((pair.first, pair.second) for pair in comparison.slices)
    lows = [side.low for side in sides if side]
    return render(
        "diff.html",
        comparison=comparison,
        runs=[(facts, link, *BADGES[facts.run.outcome]) for facts, link in pairs],
        kinds=list(dict.fromkeys(pair.kind for pair in comparison.slices)),
        floor=min(0.9, math.floor(min(lows, default=0.0) * 10) / 10),
    )
