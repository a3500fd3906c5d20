"""The workload beside imported photos, `workload.yaml` and `schema.pbtxt`: a run needs no other file."""

import json
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from data.importers.curated_schema import LENIENT, read_label_domain, schema_text, with_labels
from data.spans.layout import MOST_TEXT_BYTES, write_whole
from errors import UsageError
from locations import read_bytes

WORKLOAD, SCHEMA = "workload.yaml", "schema.pbtxt"

_TEMPLATE = """\
# The photos beside this file as a workload:
#   python runners/local_runner.py --workload FOLDER/workload.yaml --data FOLDER
name: {name}
schema: {schema}
module: trainer_module.photos
settings:
  model:
    channels: 3
  data:
    window: 8
  evaluation:
    # What is good enough depends on the photos: add `lower` bounds once you know. Until then a model has to
    # beat always saying the most frequent label, and must not fall behind the one in production.
    beat_majority: true
    bounds:
      - {{slice: overall, metric: accuracy, max_drop: 0.02, min_support: 50}}
      - {{slice: class, metric: accuracy, max_drop: 0.1, min_support: 50}}
"""


def read_schema(data_dir: Path) -> str | None:
    """The schema beside imported photos, None where there is none.

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

    Args:
        data_dir: The folder of spans.
        labels: The labels of imported photos, in the order that a schema gets them.
        in_spans: Labels that the spans had before. A new schema gets them too; an existing one decided
            already which of them count.

    Returns:
        The files that were written or changed, and the labels that were added to an existing schema.

    Raises:
        UsageError: See `read_schema`.
    """
    written, added = [], []
    schema, workload = data_dir / SCHEMA, data_dir / WORKLOAD
    if (text := read_schema(data_dir)) is None:
        write_whole(schema, schema_text(tuple(dict.fromkeys([*in_spans, *labels])), LENIENT).encode())
        written.append(schema)
    else:
        known = read_label_domain(text)
        if added := [label for label in labels if label not in known]:
            write_whole(schema, with_labels(text, added).encode())
            written.append(schema)
    if not workload.exists():
        # JSON quotes are YAML's, so that a folder named `no` or `2026` stays a text.
        text = _TEMPLATE.format(name=json.dumps(slug(data_dir.resolve().name)), schema=SCHEMA)
        write_whole(workload, text.encode())
        written.append(workload)
    return tuple(written), tuple(added)


def slug(name: str) -> str:
    """A model's name: 1 to 64 of a-z, 0-9, _ and -."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9_]+", "-", plain).strip("-_")[:64] or "photos"
