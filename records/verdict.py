"""What a gate says: pass, fail, or no baseline to compare with; each with its reasons."""

from dataclasses import dataclass
from typing import Literal

from records.json_file import JsonFile


@dataclass(frozen=True)
class Verdict:
    """A gate's verdict; reasons and warnings are a sentence each.

    `no_baseline` passes: every bound held that needs no production model to compare with. Spans, features and
    slices (`kind name`) are those that a failure comes from.
    """

    gate: Literal["data", "evaluation", "edge"]
    result: Literal["pass", "fail", "no_baseline"]
    reasons: tuple[str, ...] = ()  # why it failed, or what the pass rests on
    warnings: tuple[str, ...] = ()  # what a person should look at although it does not block
    spans: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the gate lets the run go on."""
        return self.result != "fail"


VERDICT = JsonFile[Verdict]("verdict.json", Verdict)
