"""The charts of one run: its data, features, training and calibration."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeline.labels import format_count
from edgeline.records.ingest import Span
from edgeline.records.training import Epoch
from edgeline.report.drawing import (
    ACCENT,
    BEFORE,
    CLASSES,
    INK,
    MUTED,
    SURFACE,
    WARN,
    add_tooltip,
    render_svg,
)
from edgeline.report.facts import Feature
from edgeline.report.measures import Reliability
from edgeline.report.words import cut

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes

_SMALL = 270  # width of the chart of a feature
_MOST_POINTS = 20  # epochs that have a point each


def draw_weeks(name: str, spans: Sequence[Span], classes: Sequence[str]) -> "Markup":
    """Draws the examples of each span, stacked by class, with the quarantined ones on top.

    Args:
        name: The id of the chart, unique in its page.
        spans: Those of the window, oldest first, with their examples by class and the quarantined ones.
        classes: Those with a colour each, from below, at most 6; examples of all others share one more.
    """

    def draw(axes: "Axes") -> None:
        places = range(len(spans))
        by_class = [[span.classes.get(label, 0) for span in spans] for label in classes]
        others = [span.accepted - sum(span.classes.get(label, 0) for label in classes) for span in spans]
        bottom = [0] * len(spans)
        labels = [*classes, "other classes"]
        colours = [*CLASSES[: len(classes)], BEFORE]
        for label, counts, colour in zip(labels, [*by_class, others], colours, strict=True):
            for span, bar in zip(
                spans, axes.bar(places, counts, 0.68, bottom=bottom, color=colour), strict=True
            ):
                add_tooltip(bar, f"{span.name}: {bar.get_height():,.0f} {label}")
            bottom = [below + count for below, count in zip(bottom, counts, strict=True)]

        quarantined = [span.quarantined for span in spans]
        bars = axes.bar(places, quarantined, 0.68, bottom=bottom, color=SURFACE, edgecolor=WARN, hatch="////")
        for span, bar in zip(spans, bars, strict=True):
            add_tooltip(bar, f"{span.name}: {span.quarantined:,} quarantined")
        axes.set_ylabel("examples")
        # All numbers where there is room for them, else the first and the last.
        step = 1 if len(spans) <= 9 else max(1, len(spans) - 1)
        axes.set_xticks(list(places)[::step], [str(span.number) for span in spans][::step])
        axes.set_xlabel("span")
        axes.margins(x=0.02)

    return render_svg(name, f"Examples of {format_count(len(spans), 'span')} by class, and quarantined", draw)


def draw_feature(name: str, of: Feature) -> "Markup":
    """Draws the distribution of a feature in the newest span over that in the spans before it."""
    alt = f"Distribution of {of.name}: the newest span and those before"
    draw = _draw_values if of.now.values else _draw_bins
    return render_svg(name, alt, lambda axes: draw(axes, of), _SMALL, height=140)


def _draw_bins(axes: "Axes", of: Feature) -> None:
    """Draws densities, because the two distributions have bins of different widths."""
    for distribution, colour, is_filled in ((of.before, BEFORE, True), (of.now, ACCENT, False)):
        if distribution is None or not distribution.bins:
            continue
        widest = max((high - low for low, high, _ in distribution.bins), default=0.0) or 1.0
        densities = [share / ((high - low) or widest) for low, high, share in distribution.bins]
        *ends, (low, high, _) = distribution.bins
        edges = [*(begin for begin, _, _ in ends), low, high if high > low else low + widest]
        axes.stairs(densities, edges, fill=is_filled, color=colour, linewidth=0 if is_filled else 2)
    axes.set_yticks([])
    axes.grid(False)
    axes.margins(x=0.01)
    axes.locator_params(axis="x", nbins=5)


def _draw_values(axes: "Axes", of: Feature, most: int = 6) -> None:
    """Draws the values that rose and fell most, or the commonest where there are no spans before."""
    now = dict(of.now.values)
    before = dict(of.before.values) if of.before else {}
    names = {**now, **before}
    if before:
        risen = sorted(names, key=lambda v: before.get(v, 0.0) - now.get(v, 0.0))
        values = risen if len(risen) <= most else [*risen[: most // 2], *risen[-(most // 2) :]]
    else:
        values = list(now)[:most]

    for place, value in enumerate(values):
        shares = ((before, 0.76, BEFORE, "earlier spans"), (now, 0.30, ACCENT, "newest span"))
        for of_value, height, colour, spans in shares:
            [bar] = axes.barh(place, of_value.get(value, 0.0) * 100, height, color=colour)
            add_tooltip(bar, f"{value}: {of_value.get(value, 0.0):.1%} of the {spans}")
    axes.set_yticks(range(len(values)), [cut(value, 16) for value in values], color=INK)
    axes.invert_yaxis()
    axes.grid(False)
    axes.grid(True, axis="x")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} %")
    axes.locator_params(axis="x", nbins=4)


def draw_training(name: str, epochs: Sequence[Epoch], figure: str, best: int | None) -> "Markup":
    """Draws a figure on training and eval examples by epoch, with a line at the best epoch.

    Args:
        name: The id of the chart, unique in its page.
        epochs: Oldest first; a figure that is None or NaN leaves a gap. With over 20, none has a point.
        figure: `loss` or `accuracy`; that on eval examples is the epoch's `val_loss` or `val_accuracy`.
        best: The number of the best epoch; None draws no line.
    """

    def draw(axes: "Axes") -> None:
        numbers = [epoch.epoch for epoch in epochs]
        for key, colour in ((figure, BEFORE), (f"val_{figure}", ACCENT)):
            values = [getattr(epoch, key) for epoch in epochs]
            axes.plot(numbers, values, color=colour, linewidth=2)
            points = [(at, value) for at, value in zip(numbers, values, strict=True) if value is not None]
            if len(epochs) > _MOST_POINTS:
                points = []
            for number, value in points:
                [point] = axes.plot([number], [value], "o", color=colour, markersize=3.5)
                text = f"{value:.1%}" if figure == "accuracy" else f"{value:.4g}"
                add_tooltip(point, f"epoch {number}, {'eval' if key != figure else 'train'}: {figure} {text}")
        if best is not None:
            axes.axvline(best, color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
        if figure == "accuracy":
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.locator_params(axis="x", integer=True)
        axes.locator_params(axis="y", nbins=5)
        axes.set(xlabel="epoch", ylabel=figure)

    return render_svg(name, f"{figure} over {format_count(len(epochs), 'epoch')}", draw)


def draw_reliability(name: str, of: Reliability) -> "Markup":
    """Draws accuracy over confidence; a calibrated model lies on the dotted line."""

    def draw(axes: "Axes") -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
        for bin_ in of.bins:
            axes.plot([bin_.confidence] * 2, [bin_.confidence, bin_.accuracy], color=WARN, linewidth=2)
            size = 20 + 160 * bin_.examples / of.examples
            point = axes.scatter([bin_.confidence], [bin_.accuracy], size, color=ACCENT, zorder=3)
            text = (
                f"{bin_.examples:,} examples: confidence {bin_.confidence:.1%}, accuracy {bin_.accuracy:.1%}"
            )
            add_tooltip(point, text)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.set(xlim=(-0.03, 1.05), ylim=(-0.03, 1.08), xlabel="confidence", ylabel="accuracy")
        axes.grid(True, axis="both")

    return render_svg(name, "Accuracy over confidence, in ten bins", draw, height=250)
