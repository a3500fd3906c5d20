"""How far each feature of the newest span is from the spans before it."""

from dataclasses import dataclass

from records.json_file import JsonFile


@dataclass(frozen=True)
class Drift:
    """The distance of one feature.

    Attributes:
        feature: Its name.
        measure: The distance that the schema asks for: `l_infty` or `jensen_shannon_divergence`.
        distance: 0..1.
        threshold: The most that the schema allows.
        before: Mean and deviation, or the shares of the commonest values, in the spans before.
        now: The same in the newest span.
        gone: Values that were common enough before to be expected in the newest span, and are not there.
    """

    feature: str
    measure: str
    distance: float
    threshold: float
    before: str = ""
    now: str = ""
    gone: tuple[str, ...] = ()


DRIFT = JsonFile[tuple[Drift, ...]]("drift.json", tuple[Drift, ...])
