"""How far each feature of the newest span is from the spans before it."""

from dataclasses import dataclass

from records.json_file import JsonFile


@dataclass(frozen=True)
class Drift:
    """The distance of one feature, 0..1, and the most that the schema allows."""

    feature: str
    measure: str  # that the schema asks for: `l_infty` or `jensen_shannon_divergence`
    distance: float
    threshold: float
    before: str = ""  # mean and deviation, or the shares of the commonest values, in the spans before
    now: str = ""  # the same in the newest span
    gone: tuple[str, ...] = ()  # values common enough before to be expected in the newest span, and not there


DRIFT = JsonFile[tuple[Drift, ...]]("drift.json", tuple[Drift, ...])
