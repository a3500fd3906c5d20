"""The readers in other languages, run as programs."""

import json
import subprocess
from pathlib import Path
from typing import Any

CLIENTS = Path(__file__).parents[2] / "clients"


def run(*command: object) -> str:
    """Runs a program; returns what it prints."""
    process = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def read_current(case: dict[str, Any]) -> bytes:
    """Returns the bytes of current.json in a case of the table; raises FileNotFoundError if it has none."""
    if case["current"] is None:
        raise FileNotFoundError(case["name"])
    content: bytes = case["current"].encode()
    fill = case.get("fill", {"with": " ", "length": 0})
    return content.ljust(fill["length"], fill["with"].encode())


def compare_outcomes(cases: list[dict[str, Any]], output: str, facts: bool = True) -> None:
    """Compares a line of JSON for each case, as a reader prints it, with what the table expects.

    Facts are compared as texts, as the types of languages differ, or not at all.
    """

    def describe(outcome: dict[str, Any]) -> tuple[Any, ...]:
        (action, what), *_ = outcome.items()
        return action, what, facts and {name: str(fact) for name, fact in outcome.get("facts", {}).items()}

    lines = output.splitlines()
    outcomes = {case["name"]: describe(json.loads(line)) for case, line in zip(cases, lines, strict=True)}
    assert outcomes == {case["name"]: describe(case["expected"]) for case in cases}
