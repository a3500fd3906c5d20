"""The rules that a workload's file has for its rows, and the record of those that a span broke."""

from dataclasses import dataclass
from typing import Literal

from edgeline.records.json_file import JsonFile


@dataclass(frozen=True)
class Rule:
    """A rule for the cells of a span in one of the forms of `data/spans/rules.py`."""

    rule: str  # such as `start <= end`
    # Whether rows that break it are not trained on, or the gate warns of the span, or refuses it.
    severity: Literal["quarantine", "warn", "block"]


@dataclass(frozen=True)
class BrokenRule:
    """A rule that a span broke."""

    span: str
    rule: str
    severity: Literal["warn", "block"]
    rows: int  # of the span that were checked
    broken: int = 0  # rows that broke it; 0 for a rule about the number of rows
    examples: tuple[str, ...] = ()  # the first of them, with their cells


BROKEN_RULES = JsonFile[tuple[BrokenRule, ...]]("broken-rules.json", tuple[BrokenRule, ...])
