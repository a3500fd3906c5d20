"""The rows of the page of all runs."""

from collections.abc import Mapping
from dataclasses import replace

from msgspec import Struct, field

from edgeline.records.ingest import Excluded
from edgeline.report import words
from edgeline.report.changes import Lines, describe
from edgeline.report.facts import Facts, Slice


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
    run, overall = facts.run, facts.evaluation.overall if facts.evaluation else None
    worst = facts.evaluation.worst("class") if facts.evaluation else None
    return Row(
        run=run.id,
        link=link,
        outcome=run.outcome,
        started_at=run.started_at,
        accuracy=overall.accuracy if overall else None,
        before=overall.before if overall else None,
        weakest=f"{worst.name} {words.percent(worst.accuracy)}" if worst else None,
        examples=sum(facts.data.splits.values()) if facts.data else None,
        quarantined=facts.data.spans[-1].quarantined if facts.data and facts.data.spans else None,
        version=run.version if run.outcome == "pushed" else None,
        seconds=run.seconds,
        reason="" if run.outcome == "pushed" else " ".join(run.reasons[:1]),
        slices=tuple(
            replace(item, measures={})
            for item in (facts.evaluation.slices if facts.evaluation else ())
            if item.kind in ("overall", "class")
        ),
        sizes={
            variant.name: variant.measured.size_bytes
            for variant in (facts.edge.variants if facts.edge else ())
            if variant.measured
        },
        steps={step.name: step.seconds for step in run.steps if step.seconds is not None},
        excluded=facts.data.excluded if facts.data else (),
        said=describe(facts),
    )
