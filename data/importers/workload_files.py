"""The workload beside what was imported, `workload.yaml` and `schema.pbtxt`: a run needs no other file."""

import json
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from data.importers.curated_schema import photo_schema, read_label_domain, with_labels
from data.spans.layout import MOST_TEXT_BYTES, write_whole
from errors import UsageError
from locations import read_bytes

WORKLOAD, SCHEMA = "workload.yaml", "schema.pbtxt"

_TEMPLATE = """\
# The {noun}s beside this file as a workload:
#   python runners/local_runner.py --workload FOLDER/workload.yaml --data FOLDER
name: {name}
schema: {schema}
kind: {kind}{own}
# What pipeline/settings.py lists may stand here, and counts for more than what the kind brings.
settings:
  data:
    window: 8
  evaluation:
    # What is good enough depends on the {noun}s: add `lower` bounds once you know. Until then a model has to
    # beat always saying the most frequent label, and must not fall behind the one in production.
    beat_majority: true
    bounds:
      - {{slice: overall, metric: accuracy, max_drop: 0.02, min_support: 50}}
      - {{slice: class, metric: recall, max_drop: 0.1, min_support: 50}}
"""
_KINDS = {"photo": "photos", "row": "table", "text": "text"}


def read_schema(data_dir: Path) -> str | None:
    """The schema beside what was imported, None where there is none.

    Raises:
        UsageError: It has no domain of labels to add to, or cannot be read.
    """
    try:
        text = read_bytes(data_dir / SCHEMA, MOST_TEXT_BYTES).decode()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{data_dir / SCHEMA} cannot be read ({error}).", "Labels are added to it.", "Correct it."
        ) from None
    read_label_domain(text)
    return text


def write_workload(
    data_dir: Path, labels: Sequence[str], in_spans: Sequence[str] = ()
) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Writes both files where they are absent, and adds labels that an existing schema lacks at its end.

    A new schema also gets the labels that the spans had before; an existing one decided already which of them
    count. Raises as `read_schema` does.

    Returns:
        The files that were written or changed, and the labels that were added to an existing schema.
    """
    new = photo_schema(tuple(dict.fromkeys([*in_spans, *labels])))
    changed, added = _write_schema(data_dir, new, labels)
    written = [data_dir / SCHEMA] if changed else []
    if _add_workload(data_dir, "photo"):
        written.append(data_dir / WORKLOAD)
    return tuple(written), added


def add_files(data_dir: Path, schema: str, noun: str, **columns: str) -> tuple[str, ...]:
    """Writes both files where they are absent; `columns` is what else the workload of a row or text says.

    Returns:
        Labels of `schema` that an existing one lacked, and that were added at its end.
    """
    _, added = _write_schema(data_dir, schema, read_label_domain(schema))
    _add_workload(data_dir, noun, **columns)
    return added


def _write_schema(data_dir: Path, new: str, labels: Sequence[str]) -> tuple[bool, tuple[str, ...]]:
    """Writes a new schema, or adds those of `labels` that the one there lacks.

    Returns:
        Whether anything was written, and the labels that were added to a schema that was there.
    """
    there, added = read_schema(data_dir), tuple[str, ...]()
    if there is not None:
        known = read_label_domain(there)
        added = tuple(label for label in labels if label not in known)
        new = with_labels(there, added)
    if changed := there is None or bool(added):
        write_whole(data_dir / SCHEMA, new.encode())
    return changed, added


def _add_workload(data_dir: Path, noun: str, **columns: str) -> bool:
    workload = data_dir / WORKLOAD
    if workload.exists():
        return False
    # JSON quotes are YAML's, so that a folder named `no` or `2026` stays a text.
    own = "".join(f"\n{key}: {json.dumps(column)}" for key, column in columns.items())
    name = json.dumps(_slug(data_dir.resolve().name))
    text = _TEMPLATE.format(noun=noun, name=name, schema=SCHEMA, kind=_KINDS[noun], own=own)
    write_whole(workload, text.encode())
    return True


def _slug(name: str) -> str:
    """A model's name: 1 to 64 of a-z, 0-9, _ and -."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9_]+", "-", plain).strip("-_")[:64] or "photos"
