"""The record of a drill, `drill.json`: for each week what happened to it, and what was found afterwards."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgeline.intervals import compute_wilson_interval
from edgeline.records.ingest import name_span
from edgeline.records.json_file import JsonFile

KEPT = 4  # runs and releases that gc keeps each week
# The arms of the comparison: who decides which model phones run.
ARMS = ("edgeline", "never retrained", "without gates")


@dataclass(frozen=True)
class Attempt:
    """One start of `edgeline run`."""

    exit_code: int  # negative for the number of the signal that ended it
    outcome: str  # of the record of its run; empty if it left none
    sentences: tuple[str, ...]  # its reasons and warnings, and the last lines that it printed
    seconds: float
    spans: tuple[str, ...] = ()
    trained: str = ""  # the model that it trained, whether or not it was pushed


@dataclass(frozen=True)
class Score:
    """Right answers of a model on one hidden test, by class, beside the number of photos."""

    right: Mapping[str, int]
    photos: Mapping[str, int]


@dataclass(frozen=True)
class Broken:
    """A promise that was broken, with a sentence."""

    promise: str
    sentence: str


@dataclass(frozen=True)
class Week:
    """One week of the drill."""

    number: int
    faults: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()  # of the faults
    causes: tuple[str, ...] = ()  # regular expressions, of the faults
    idle: tuple[str, ...] = ()  # faults that found nothing to strike
    attempts: tuple[Attempt, ...] = ()
    excluded: Mapping[str, str] = field(default_factory=dict)  # spans taken out after a refusal, with reasons
    production: int | None = None  # version in production at its end
    model: str = ""  # the name of that model: the week that trained it
    spans: tuple[str, ...] = ()  # those that the model in production was made from
    ungated: str = ""  # the model that trained without gates, where they refused the data
    candidate: int = 0  # version of the canary that is open at its end; 0 for none
    bad: int = 0  # version that serves badly, as hidden tests show; 0 for none
    ended: str = ""  # how the canary of the week before went on: promote, rollback or waits
    problems: tuple[str, ...] = ()  # found by `edgeline verify`
    ran: tuple[int, ...] = ()  # versions that phones switched to
    phone: tuple[str, ...] = ()  # files that phones ran and that were not a whole release
    arms: Mapping[str, str] = field(default_factory=dict)  # the model of each arm
    scores: Mapping[str, Mapping[int, Score]] = field(default_factory=dict)  # new ones, by model and test
    sizes: Mapping[str, float] = field(default_factory=dict)  # in bytes
    broken: tuple[Broken, ...] = ()
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        """True for a week without a fault, or one that leaves its photos and training as they are."""
        return set(self.effects) <= {"recovers"}

    @property
    def last(self) -> Attempt | None:
        """The last attempt; None if nothing ran."""
        return self.attempts[-1] if self.attempts else None

    @property
    def outcome(self) -> str:
        """The outcomes of its attempts, in their order."""
        return ", ".join(item.outcome or f"exit {item.exit_code}" for item in self.attempts) or "no run"


@dataclass(frozen=True)
class Limits:
    """The bounds that the hidden tests are held against: those of the settings of the runs."""

    overall: float  # smallest accuracy
    by_class: float  # smallest recall of a class
    max_drop: float  # largest loss of accuracy against production
    confidence: float  # of a hold against production


@dataclass(frozen=True)
class Year:
    """A drill so far."""

    seed: int
    photos: int  # a week, and in each hidden test
    limits: Limits
    history: int = 0  # weeks of good photos that were there before the first
    weeks: tuple[Week, ...] = ()

    def span(self, week: int) -> str:
        """Returns the name of a week's span."""
        return name_span(self.history + week)

    def score(self, model: str, tests: Sequence[int]) -> Score:
        """Returns the sum of a model's scores on the hidden tests of these weeks."""
        right, photos = Counter[str](), Counter[str]()
        for week in self.weeks:
            for test, score in week.scores.get(model, {}).items():
                if test in tests:
                    right.update(score.right)
                    photos.update(score.photos)
        return Score(right, photos)

    def accuracy(self, model: str, *tests: int) -> float | None:
        """Returns the accuracy of a model on the hidden tests of these weeks; None where it has no score."""
        score = self.score(model, tests)
        total = sum(score.photos.values())
        return sum(score.right.values()) / total if total else None

    def recent(self, week: int) -> range:
        """Returns the weeks whose hidden tests judge a model in this week: four, against chance."""
        return range(max(1, week - 3), week + 1)

    def find_fault(self, model: str, week: int) -> str:
        """Returns which bound a model breaks on the hidden tests, beyond chance; empty for none."""
        for what, right, photos, least in self._list_bounds(model, week):
            if photos and compute_wilson_interval(right, photos, _WIDTH)[1] < least:
                return f"{what} {right / photos:.3f} of {photos} photos, below {least:g}"
        return ""

    def is_good(self, model: str, production: str, week: int) -> bool:
        """Returns whether a model keeps all bounds on the hidden tests, also that against production.

        Args:
            model: The name of the model; one without a score is not good.
            production: The name of the model in production; one without a score sets no bound.
            week: The last of the weeks, up to four, whose tests count.
        """
        now, before = (self.accuracy(name, *self.recent(week)) for name in (model, production))
        within = all(right >= least * photos for _, right, photos, least in self._list_bounds(model, week))
        return now is not None and within and (before is None or now >= before - self.limits.max_drop)

    def _list_bounds(self, model: str, week: int) -> list[tuple[str, int, int, float]]:
        """Returns each bound: what it is on, right answers, photos, and the least share."""
        score = self.score(model, self.recent(week))
        totals = sum(score.right.values()), sum(score.photos.values())
        return [
            ("accuracy", *totals, self.limits.overall),
            *(
                (f"recall of {label}", score.right[label], photos, self.limits.by_class)
                for label, photos in score.photos.items()
            ),
        ]


# Half the width of an interval of 99.8 %, in standard deviations: a year asks some 200 such questions.
_WIDTH = 3.09
YEAR = JsonFile[Year]("drill.json", Year)
