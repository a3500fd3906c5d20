"""The charts of the report: SVG made by matplotlib, with the page's own font and its colours in both themes.

matplotlib draws with stand-in colours, which are replaced by CSS variables of the page, so that one drawing
fits light, dark and print. One unit is one CSS pixel, and only the wide timeline is wider than a phone.
"""

import io
import re
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any

from edgeline.records.ingest import Span
from edgeline.records.training import Epoch
from edgeline.report.facts import Feature
from edgeline.report.measures import Reliability
from edgeline.report.words import megabytes, seconds

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from edgeline.report.index import Row

    Dated = tuple[datetime, Row]  # a run with its start

# The time and the kind of an action: `rollback`, `promote` or `exclude`.
Act = tuple[datetime, str]

WIDTH, WIDE, _SMALL = 330, 880, 270
_MOST_POINTS = 20  # epochs that have a point each
# Begins the id of a drawn thing that has a text of its own; the text follows in hexadecimal digits.
_TIP = "tip-"
_PIXELS_PER_INCH = 72  # One point of matplotlib's SVG is one unit of its viewBox.

# The CSS variables of templates/style.css that have stand-in colours.
_VARIABLES = (
    *("ink", "muted", "line", "accent", "before", "warn", "good", "bad", "surface"),
    *(f"class-{number}" for number in range(6)),
)
_STAND_INS = {f"#{number:06x}": f"var(--{name})" for number, name in enumerate(_VARIABLES, start=1)}
_INK, _MUTED, _LINE, _ACCENT, _BEFORE, _WARN, _GOOD, _BAD, _SURFACE, *_CLASSES = _STAND_INS
# Points of several lines, and of several outcomes, differ in shape too: not all people see colours.
MARKERS, GLYPHS = "os^DvP", "●■▲◆▼✚"
_ENDINGS = {
    "pushed": (_GOOD, "o"),
    "held": (_WARN, "D"),
    "unchanged": (_BEFORE, "s"),
    "refused": (_WARN, "x"),
}
_ACTS = {"rollback": (_BAD, "<"), "promote": (_ACCENT, ">"), "exclude": (_MUTED, "v")}
CLASS_COLOURS = tuple(_STAND_INS[stand_in] for stand_in in _CLASSES)

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
    # Labels come from people, and a dollar sign is no formula.
    "text.parse_math": False,
    "text.color": _INK,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _MUTED,
    "axes.linewidth": 1,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": _LINE,
    "grid.linewidth": 1,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _MUTED,
    "xtick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.major.size": 0,
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
}


def _render_svg(
    name: str, alt: str, draw: "Callable[[Axes], None]", width: int = WIDTH, height: int = 190
) -> "Markup":
    """Renders a chart as an SVG element for a page, width and height in CSS pixels.

    `name` is unique in its page: ids in the SVG begin with it. `alt` describes the chart to screen readers.
    """
    import matplotlib
    from markupsafe import Markup
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    style: Any = {**_STYLE, "svg.hashsalt": name}  # newer matplotlibs type the names of all their settings
    with matplotlib.rc_context(style), warnings.catch_warnings():
        # The browser's font has the characters that matplotlib's font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        size = (width / _PIXELS_PER_INCH, height / _PIXELS_PER_INCH)
        layout = ConstrainedLayoutEngine(w_pad=2 / _PIXELS_PER_INCH, h_pad=2 / _PIXELS_PER_INCH)
        figure = Figure(figsize=size, dpi=_PIXELS_PER_INCH, layout=layout)
        draw(figure.add_subplot())
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    head = f'<svg class="chart" viewBox="0 0 {width} {height}" style="max-width: {width}px" role="img"'
    return Markup(f'{head} aria-label="{escape(alt)}">\n{_adapt_to_page(file.getvalue(), name)}')


def _explain(artist: "Artist", text: str) -> None:
    """Gives a drawn thing a text that a browser shows while the pointer is over it."""
    artist.set_gid(f"{_TIP}{text.encode().hex()}")


def _adapt_to_page(svg: str, name: str) -> str:
    """Returns the content of an SVG of matplotlib with unique ids, and the page's colours and font."""
    body = svg[svg.index("<svg") :]
    body = body[body.index(">") + 1 :]
    # Style rules of the same name in several charts would affect each other.
    body = re.sub(r"<(metadata|style)\b.*?</\1>", "", body, flags=re.DOTALL)
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{name}-", body)
    # `font: 11px 'DejaVu Sans', ...` is reduced to its size; the family comes from the page.
    body = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", body)
    body = re.sub(r"font-family: [^;\"]*;?", "", body)
    body = re.sub(
        rf'<g id="{name}-{_TIP}([0-9a-f]+)">',
        lambda match: f"<g><title>{escape(bytes.fromhex(match[1]).decode())}</title>",
        body,
    )
    for stand_in, variable in _STAND_INS.items():
        body = body.replace(stand_in, variable)
    return "\n".join(line.strip() for line in body.splitlines() if line.strip())


def weeks(name: str, spans: Sequence[Span], classes: Sequence[str]) -> "Markup":
    """Draws the examples of each span, oldest first, stacked by class, with the quarantined ones on top.

    `classes` get a colour each; examples of others share the last one.
    """

    def draw(axes: "Axes") -> None:
        places = range(len(spans))
        by_class = [[span.classes.get(label, 0) for span in spans] for label in classes]
        others = [span.accepted - sum(span.classes.get(label, 0) for label in classes) for span in spans]
        bottom = [0] * len(spans)
        labels, colours = [*classes, "other classes"], [*_CLASSES[: len(classes)], _BEFORE]
        for label, counts, colour in zip(labels, [*by_class, others], colours, strict=True):
            for span, bar in zip(
                spans, axes.bar(places, counts, 0.68, bottom=bottom, color=colour), strict=True
            ):
                _explain(bar, f"{span.name}: {bar.get_height():,.0f} {label}")
            bottom = [below + count for below, count in zip(bottom, counts, strict=True)]
        quarantined = [span.quarantined for span in spans]
        bars = axes.bar(
            places, quarantined, 0.68, bottom=bottom, color=_SURFACE, edgecolor=_WARN, hatch="////"
        )
        for span, bar in zip(spans, bars, strict=True):
            _explain(bar, f"{span.name}: {span.quarantined:,} quarantined")
        axes.set_ylabel("examples")
        # All numbers where there is room for them, else the first and the last.
        step = 1 if len(spans) <= 9 else max(1, len(spans) - 1)
        axes.set_xticks(list(places)[::step], [str(span.number) for span in spans][::step])
        axes.set_xlabel("span")
        axes.margins(x=0.02)

    return _render_svg(name, f"Examples of {len(spans)} spans by class, and quarantined", draw)


def feature(name: str, of: Feature) -> "Markup":
    """Draws the distribution of a feature in the newest span over that in the spans before it."""
    alt = f"Distribution of {of.name}: the newest span and those before"
    draw = _draw_values if of.now.values else _draw_bins
    return _render_svg(name, alt, lambda axes: draw(axes, of), _SMALL, height=140)


def _draw_bins(axes: "Axes", of: Feature) -> None:
    """Draws densities, because the two distributions have bins of different widths."""
    for distribution, colour, is_filled in ((of.before, _BEFORE, True), (of.now, _ACCENT, False)):
        if distribution is None or not distribution.bins:
            continue
        widest = max((high - low for low, high, _ in distribution.bins), default=0.0) or 1.0
        x, y = [distribution.bins[0][0]], [0.0]
        for low, high, share in distribution.bins:
            density = share / ((high - low) or widest)
            x += [low, high if high > low else low + widest]
            y += [density, density]
        x.append(x[-1])
        y.append(0.0)
        if is_filled:
            axes.fill(x, y, color=colour, linewidth=0)
        else:
            axes.plot(x, y, color=colour, linewidth=2)
    axes.set_yticks([])
    axes.grid(False)
    axes.margins(x=0.01)
    axes.locator_params(axis="x", nbins=5)


def _draw_values(axes: "Axes", of: Feature, most: int = 6) -> None:
    """Draws the values that rose and fell most, or the commonest where there are no spans before."""
    now, before = dict(of.now.values), dict(of.before.values) if of.before else {}
    names = {**now, **before}
    if before:
        risen = sorted(names, key=lambda v: before.get(v, 0.0) - now.get(v, 0.0))
        shown = risen if len(risen) <= most else [*risen[: most // 2], *risen[-(most // 2) :]]
    else:
        shown = list(now)[:most]
    for place, value in enumerate(shown):
        shares = ((before, 0.76, _BEFORE, "earlier spans"), (now, 0.30, _ACCENT, "newest span"))
        for of_value, height, colour, spans in shares:
            [bar] = axes.barh(place, of_value.get(value, 0.0) * 100, height, color=colour)
            _explain(bar, f"{value}: {of_value.get(value, 0.0):.1%} of the {spans}")
    axes.set_yticks(range(len(shown)), [_shorten(value) for value in shown], color=_INK)
    axes.invert_yaxis()
    axes.grid(False)
    axes.grid(True, axis="x")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} %")
    axes.locator_params(axis="x", nbins=4)


def _shorten(text: str, most: int = 16) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def training(name: str, epochs: Sequence[Epoch], figure: str, best: int | None) -> "Markup":
    """Draws `loss` or `accuracy` on training and eval examples by epoch, with a line at the best epoch."""

    def draw(axes: "Axes") -> None:
        numbers = [epoch.epoch for epoch in epochs]
        for key, colour in ((figure, _BEFORE), (f"val_{figure}", _ACCENT)):
            values = [getattr(epoch, key) for epoch in epochs]
            axes.plot(numbers, values, color=colour, linewidth=2)
            known = [(at, value) for at, value in zip(numbers, values, strict=True) if value is not None]
            for number, value in known if len(epochs) <= _MOST_POINTS else ():
                [point] = axes.plot([number], [value], "o", color=colour, markersize=3.5)
                text = f"{value:.1%}" if figure == "accuracy" else f"{value:.4g}"
                _explain(point, f"epoch {number}, {'eval' if key != figure else 'train'}: {figure} {text}")
        if best is not None:
            axes.axvline(best, color=_MUTED, linewidth=1, linestyle=(0, (2, 3)))
        if figure == "accuracy":
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.locator_params(axis="x", integer=True)
        axes.locator_params(axis="y", nbins=5)
        axes.set(xlabel="epoch", ylabel=figure)

    return _render_svg(name, f"{figure} over {len(epochs)} epochs", draw)


def reliability(name: str, of: Reliability) -> "Markup":
    """Draws accuracy over confidence; a calibrated model lies on the dotted line."""

    def draw(axes: "Axes") -> None:
        axes.plot([0, 1], [0, 1], color=_MUTED, linewidth=1, linestyle=(0, (2, 3)))
        for each in of.bins:
            axes.plot([each.confidence] * 2, [each.confidence, each.accuracy], color=_WARN, linewidth=2)
        sizes = [20 + 160 * each.examples / of.examples for each in of.bins]
        for each, size in zip(of.bins, sizes, strict=True):
            point = axes.scatter([each.confidence], [each.accuracy], size, color=_ACCENT, zorder=3)
            text = (
                f"{each.examples:,} examples: confidence {each.confidence:.1%}, accuracy {each.accuracy:.1%}"
            )
            _explain(point, text)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.set(xlim=(-0.03, 1.05), ylim=(-0.03, 1.08), xlabel="confidence", ylabel="accuracy")
        axes.grid(True, axis="both")

    return _render_svg(name, "Accuracy over confidence, in ten bins", draw, height=250)


def timeline(
    name: str, width: int, runs: "Sequence[Dated]", marks: Sequence[Act], classes: Sequence[str] = ()
) -> "Markup":
    """Draws the accuracy of each run's model and of that in production over time, or the recall of classes.

    `runs` come with their start, oldest first. Where clocks disagree with that order, the runs are placed by
    number, and `marks`, the actions of people, are left out.
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
        _label_days(axes, width)

    return _render_svg(name, _describe_timeline(runs, marks, classes), draw, width, height=230)


def _describe_timeline(runs: "Sequence[Dated]", marks: Sequence[Act], classes: Sequence[str]) -> str:
    """Describes a chart over time in words."""
    rows = [row for _, row in runs]
    sentences = [f"{len(rows)} runs, {runs[0][0]:%Y-%m-%d} to {runs[-1][0]:%Y-%m-%d}"]
    series = {label: [row.recalls[label] for row in rows if label in row.recalls] for label in classes}
    series = series or {"accuracy": [row.accuracy for row in rows if row.accuracy is not None]}
    for what, values in series.items():
        if values:
            sentences.append(f"{what} from {values[0]:.1%} to {values[-1]:.1%}, lowest {min(values):.1%}")
    sentences += [f"{number} {outcome}" for outcome, number in Counter(row.outcome for row in rows).items()]
    return ". ".join((*sentences, *(f"{what} on {at:%Y-%m-%d}" for at, what in marks)))


def _draw_line(axes: "Axes", number: int, known: Sequence[tuple[float, float]]) -> None:
    """Draws one of several lines, which also differ in the shape of their points."""
    colour, marker = _CLASSES[number], MARKERS[number]
    axes.plot(*zip(*known, strict=True), color=colour, linewidth=1.5, marker=marker, markersize=4.5)


def _draw_accuracy(axes: "Axes", places: Sequence[float], rows: "Sequence[Row]") -> None:
    compared = [(at, row.before) for at, row in zip(places, rows, strict=True) if row.before is not None]
    axes.plot([at for at, _ in compared], [value for _, value in compared], color=_BEFORE, linewidth=2)
    known = [value for row in rows for value in (row.accuracy, row.before) if value is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    # A run without a model has no accuracy: it is drawn at the foot.
    foot = low - max(0.01, 0.15 * (high - low))
    for at, row in zip(places, rows, strict=True):
        colour, marker = _ENDINGS.get(row.outcome, (_BAD, "x"))
        height, marker = (foot, "x") if row.accuracy is None else (row.accuracy, marker)
        [point] = axes.plot([at], [height], marker, color=colour, markersize=6, zorder=3)
        accuracy = "no model" if row.accuracy is None else f"accuracy {row.accuracy:.1%}"
        _explain(point, f"{row.name}: {row.outcome}, {accuracy}")


def _label_days(axes: "Axes", width: int) -> None:
    from matplotlib.dates import num2date
    from matplotlib.ticker import MaxNLocator

    days = axes.get_xlim()[1] - axes.get_xlim()[0]
    form = "%H:%M" if days < 2 else "%d %b" if days < 300 else "%b %Y"
    axes.xaxis.set_major_locator(MaxNLocator(max(2, width // 110)))
    axes.xaxis.set_major_formatter(lambda value, _: num2date(value).strftime(form))
    axes.margins(x=0.03)


def step_times(name: str, runs: "Sequence[Dated]", steps: Sequence[str]) -> "Markup":
    """Draws the minutes of each run, oldest first, stacked: the given steps from below, then all others."""

    def draw(axes: "Axes") -> None:
        bottom = [0.0] * len(runs)
        named = [[row.steps.get(step, 0.0) / 60 for _, row in runs] for step in steps]
        others = [sum(time for step, time in row.steps.items() if step not in steps) / 60 for _, row in runs]
        for minutes, colour in zip([*named, others], [*_CLASSES[: len(steps)], _BEFORE], strict=True):
            axes.bar(
                range(len(runs)), minutes, 0.8, bottom=bottom, color=colour, edgecolor=_SURFACE, linewidth=0.5
            )
            bottom = [below + more for below, more in zip(bottom, minutes, strict=True)]
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} min")
        _label_runs(axes, runs)

    longest = max(runs, key=lambda run: sum(run[1].steps.values()))
    alt = f"Time by step of {len(runs)} runs; the longest took {seconds(sum(longest[1].steps.values()))}"
    return _render_svg(name, f"{alt}, on {longest[0]:%Y-%m-%d}", draw)


def sizes(name: str, runs: "Sequence[Dated]", variants: Sequence[str]) -> "Markup":
    """Draws the megabytes of each edge file over the runs, oldest first."""

    def draw(axes: "Axes") -> None:
        for number, variant in enumerate(variants):
            known = [
                (at, row.sizes[variant] / 1e6) for at, (_, row) in enumerate(runs) if variant in row.sizes
            ]
            _draw_line(axes, number, known)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} MB")
        _label_runs(axes, runs)

    last = {variant: row.sizes[variant] for _, row in runs for variant in variants if variant in row.sizes}
    latest = ", ".join(f"{variant} {megabytes(size)}" for variant, size in last.items())
    return _render_svg(name, f"Sizes of edge files over {len(runs)} runs; last: {latest}", draw)


def _label_runs(axes: "Axes", runs: "Sequence[Dated]") -> None:
    """Labels the days of the first run and of some of the others."""
    step = max(1, -(-(len(runs) - 1) // 3))
    days = [f"{at:%d %b}" for at, _ in runs]
    axes.set_xticks(range(0, len(runs), step), days[::step])
    axes.set_xlim(-0.6, len(runs) - 0.4)
    axes.locator_params(axis="y", nbins=5)
