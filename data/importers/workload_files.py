"""The workload files beside imported data, `workload.yaml` and `schema.pbtxt`: a run needs no others."""

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.importers.curated_schema import add_features, add_labels, read_label_domain
from data.importers.table_file import format_yaml
from data.settings import DataSettings
from data.spans.layout import MOST_TEXT_BYTES, replace_file
from edgeline.errors import DataRefused, UsageError
from edgeline.records.columns import DAYS, MONTH, Column
from edgeline.records.json_file import convert
from edgeline.store.locations import read_bytes

WORKLOAD, SCHEMA = "workload.yaml", "schema.pbtxt"

_TEMPLATE = """\
# The {noun}s beside this file as a workload{made}:
#   .venv/bin/edgeline run --data FOLDER
name: {name}
schema: {schema}
kind: {kind}
{own}# Settings here override those of the kind; `.venv/bin/edgeline settings` lists all of them.
settings:
  data:
    window: 8{more}
  evaluation:
    # How good a model has to be depends on the {noun}s: add `lower` bounds once you know. Until then it has
    # to beat always answering the most frequent label, and must not fall behind the one in production.
    beat_majority: true
    bounds:
      - {{slice: overall, metric: accuracy, max_drop: 0.02, min_support: 50}}
      - {{slice: class, metric: recall, max_drop: 0.1, min_support: 50}}
"""
_GATE = """
  gate:
    # Texts that are there more than once count too, though a run keeps one of each.
    max_quarantine_fraction: {quarantined}"""
_WINDOWS = """
    # An example is this many readings of a group, with the label of the newest; the next ends a stride later.
    readings: {data.readings}
    stride: {data.stride}
    # The time of a group is divided into blocks of this many hours: no example crosses the end of one.
    block_hours: {data.block_hours}"""
_LEVELS = """
    # These levels of 16-bit photos become 0 and 255; others are clipped.
    levels: [{}, {}]"""
# Those of `kind: sensor`.
_READINGS = 16
_KINDS = {"photo": "photos", "row": "table", "text": "text", "reading": "sensor"}


def read_schema(data_dir: Path) -> tuple[str, tuple[str, ...]]:
    """Returns the schema beside the imported data and its labels; both are empty if there is none.

    Raises UsageError if it has no domain of labels to add to, or cannot be read.
    """
    try:
        text = read_bytes(data_dir / SCHEMA, MOST_TEXT_BYTES).decode()
    except (FileNotFoundError, NotADirectoryError):
        return "", ()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{data_dir / SCHEMA} cannot be read ({error}).", "An import adds labels to it.", "Correct it."
        ) from None
    return text, read_label_domain(text)


def add_files(
    data_dir: Path,
    schema: str,
    labels: Sequence[str],
    noun: str,
    quarantined: float = 0,
    windows: DataSettings | None = None,
    levels: Sequence[int] = (),
    **columns: str | Mapping[str, Column],
) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Writes both files if they are absent, and adds labels that an existing schema lacks at its end.

    Args:
        data_dir: The folder of spans.
        schema: As text; written if there is none.
        labels: Those of the imported data.
        noun: Of an example.
        quarantined: Share of a span that the gate is to allow, 0..1; 0 for the default.
        windows: How readings become examples.
        levels: The lowest and highest level of 16-bit photos.
        columns: Further settings of a workload of rows.

    Returns the files that were written or changed, and the added labels. Raises as `read_schema` does.
    """
    files = list[Path]()
    workload = data_dir / WORKLOAD
    existing, labels_before = read_schema(data_dir)
    added = tuple(label for label in labels if label not in labels_before) if existing else ()
    if not existing or added:
        schema = add_labels(existing, added) if existing else schema
        replace_file(data_dir / SCHEMA, schema.encode())
        files.append(data_dir / SCHEMA)
    if not workload.exists():
        texts = {key: value for key, value in columns.items() if isinstance(value, str)}
        numbers = {key: _list_own(value) for key, value in columns.items() if not isinstance(value, str)}
        own = (format_yaml(texts) if texts else "") + (format_yaml(numbers, is_flat=True) if numbers else "")
        # JSON strings are valid YAML, in which a folder named `no` or `2026` stays a text.
        name = json.dumps(make_name(data_dir.resolve().name) or "photos")
        more = _WINDOWS.format(data=windows) if windows and windows.readings > 1 else ""
        more += _LEVELS.format(*levels) if levels else ""
        more += _GATE.format(quarantined=quarantined) if quarantined else ""
        made = "" if noun == "photo" else ", made from table.yaml by the import"
        text = _TEMPLATE.format(
            noun=noun, made=made, name=name, schema=SCHEMA, kind=_KINDS[noun], own=own, more=more
        )
        replace_file(workload, text.encode())
        files.append(workload)
    return tuple(files), added


def list_passing(numbers: Mapping[str, Column]) -> list[str]:
    """Returns the numbers that change with every week, so that they have no bound on drift."""
    return [name for name, column in numbers.items() if column.part in (MONTH, DAYS)]


def write_features(
    data_dir: Path, numbers: Mapping[str, Column], categories: Sequence[str], readings: int, since: str
) -> None:
    """Adds features to the schema and to workload.yaml. Raises as `read_schema` does.

    Args:
        data_dir: The folder of spans, with both files.
        numbers: The new numbers, with how they are read.
        categories: The new categories.
        readings: The rows of an example.
        since: The first span that has them.
    """
    schema, _ = read_schema(data_dir)
    schema = add_features(schema, [*numbers], categories, list_passing(numbers), readings, since)
    text = read_bytes(data_dir / WORKLOAD, MOST_TEXT_BYTES).decode()
    if own := _list_own(numbers):
        # An empty mapping is written in braces.
        before, key, after = re.sub(r"(?m)^columns: *\{\} *$", "columns:", text).partition("\ncolumns:")
        if not key:
            before, after = before.rstrip("\n"), "\n"
        lines = format_yaml({"columns": own}, is_flat=True).rstrip()
        replace_file(data_dir / WORKLOAD, f"{before}\n{lines}{after}".encode())
    replace_file(data_dir / SCHEMA, schema.encode())


def check_kind(data_dir: Path, content: str, *kinds: str) -> None:
    """Refuses examples of these kinds beside those of another one; `content` begins the sentence.

    Raises DataRefused, or as `read_workload` does. A kind of one's own may have any examples.
    """
    if not (data_dir / WORKLOAD).exists():
        return
    kind = read_workload(data_dir, kind=str).get("kind", "photos")
    if kind in _KINDS.values() and kind not in kinds:
        raise DataRefused(
            f"{content}, and {data_dir} has data of kind {kind}.",
            "Examples of two kinds in one folder cannot be read together.",
            "Import them into other data, with --data DIR.",
        )


def read_readings(data_dir: Path) -> int:
    """Returns the number of rows of an example of the workload beside the data; 0 if there is no workload.

    Raises as `read_workload` does.
    """
    workload = read_workload(data_dir, kind=str, settings=Any)
    if workload.get("kind") != "sensor":
        return 1 if workload else 0
    match workload.get("settings"):
        case {"data": {"readings": int(readings)}}:
            return readings
    return _READINGS


def read_workload(data_dir: Path, **kinds: Any) -> dict[str, Any]:
    """Returns those of these entries, given by their types, that the workload beside the data has.

    Raises UsageError if the workload cannot be read.
    """
    import yaml

    try:
        content = dict(yaml.safe_load(read_bytes(data_dir / WORKLOAD, MOST_TEXT_BYTES)))
        return {key: convert(content[key], kind) for key, kind in kinds.items() if key in content}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, TypeError, ValueError, yaml.YAMLError) as error:
        raise UsageError(
            f"{data_dir / WORKLOAD} cannot be read ({' '.join(str(error).split())}).",
            "It defines how to read cells.",
            "Correct it.",
        ) from None


def _list_own(numbers: Mapping[str, Column]) -> dict[str, dict[str, Any]]:
    """Returns the columns without the defaults of `Column`; plain numbers are left out."""
    columns = dict[str, dict[str, Any]]()
    for feature, column in numbers.items():
        own = {key: part for key, part in vars(column).items() if part != getattr(Column, key, None)}
        if own != {"name": feature}:
            columns[feature] = own
    return columns


def make_name(name: str) -> str:
    """Makes a model's name, at most 64 of a-z, 0-9, _ and -; empty if the name has none of them."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9_]+", "-", plain).strip("-_")[:64]
