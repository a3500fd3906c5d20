"""The figures of each run of a model, and their charts over time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from edgeline.labels import format_count
from edgeline.records.evaluation import EarlierRelease
from edgeline.records.ingest import Excluded
from edgeline.report import words
from edgeline.report.changes import Lines, describe_facts
from edgeline.report.drawing import (
    ACCENT,
    BAD,
    BEFORE,
    CLASSES,
    GOOD,
    MARKERS,
    MUTED,
    SURFACE,
    WARN,
    add_tooltip,
    render_svg,
)
from edgeline.report.facts import Data, Evaluation, Facts, ServedSlice, Slice, list_served
from edgeline.report.words import megabytes, seconds

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes


class Row(Struct, frozen=True):
    """One run in the table; fields of steps that it did not reach are None."""

    run: str  # its id
    link: str | None  # where its page is, relative to the index or absolute
    outcome: str
    started_at: str  # UTC, ISO 8601
    accuracy: float | None = None  # that of its model on its eval examples, 0..1
    before: float | None = None  # that of the model in production, on the same examples
    weakest: str | None = None  # the class with the lowest recall, and its recall
    examples: int | None = None  # in its window
    quarantined: int | None = None  # in the newest span
    version: int | None = None  # pushed by it
    seconds: float | None = None  # wall time
    reason: str = ""  # why it ended as it did, where that was not a push
    slices: tuple[Slice, ...] = ()  # overall and by class
    sizes: Mapping[str, int] = field(default_factory=dict)  # bytes of the edge files by variant
    steps: Mapping[str, float] = field(default_factory=dict)  # seconds, in the order of the DAG
    excluded: tuple[Excluded, ...] = ()  # spans that its window would hold
    said: Mapping[str, Lines] = field(default_factory=dict)  # lines by section, for comparisons
    newest_span: int = 0  # its number
    newest: Slice | None = None  # the slice of that span
    baseline: int | None = None  # the version in production that its model was compared with
    earlier: tuple[EarlierRelease, ...] = ()  # others, on that span
    served: tuple[ServedSlice, ...] = ()  # by version

    @property
    def recalls(self) -> dict[str, float]:
        """Returns the recall of each class that was measured, 0..1."""
        return {
            item.name: item.accuracy
            for item in self.slices
            if item.kind == "class" and item.accuracy is not None
        }

    @property
    def name(self) -> str:
        """Returns the id of the run, with its day where the id does not begin with it."""
        stamp = self.started_at[:10].replace("-", "")
        has_day = stamp and self.run.startswith(stamp)
        return self.run if has_day else f"{words.day(self.started_at)} {self.run}"


def make_row(facts: Facts, link: str | None) -> Row:
    """Makes the row of a run; `link` is that of its page."""
    run = facts.run
    data = facts.data or Data()
    last = data.spans[-1] if data.spans else None
    has_pushed = run.outcome == "pushed" or run.has_pushed
    variants = facts.edge.variants if facts.edge else ()
    served = list_served(facts.served, facts.pushed)

    return Row(
        run=run.id,
        link=link,
        outcome=run.outcome,
        started_at=run.started_at,
        examples=sum(facts.data.splits.values()) if facts.data else None,
        version=run.version if has_pushed else None,
        seconds=run.seconds,
        reason="" if run.outcome == "pushed" else " ".join(run.reasons[:1]),
        sizes={variant.name: variant.measured.size_bytes for variant in variants if variant.measured},
        steps={step.name: step.seconds for step in run.steps if step.seconds is not None},
        said=describe_facts(facts),
        earlier=facts.earlier,
        served=tuple(item for item in served if item.drawn.kind == "overall"),
        quarantined=last.quarantined if last else None,
        newest_span=last.number if last else 0,
        excluded=data.excluded,
        **_list_scores(facts.evaluation or Evaluation(), last.number if last else 0),
    )


def _list_scores(evaluation: Evaluation, newest: int) -> dict[str, Any]:
    """Returns the fields of a row that say how good its model is; `newest` is the number of a span."""
    overall = evaluation.overall
    worst = evaluation.worst("class")
    kept = (item for item in evaluation.slices if item.kind in ("overall", "class"))
    return {
        "accuracy": overall.accuracy if overall else None,
        "before": overall.before if overall else None,
        "weakest": f"{worst.name} {words.percent(worst.accuracy)}" if worst else None,
        "slices": tuple(replace(item, measures={}) for item in kept),
        "newest": next((span for span in evaluation.of("span") if span.name == str(newest)), None),
        "baseline": evaluation.baseline_version,
    }


# A run with its start; the time and the kind of an action, see `Mark`.
Dated = tuple[datetime, Row]
Act = tuple[datetime, str]

_ENDINGS = {"pushed": (GOOD, "o"), "held": (WARN, "D"), "unchanged": (BEFORE, "s"), "refused": (WARN, "x")}
_ACTS = {"rollback": (BAD, "<"), "promote": (ACCENT, ">"), "rollout": (ACCENT, "^"), "exclude": (MUTED, "v")}


def draw_timeline(
    name: str, width: int, runs: Sequence[Dated], marks: Sequence[Act], classes: Sequence[str] = ()
) -> "Markup":
    """Draws the accuracy of each run's model and of that in production over time, or the recall of classes.

    Where clocks disagree with the order of the runs, they are placed by number, and `marks` are left out.

    Args:
        name: The id of the chart, unique in its page.
        width: In CSS pixels; a wider chart has more dates below it.
        runs: At least one, each with its start, oldest first.
        marks: The actions of people, each a time with `rollout`, `promote`, `rollback` or `exclude`.
        classes: Those whose recall is drawn, a line each, at most 6; empty: accuracy is drawn instead.
    """
    from matplotlib.dates import date2num

    rows = [row for _, row in runs]
    days = [float(date2num(at)) for at, _ in runs]
    is_ordered = days == sorted(days)
    places = days if is_ordered else [float(number) for number in range(len(rows))]

    def draw(axes: "Axes") -> None:
        for number, label in enumerate(classes):
            placed = zip(places, rows, strict=True)
            _draw_line(axes, number, [(at, row.recalls[label]) for at, row in placed if label in row.recalls])
        if not classes:
            _draw_accuracy(axes, places, rows)
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")
        axes.locator_params(axis="y", nbins=5)
        if not is_ordered:
            axes.set_xticks([])
            axes.set_xlabel("in order of the runs (their clocks disagree)")
            return
        for at, what in marks:
            colour, marker = _ACTS[what]
            axes.axvline(float(date2num(at)), color=colour, linewidth=1, linestyle=(0, (2, 3)))
            top: Any = {"transform": axes.get_xaxis_transform(), "clip_on": False}
            axes.plot([float(date2num(at))], [1], marker, color=colour, markersize=6, **top)
        if len({*days, *(float(date2num(at)) for at, _ in marks)}) == 1:
            axes.update_datalim([(days[0] - 3, 0), (days[0] + 3, 0)], updatey=False)  # not years
        _label_days(axes, width)

    return render_svg(name, _describe_timeline(runs, marks, classes), draw, width, height=230)


def _describe_timeline(runs: Sequence[Dated], marks: Sequence[Act], classes: Sequence[str]) -> str:
    """Describes a chart over time in words."""
    rows = [row for _, row in runs]
    sentences = [f"{format_count(len(rows), 'run')}, {runs[0][0]:%Y-%m-%d} to {runs[-1][0]:%Y-%m-%d}"]
    series = {label: [row.recalls[label] for row in rows if label in row.recalls] for label in classes}
    series = series or {"accuracy": [row.accuracy for row in rows if row.accuracy is not None]}
    for what, values in series.items():
        if values:
            sentences.append(f"{what} from {values[0]:.1%} to {values[-1]:.1%}, lowest {min(values):.1%}")
    sentences += [f"{number} {outcome}" for outcome, number in Counter(row.outcome for row in rows).items()]
    return ". ".join((*sentences, *(f"{what} on {at:%Y-%m-%d}" for at, what in marks)))


def _draw_line(axes: "Axes", number: int, points: Sequence[tuple[float, float]]) -> None:
    """Draws one of several lines, which also differ in the shape of their points."""
    colour, marker = CLASSES[number], MARKERS[number]
    axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.5, marker=marker, markersize=4.5)


def _draw_accuracy(axes: "Axes", places: Sequence[float], rows: Sequence[Row]) -> None:
    compared = [(at, row.before) for at, row in zip(places, rows, strict=True) if row.before is not None]
    axes.plot([at for at, _ in compared], [value for _, value in compared], color=BEFORE, linewidth=2)
    values = [row.accuracy for row in rows if row.accuracy is not None]
    values += [value for _, value in compared]
    low = min(values, default=0.0)
    high = max(values, default=1.0)
    # A run without a model has no accuracy: it is drawn at the foot.
    foot = low - max(0.01, 0.15 * (high - low))
    for at, row in zip(places, rows, strict=True):
        colour, marker = _ENDINGS.get(row.outcome, (BAD, "x"))
        height, marker = (foot, "x") if row.accuracy is None else (row.accuracy, marker)
        [point] = axes.plot([at], [height], marker, color=colour, markersize=6, zorder=3)
        accuracy = "no model" if row.accuracy is None else f"accuracy {row.accuracy:.1%}"
        add_tooltip(point, f"{row.name}: {row.outcome}, {accuracy}")


def _label_days(axes: "Axes", width: int) -> None:
    from matplotlib.dates import num2date
    from matplotlib.ticker import MaxNLocator

    days = axes.get_xlim()[1] - axes.get_xlim()[0]
    form = "%d %b" if days < 300 else "%b %Y"
    if days < 2:
        form = "%H:%M"
    axes.xaxis.set_major_locator(MaxNLocator(max(2, width // 110), integer=days >= 2))
    axes.xaxis.set_major_formatter(lambda value, _: num2date(value).strftime(form))
    axes.margins(x=0.03)


def draw_step_times(name: str, runs: Sequence[Dated], steps: Sequence[str]) -> "Markup":
    """Draws the minutes of each run, stacked by step.

    Args:
        name: The id of the chart, unique in its page.
        runs: At least one, each with its start, oldest first; each has a bar.
        steps: Those with a colour each, from below, at most 6; the time of all others is above them.
    """

    def draw(axes: "Axes") -> None:
        bottom = [0.0] * len(runs)
        named = [[row.steps.get(step, 0.0) / 60 for _, row in runs] for step in steps]
        others = [sum(time for step, time in row.steps.items() if step not in steps) / 60 for _, row in runs]
        for minutes, colour in zip([*named, others], [*CLASSES[: len(steps)], BEFORE], strict=True):
            axes.bar(
                range(len(runs)), minutes, 0.8, bottom=bottom, color=colour, edgecolor=SURFACE, linewidth=0.5
            )
            bottom = [below + more for below, more in zip(bottom, minutes, strict=True)]
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} min")
        _label_runs(axes, runs)

    longest = max(runs, key=lambda run: sum(run[1].steps.values()))
    slowest = f"the longest took {seconds(sum(longest[1].steps.values()))}, on {longest[0]:%Y-%m-%d}"
    return render_svg(name, f"Time by step of {format_count(len(runs), 'run')}; {slowest}", draw)


def draw_sizes(name: str, runs: Sequence[Dated], variants: Sequence[str]) -> "Markup":
    """Draws the megabytes of each edge file over the runs.

    Args:
        name: The id of the chart, unique in its page.
        runs: Each with its start, oldest first; one without a file has no point in its line.
        variants: The kinds of edge files, a line each, at most 6; others are not drawn.
    """

    def draw(axes: "Axes") -> None:
        for number, variant in enumerate(variants):
            points = [
                (at, row.sizes[variant] / 1e6) for at, (_, row) in enumerate(runs) if variant in row.sizes
            ]
            _draw_line(axes, number, points)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} MB")
        _label_runs(axes, runs)

    last: dict[str, int] = {}
    for _, row in runs:
        last |= row.sizes
    latest = ", ".join(f"{variant} {megabytes(last[variant])}" for variant in variants if variant in last)
    return render_svg(
        name, f"Sizes of edge files over {format_count(len(runs), 'run')}; last: {latest}", draw
    )


def _label_runs(axes: "Axes", runs: Sequence[Dated]) -> None:
    """Labels the days of the first run and of some of the others."""
    step = max(1, -(-(len(runs) - 1) // 3))
    days = [f"{at:%d %b}" for at, _ in runs]
    axes.set_xticks(range(0, len(runs), step), days[::step])
    axes.set_xlim(-0.6, len(runs) - 0.4)
    axes.locator_params(axis="y", nbins=5)
