"""What a command prints on the standard output: lines for people, or one JSON document."""

import sys
from typing import Any


def say(text: str = "") -> None:
    """One line."""
    sys.stdout.write(text + "\n")


def print_json(document: Any) -> None:
    """A machine-readable result."""
    import json

    json.dump(document, sys.stdout, indent=1)
    say()
