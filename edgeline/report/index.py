"""The page of all runs of a model: accuracy over the weeks, what was pushed, what was held back and why."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from statistics import mean

from msgspec import Struct, field, structs

from edgeline.journal import parse_time
from edgeline.records.ingest import Excluded
from edgeline.report import charts, words
from edgeline.report.changes import Lines, describe
from edgeline.report.compare import SECTIONS
from edgeline.report.facts import Facts, Slice
from edgeline.report.page import Figure, render
from edgeline.report.verdict import BADGES

_MOST_STEPS = 5  # with a time of their own in the chart


class Mark(Struct, frozen=True):
    """An action of people beside the runs: a change of production, or the exclusion of a span."""

    when: str  # UTC, ISO 8601
    action: str  # `push`, `promote`, `rollback` or `exclude`
    to_version: int | None = None
    from_version: int | None = None
    reason: str = ""
    span: str = ""

    @property
    def sentence(self) -> str:
        """Returns the action in words."""
        if self.action == "exclude":
            return f"{self.span} was excluded"
        return f"{self.action} from version {self.from_version or words.UNKNOWN} to {self.to_version}"


class Row(Struct, frozen=True):
    """One run in the table; fields of steps that it did not reach are None."""

    run: str  # its id
    link: str | None  # where its page is, relative to the index or absolute
    outcome: str
    started_at: str  # UTC, ISO 8601
    accuracy: float | None = None  # that of its model on its eval examples, 0..1
    before: float | None = None  # that of the model in production, on the same examples
    weakest: str | None = None  # the class with the lowest recall, and its recall
    examples: int | None = field(name="photos", default=None)  # in its window
    quarantined: int | None = None  # in the newest span
    version: int | None = None  # pushed by it
    seconds: float | None = None  # wall time
    reason: str = ""  # why it ended as it did, where that was no push
    slices: tuple[Slice, ...] = ()  # overall and by class
    sizes: Mapping[str, int] = field(default_factory=dict)  # bytes of the edge files by variant
    steps: Mapping[str, float] = field(default_factory=dict)  # seconds, in the order of the DAG
    excluded: tuple[Excluded, ...] = ()  # spans that its window would hold
    said: Mapping[str, Lines] = field(default_factory=dict)  # lines by section, for comparisons

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
    about, overall = facts.about, facts.evaluation.overall if facts.evaluation else None
    worst = facts.evaluation.worst("class") if facts.evaluation else None
    return Row(
        run=about.run,
        link=link,
        outcome=about.outcome,
        started_at=about.started_at,
        accuracy=overall.accuracy if overall else None,
        before=overall.before if overall else None,
        weakest=f"{worst.name} {words.percent(worst.accuracy)}" if worst else None,
        examples=sum(facts.data.splits.values()) if facts.data else None,
        quarantined=facts.data.spans[-1].quarantined if facts.data and facts.data.spans else None,
        version=about.version if about.outcome == "pushed" else None,
        seconds=about.seconds,
        reason="" if about.outcome == "pushed" else " ".join(about.reasons[:1]),
        slices=tuple(
            structs.replace(item, measures={})
            for item in (facts.evaluation.slices if facts.evaluation else ())
            if item.kind in ("overall", "class")
        ),
        sizes={
            variant.name: variant.measured.size_bytes
            for variant in (facts.edge.variants if facts.edge else ())
            if variant.measured
        },
        steps={step.name: step.seconds for step in about.steps if step.seconds is not None},
        excluded=facts.data.excluded if facts.data else (),
        said=describe(facts),
    )


def render_index(model: str, rows: Sequence[Row], changes: Sequence[Mark] = ()) -> str:
    """Renders the page; the rows, and the changes of production, come oldest first."""
    dated = [(at, row) for row in rows if (at := _parse_moment(row.started_at)) is not None]
    by_hand = [mark for mark in changes if mark.action != "push"]
    marks = sorted((*by_hand, *_find_exclusions(rows)), key=lambda mark: mark.when, reverse=True)
    return render(
        "index.html",
        model=model,
        sentence=_describe_production(model, rows, changes),
        figures=[*_compare_with_production(rows), *_count_outcomes(rows)],
        rows=[(row, *BADGES[row.outcome]) for row in rows[::-1]],
        dated=dated if any(row.accuracy is not None for _, row in dated) else [],
        marks=marks,
        acts=[(at, mark.action) for mark in marks[::-1] if (at := _parse_moment(mark.when)) is not None],
        classes=_sort_classes(rows)[: len(charts.MARKERS)],
        variants=list({name: None for row in rows[::-1] for name in row.sizes})[: len(charts.MARKERS)],
        steps=_sort_steps(rows)[:_MOST_STEPS],
        sections=SECTIONS,
        compared=_make_comparable(rows),
    )


def _sort_classes(rows: Sequence[Row]) -> list[str]:
    """Returns the classes, those with the lowest mean recall first."""
    labels = {label for row in rows for label in row.recalls}
    return sorted(labels, key=lambda it: (mean(row.recalls[it] for row in rows if it in row.recalls), it))


def _sort_steps(rows: Sequence[Row]) -> list[str]:
    """Returns the steps, those with the longest total time first."""
    spent: Counter[str] = Counter()
    for row in rows:
        spent.update(row.steps)
    return [step for step, _ in spent.most_common()]


def _make_comparable(rows: Sequence[Row]) -> list[dict[str, object]]:
    """Returns what the page's script compares, newest run first, without lines that are equal in all runs."""
    texts: dict[tuple[str, str], Counter[str]] = {}
    for row in rows:
        for section, lines in row.said.items():
            for what, text in lines.items():
                texts.setdefault((section, what), Counter())[text] += 1
    runs_with = Counter(section for row in rows for section in row.said)
    alike = {key for key, counts in texts.items() if max(counts.values()) == runs_with[key[0]]}
    return [
        {
            "name": row.name,
            "outcome": BADGES[row.outcome][0],
            "slices": {
                "Accuracy" if it.kind == "overall" else f"Recall of {it.name}": [it.accuracy, it.low, it.high]
                for it in row.slices
                if it.accuracy is not None
            },
            "said": {
                section: {what: text for what, text in lines.items() if (section, what) not in alike}
                for section, lines in row.said.items()
            },
        }
        for row in rows[::-1]
    ]


def _find_exclusions(rows: Iterable[Row]) -> set[Mark]:
    excluded = {item for row in rows for item in row.excluded}
    return {Mark(item.when, "exclude", reason=item.reason, span=item.span) for item in excluded}


def _parse_moment(text: str) -> datetime | None:
    try:
        at = parse_time(text)
    except ValueError:
        return None
    return at if 1900 < at.year < 2200 else None  # Python cannot format the days of axes beyond.


def _describe_production(model: str, rows: Sequence[Row], changes: Sequence[Mark]) -> str:
    if changes and changes[-1].action != "push":
        last, what = changes[-1], f"Version {changes[-1].to_version} of {model} is in production"
        return f"{what}: {last.action} from version {last.from_version} on {words.day(last.when)}."
    pushed = [row for row in rows if row.outcome == "pushed"]
    if not rows:
        return f"No run of {model} yet."
    if not pushed:
        return f"No run of {model} has pushed a version yet; runs so far: {len(rows)}."
    since = len(rows) - 1 - max(number for number, row in enumerate(rows) if row.outcome == "pushed")
    when = f"{since} run{'s' if since > 1 else ''} ago" if since else "by the last run"
    return (
        f"Version {pushed[-1].version} of {model} was pushed {when}, on {words.day(pushed[-1].started_at)}."
    )


def _compare_with_production(rows: Sequence[Row]) -> list[Figure]:
    """Returns the newest model's accuracy and that of production on the same examples."""
    newest = next((row for row in reversed(rows) if row.accuracy is not None), None)
    if newest is None or newest.accuracy is None:
        return []
    figures = [
        Figure("Newest model", words.percent(newest.accuracy), f"{BADGES[newest.outcome][0]}, {newest.name}")
    ]
    if newest.before is not None:
        points = words.points(newest.accuracy - newest.before)
        figures.append(
            Figure("Production then", words.percent(newest.before), f"the newest model has {points} points")
        )
    return figures


def _count_outcomes(rows: Sequence[Row]) -> list[Figure]:
    counted = Counter(row.outcome for row in rows)
    return [
        Figure("Runs", words.count(len(rows))),
        *(
            Figure(badge.capitalize(), words.count(counted[outcome]))
            for outcome, (badge, _) in BADGES.items()
            if counted[outcome]
        ),
    ]
