"""What a gate says: pass, fail, or no baseline to compare with; each with its reasons."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

FILE_NAME = "verdict.json"

Result = Literal["pass", "fail", "no_baseline"]


@dataclass(frozen=True)
class VerdictRecord:
    """A gate's verdict.

    Attributes:
        gate: `data`, `evaluation` or `edge`.
        result: `no_baseline` passes: every bound held that needs no production model to compare with.
        reasons: One sentence each: why it failed, or what the pass rests on.
        warnings: One sentence each: what a person should look at although it does not block.
        look_closer: The command that shows more.
    """

    gate: Literal["data", "evaluation", "edge"]
    result: Result
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    look_closer: str = "edgeline show latest"

    @property
    def passed(self) -> bool:
        """Whether the gate lets the run go on."""
        return self.result != "fail"


def write_verdict(folder: str, verdict: VerdictRecord) -> None:
    """Writes `verdict.json` into an artifact's folder."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    Path(folder, FILE_NAME).write_text(json.dumps(asdict(verdict), indent=1), encoding="utf-8")


def read_verdict(folder: str) -> VerdictRecord:
    """Reads `verdict.json` from an artifact's folder."""
    fields = json.loads(Path(folder, FILE_NAME).read_text(encoding="utf-8"))
    return VerdictRecord(
        **{**fields, "reasons": tuple(fields["reasons"]), "warnings": tuple(fields["warnings"])}
    )
