"""The verdict of a gate: pass, fail, or no baseline to compare with; each with its reasons."""

from dataclasses import dataclass
from typing import Literal

from edgeline.records.json_file import JsonFile


@dataclass(frozen=True)
class Verdict:
    """A gate's verdict; reasons and warnings are a sentence each.

    `no_baseline` passes: every bound that needs no production model to compare with was met. Spans, features
    and slices (`kind name`) are those that caused a failure.
    """

    gate: Literal["data", "evaluation", "edge"]
    result: Literal["pass", "fail", "no_baseline"]
    reasons: tuple[str, ...] = ()  # reasons of a failure, or the grounds of a pass
    warnings: tuple[str, ...] = ()  # for a person to look at; they block nothing
    spans: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """True if the gate lets the run go on."""
        return self.result != "fail"


VERDICT = JsonFile[Verdict]("verdict.json", Verdict)
