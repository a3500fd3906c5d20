"""The rules for labels, and labels.txt: one label a line, in the order of the model's outputs.

Apps on phones differ in what ends a line of that file. So a label contains nothing that any
reader takes for one, and no reader here uses `str.splitlines`, which splits at ten different characters.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from edgeline.errors import EdgelineError, UsageError

# Cells that mean "no label", in lower case, as programs write them. A class may be called `none`, `-` or `?`.
NO_LABEL = frozenset(("", "nan", "na", "n/a", "null", "<na>"))
# Control characters, line and paragraph separators, halves of a character (Unicode's general categories).
_NOT_IN_A_LINE = ("Cc", "Zl", "Zp", "Cs")
# Characters that show nothing, and make two labels look alike or turn what follows round: those that embed or
# isolate a direction, spaces and joiners without width, invisible operators and marks of annotations. Words
# in several scripts and emoji do need U+200C, U+200D and the marks of direction U+200E and U+200F.
_UNSEEN = re.compile("[\u200b\u2060-\u2064\ufeff\u202a-\u202e\u2066-\u206f\ufff9-\ufffb]")
_LONGEST, _SHOWN = 200, 60


def find_fault(label: str) -> str:
    """Returns why a text cannot be a label, as the end of a sentence; empty for a valid label."""
    if not label:
        return "it is empty"
    if control := next((c for c in label if unicodedata.category(c) in _NOT_IN_A_LINE), None):
        return f"it contains the control character U+{ord(control):04X}"
    if unseen := _UNSEEN.search(label):
        return f"it contains U+{ord(unseen[0]):04X}, which nobody sees and no word needs"
    if len(label) > _LONGEST:
        return f"it has {len(label):,} characters, more than {_LONGEST}"
    return "it begins or ends with whitespace" if label != label.strip() else ""


def show_label(label: str) -> str:
    """Formats a label that may be none for a message: escaped, and cut."""
    return ascii(label if len(label) <= _SHOWN else f"{label[:_SHOWN]}...")


def join_names(named: Sequence[str], most: int = 12) -> str:
    """Joins names for a message; a list longer than `most` is cut, and the rest is counted."""
    more = f" and {len(named) - most} more" if len(named) > most else ""
    return ", ".join(named[:most]) + more


def format_count(number: int, noun: str) -> str:
    """Formats a number of things: `1 run`, `2,400 photos`, `2 classes`."""
    ending = "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending if number != 1 else ''}"


def check_labels(labels: Sequence[str], where: str) -> None:
    """Refuses labels that are ambiguous or cannot be read back from labels.txt; `where` is for the error.

    Raises UsageError if a label is empty, occurs twice, has a blank at an end, or contains a control
    character.
    """
    faults = [f"{show_label(label)}: {fault}" for label in labels if (fault := find_fault(label))]
    faults += [f"{show_label(label)}: it occurs {n} times" for label, n in Counter(labels).items() if n > 1]
    if faults:
        raise UsageError(
            f"{where} has labels that cannot be used: {'; '.join(faults)}.",
            "Each output of the model has one label, and phones read them as the lines of a file.",
            "Correct them there, and in the data that uses them.",
        )


def render_labels(labels: Sequence[str]) -> bytes:
    """Returns the content of labels.txt, UTF-8, of labels that `check_labels` accepts."""
    return "".join(f"{label}\n" for label in labels).encode()


def parse_labels(
    raw: bytes, where: str, outputs: int | None = None, schema: Sequence[str] | None = None
) -> tuple[str, ...]:
    r"""Parses the content of labels.txt, split at `\n` alone.

    Args:
        raw: The file as it is; it has to be what `render_labels` writes.
        where: The place of the file, for messages.
        outputs: The number of outputs of the model, which the labels have to match; None to check no model.
        schema: The labels in the order of the schema's domain; None to check no schema.

    Raises:
        EdgelineError: `raw` is no file of labels, or does not fit the model or the schema.
    """
    try:
        labels = tuple(raw.decode().split("\n")[:-1])
        check_labels(labels, where)
    except UnicodeDecodeError as error:
        raise _make_error(where, f"It is not UTF-8 (byte {error.start}).") from error
    except UsageError as error:
        raise _make_error(where, error.found) from error
    if not labels or render_labels(labels) != raw:
        raise _make_error(where, "It contains no labels, or its last line has no line end.")
    if outputs not in (None, len(labels)):
        raise _make_error(where, f"It has {len(labels)} labels, but the model has {outputs} outputs.")
    if schema is not None and labels != tuple(schema):
        raise _make_error(where, f"Its labels are {list(labels)!a}, but the schema has {list(schema)!a}.")
    return labels


def _make_error(where: str, found: str) -> EdgelineError:
    return EdgelineError(
        f"{where} does not fit the model. {found}",
        "A phone would show the wrong labels.",
        "Run the pipeline again; it writes the file from the schema.",
    )
