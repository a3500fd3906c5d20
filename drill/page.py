"""The page of a drill: accuracy of the arms, faults, decisions with their sentences, and the harm done."""

from collections import defaultdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from data.spans.sample import find_monday
from drill.faults import FAULTS
from drill.promises import PROMISES, find_false_alarms, find_first_broken
from drill.record import ARMS, Week, Year
from edgeline.report import words
from edgeline.report.drawing import BAD, CLASSES, GLYPHS, MARKERS, MUTED, WIDE, WIDTH, add_tooltip, render_svg
from edgeline.report.page import Figure, make_environment

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes

PAGE = "drill.html"
_TEMPLATE = Path(__file__).parent / PAGE


def write_page(folder: Path, year: Year) -> Path:
    """Writes the page of a year beside its record; returns its path."""
    first = find_first_broken(year)
    harm = {arm: _count_bad_weeks(year, arm) for arm in ARMS}
    good = [week for week in year.weeks if week.is_good]
    broken = {item.promise for item in chain.from_iterable(week.broken for week in year.weeks)}

    figures = [
        Figure("Weeks", words.count(len(year.weeks)), f"{len(good)} of them with good photos and training"),
        Figure("Broken promises", words.count(len(broken)), f"of {len(PROMISES)}"),
        Figure("False alarms", words.count(len(find_false_alarms(year))), f"in {len(good)} good weeks"),
        *(
            Figure(f"Bad weeks: {arm}", words.count(weeks), "weeks of each device")
            for arm, weeks in harm.items()
        ),
    ]

    page = (
        make_environment()
        .from_string(_TEMPLATE.read_text("utf-8"))
        .render(
            sentence=(
                f"Week {first[0].number} broke a promise: {first[1].promise.replace('_', ' ')}."
                if first
                else f"Every promise held in {len(year.weeks)} weeks."
            ),
            year=year,
            figures=figures,
            arms=list(zip(ARMS, CLASSES, GLYPHS, strict=False)),
            timelines=[_draw_arms(name, width, year) for name, width in (("wide", WIDE), ("narrow", WIDTH))],
            rows=[_make_row(year, week) for week in year.weeks[::-1]],
            kinds=_count_kinds(year),
            promises=[(promise.__name__.replace("_", " "), promise.__doc__) for promise in PROMISES],
        )
    )

    (folder / PAGE).write_text(page, encoding="utf-8")
    return folder / PAGE


def _make_row(year: Year, week: Week) -> tuple[Week, str, list[float | None], str]:
    """Returns a week with its day, the accuracies of the arms on its hidden test, and a sentence.

    The sentence is the first reason of an attempt that failed, or of the last one.
    """
    attempt = next((item for item in week.attempts if item.exit_code and item.sentences), week.last)
    return (
        week,
        f"{find_monday(year.history + week.number + 1):%Y-%m-%d}",
        [year.accuracy(week.arms.get(arm, ""), week.number) for arm in ARMS],
        attempt.sentences[0] if attempt is not None and attempt.sentences else "",
    )


def _count_bad_weeks(year: Year, arm: str) -> int:
    models = ((week.arms.get(arm, ""), week.number) for week in year.weeks)
    return sum(bool(model and year.find_fault(model, number)) for model, number in models)


def _count_kinds(year: Year) -> list[tuple[str, str, int, int, int, int]]:
    """Returns the name and summary of each fault that struck, and four numbers of weeks.

    In all of them it struck; in some an attempt ended without a push, the last attempt pushed, or a promise
    was broken.
    """
    weeks = defaultdict(list)
    for week in year.weeks:
        for name in week.faults:
            if name not in week.idle:
                weeks[name].append(week)
    return [
        (
            name,
            FAULTS[name].summary,
            len(struck),
            sum(any(attempt.exit_code for attempt in week.attempts) for week in struck),
            sum(week.last is not None and week.last.outcome == "pushed" for week in struck),
            sum(bool(week.broken) for week in struck),
        )
        for name, struck in weeks.items()
    ]


def _draw_arms(name: str, width: int, year: Year) -> "Markup":
    """Draws the accuracy of each arm on each week's hidden test, and marks the weeks with a fault."""

    def draw(axes: "Axes") -> None:
        for arm, colour, marker in zip(ARMS, CLASSES, MARKERS, strict=False):
            points = [
                (week.number, accuracy, week)
                for week in year.weeks
                if (accuracy := year.accuracy(week.arms.get(arm, ""), week.number)) is not None
            ]
            axes.plot([n for n, _, _ in points], [a for _, a, _ in points], color=colour, linewidth=1.5)
            for number, accuracy, week in points:
                [point] = axes.plot([number], [accuracy], marker, color=colour, markersize=4)
                add_tooltip(point, f"week {number}, {arm} ({week.arms[arm]}): {accuracy:.1%}")
        for week in year.weeks:
            if week.faults:
                line = axes.axvline(week.number, color=BAD if week.broken else MUTED, linewidth=1, alpha=0.5)
                add_tooltip(line, f"week {week.number}: {', '.join(week.faults)}")
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.locator_params(axis="x", integer=True)
        axes.set(xlabel="week", ylabel="accuracy")

    return render_svg(f"{name}-arms", "Accuracy of each arm by week", draw, width, height=260)
