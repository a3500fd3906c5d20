"""The age of production: its accuracy on weeks that it has not seen, beside that of each run's model."""

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
    """The newest span of one run, answered by production and by the run's own model."""

    run: str
    version: int  # in production
    weeks: int  # spans since the newest that it was trained on
    examples: int  # of that span, in eval
    production: float  # accuracy, 0..1
    retrained: float

    @property
    def cost(self) -> float:
        """Returns what production loses to the retrained model."""
        return self.retrained - self.production


def find_aged(rows: Sequence[Row]) -> list[Aged]:
    """Returns the runs whose newest span production had not seen, oldest first; the last of repeated ones."""
    trained_on = {row.version: row.newest_span for row in rows if row.version and row.newest_span}
    aged: dict[tuple[int, int], Aged] = {}
    for row in rows:
        trained_until, newest = trained_on.get(row.baseline or 0), row.newest
        if trained_until is None or newest is None or newest.accuracy is None or newest.before is None:
            continue
        if row.baseline and (weeks := row.newest_span - trained_until) > 0:
            figures = newest.examples, newest.before, newest.accuracy
            aged[row.newest_span, row.baseline] = Aged(row.run, row.baseline, weeks, *figures)
    return list(aged.values())


def describe_cost(aged: Sequence[Aged]) -> str:
    """Returns what a week without retraining costs: the slope through 0 of the costs over weeks."""
    if len(aged) < _FEWEST:
        return (
            f"What a week without retraining costs is not known before {_FEWEST} runs; there are {len(aged)}."
        )
    from scipy.special import stdtrit

    weights = sum(a.examples * a.weeks**2 for a in aged)
    slope = sum(a.examples * a.weeks * a.cost for a in aged) / weights
    freedom = len(aged) - 1
    rest = sum(a.examples * (a.cost - slope * a.weeks) ** 2 for a in aged) / freedom
    half = float(stdtrit(freedom, 0.975)) * (rest / weights) ** 0.5
    return (
        f"A week without retraining costs {100 * slope:.1f} points of accuracy (95 % CI"
        f" {100 * (slope - half):.1f} to {100 * (slope + half):.1f}, from {format_count(len(aged), 'run')})."
    )


def draw_decay(aged: Sequence[Aged]) -> "Markup":
    """Draws the mean accuracy of production and of the retrained models by weeks since production's data."""
    weeks = sorted({a.weeks for a in aged})
    by_week = {week: [a for a in aged if a.weeks == week] for week in weeks}

    def draw(axes: "Axes") -> None:
        for colour, name in ((BEFORE, "retrained"), (ACCENT, "production")):
            means = [fmean(getattr(a, name) for a in by_week[week]) for week in weeks]
            axes.plot(weeks, means, color=colour, linewidth=1.5)
            for week, mean in zip(weeks, means, strict=True):
                (point,) = axes.plot([week], [mean], "o", color=colour, markersize=4.5)
                when, runs = format_count(week, "week"), format_count(len(by_week[week]), "run")
                add_tooltip(point, f"{name} after {when}: {mean:.1%} in {runs}")
        axes.set_xticks(weeks)
        axes.set_xlabel("weeks since the newest span of production")
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")

    return render_svg("decay", describe_cost(aged), draw)
