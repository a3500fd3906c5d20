"""What a gate says: pass, fail, or no baseline to compare with; each with its reasons."""

from dataclasses import dataclass
from typing import Literal

from records.json_file import JsonFile


@dataclass(frozen=True)
class Verdict:
    """A gate's verdict.

    Attributes:
        gate: `data`, `evaluation` or `edge`.
        result: `no_baseline` passes: every bound held that needs no production model to compare with.
        reasons: One sentence each: why it failed, or what the pass rests on.
        warnings: One sentence each: what a person should look at although it does not block.
        spans: Names of the spans that a failure comes from.
        features: Names of the features that it comes from.
        slices: The slices that it comes from, `kind name` each.
    """

    gate: Literal["data", "evaluation", "edge"]
    result: Literal["pass", "fail", "no_baseline"]
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    spans: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the gate lets the run go on."""
        return self.result != "fail"


VERDICT = JsonFile[Verdict]("verdict.json", Verdict)
