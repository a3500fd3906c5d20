"""The age of releases: their accuracy on weeks that they have not seen, beside that of each run's model."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from edgeline.labels import format_count
from edgeline.report.drawing import ACCENT, BEFORE, add_tooltip, render_svg
from edgeline.report.timelines import Row

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes

_FEWEST = 3  # runs


@dataclass(frozen=True)
class Aged:
    """The newest span of one run, answered by a release and by the run's own model."""

    run: str
    version: int  # in production, or an earlier one
    weeks: int  # spans since the newest that it was trained on
    examples: int  # of that span, in eval
    released: float  # accuracy, 0..1
    retrained: float

    @property
    def cost(self) -> float:
        """Returns what the release loses to the retrained model."""
        return self.retrained - self.released


def find_aged(rows: Sequence[Row]) -> list[Aged]:
    """Returns the releases that had not seen the newest span of a run, by run, oldest first.

    Of several runs on a span, the last one with a release counts.
    """
    trained_on = {row.version: row.newest_span for row in rows if row.version and row.newest_span}
    aged: dict[tuple[int, int], Aged] = {}
    for row in rows:
        newest = row.newest
        if newest is None or newest.accuracy is None:
            continue
        scores = {item.version: (item.examples, item.right / item.examples) for item in row.earlier}
        if row.baseline and newest.before is not None:
            scores[row.baseline] = newest.examples, newest.before
        for version, (examples, accuracy) in scores.items():
            weeks = row.newest_span - trained_on.get(version, row.newest_span)
            if weeks > 0:
                key = row.newest_span, version
                aged[key] = Aged(row.run, version, weeks, examples, accuracy, newest.accuracy)
    return list(aged.values())


def describe_cost(aged: Sequence[Aged]) -> str:
    """Returns what a week without retraining costs: the slope through 0 of the costs over weeks.

    Its interval allows for the releases of one run answering the same examples.
    """
    runs = {a.run for a in aged}
    if len(runs) < _FEWEST:
        return (
            f"What a week without retraining costs is not known before {_FEWEST} runs; there are {len(runs)}."
        )
    from scipy.special import stdtrit

    weights = sum(a.examples * a.weeks**2 for a in aged)
    slope = sum(a.examples * a.weeks * a.cost for a in aged) / weights
    freedom = len(runs) - 1
    residuals = dict.fromkeys(runs, 0.0)
    for a in aged:
        residuals[a.run] += a.examples * a.weeks * (a.cost - slope * a.weeks)
    # https://en.wikipedia.org/wiki/Clustered_standard_errors, with the factor for few clusters
    variance = len(runs) / freedom * sum(value**2 for value in residuals.values()) / weights**2
    half = float(stdtrit(freedom, 0.975)) * variance**0.5
    return (
        f"A week without retraining costs {100 * slope:.1f} points of accuracy (95 % CI"
        f" {100 * (slope - half):.1f} to {100 * (slope + half):.1f}, from {format_count(len(runs), 'run')})."
    )


def draw_decay(aged: Sequence[Aged]) -> "Markup":
    """Draws the mean accuracy of releases and of the retrained models by weeks since the releases' data."""
    weeks = sorted({a.weeks for a in aged})
    by_week = {week: [a for a in aged if a.weeks == week] for week in weeks}

    def draw(axes: "Axes") -> None:
        for colour, name in ((BEFORE, "retrained"), (ACCENT, "released")):
            means = [fmean(getattr(a, name) for a in by_week[week]) for week in weeks]
            axes.plot(weeks, means, color=colour, linewidth=1.5)
            for week, mean in zip(weeks, means, strict=True):
                (point,) = axes.plot([week], [mean], "o", color=colour, markersize=4.5)
                when = format_count(week, "week")
                count = len(by_week[week])
                add_tooltip(point, f"{name} after {when}: {mean:.1%}, mean of {count}")
        axes.set_xticks(weeks)
        axes.set_xlabel("weeks since the newest span of the release")
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")

    return render_svg("decay", describe_cost(aged), draw)
