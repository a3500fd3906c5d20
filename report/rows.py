"""One run as a row of the page of all runs."""

from msgspec import Struct, field

from report import words
from report.facts import Facts
from report.verdict import BADGES


class Row(Struct, frozen=True):
    """One run in the table; None stands for what it did not get to."""

    run: str  # its id
    link: str | None  # where its page is, relative to the index or absolute
    outcome: str
    started_at: str  # UTC, ISO 8601
    accuracy: float | None = None  # of its model on its eval examples, 0..1
    before: float | None = None  # of the model in production, on the same examples
    weakest: str | None = None  # the class with the lowest accuracy, and that
    examples: int | None = field(name="photos", default=None)  # in its window
    quarantined: int | None = None  # of the newest span
    version: int | None = None  # pushed by it
    seconds: float | None = None  # wall time
    reason: str = ""  # why it ended as it did, where that was no push

    @property
    def name(self) -> str:
        """Its id, and its day where the id does not say it."""
        stamp = self.started_at[:10].replace("-", "")
        known = stamp and self.run.startswith(stamp)
        return self.run if known else f"{words.day(self.started_at)} {self.run}"

    @property
    def badge(self) -> str:
        """Its outcome in words."""
        return BADGES[self.outcome][0]

    @property
    def tone(self) -> str:
        """The colour of its outcome."""
        return BADGES[self.outcome][1]


def make_row(facts: Facts, link: str | None) -> Row:
    """The row of a run."""
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
    )
