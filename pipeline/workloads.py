"""What a workload is: a name, a curated schema, the module that TFX loads, and the settings that it wants."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from errors import UsageError
from labels import check_labels

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2

ROOT = Path(__file__).resolve().parent.parent
_REQUIRED = ("name", "schema", "module")


@dataclass(frozen=True)
class Workload:
    """One thing that the DAG can learn.

    Attributes:
        name: The model's name in the release store.
        schema: The curated schema, a text proto of `tensorflow.metadata.v0.Schema`.
        module: Dotted path of the module with `preprocessing_fn` and `run_fn`.
        settings: What differs from the defaults, nested by group.
    """

    name: str
    schema: Path
    module: str
    settings: Mapping[str, object] = field(default_factory=dict)


BUILT_IN = {
    "shelf": Workload(
        name="shelf",
        schema=ROOT / "schema" / "shelf.pbtxt",
        module="trainer_module.photos",
        settings={
            # Damaged goods are a tenth of the photos, and the ones an auditor is sent for.
            "trainer": {"class_weights": {"damaged": 2.0}},
            "evaluation": {
                "bounds": [
                    {"slice": "overall", "metric": "accuracy", "lower": 0.85, "max_drop": 0.02},
                    {"slice": "class", "metric": "accuracy", "lower": 0.55, "min_support": 30},
                    {"slice": "lane", "metric": "accuracy", "max_drop": 0.15, "min_support": 40},
                ]
            },
        },
    )
}


def find_workload(name: str) -> Workload:
    """The built-in workload of that name, or the one that a YAML file describes.

    The file holds `name`, `schema` (a path relative to the file), `module`, and optionally `settings`.

    Raises:
        UsageError: There is no such workload, or its file is wrong.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    path = Path(os.path.expanduser(name))
    if path.suffix in (".yaml", ".yml") or os.path.isfile(path):
        return _read_workload(path)
    import difflib

    near = difflib.get_close_matches(name, BUILT_IN, 1)
    raise UsageError(
        f"There is no workload {name!r}.",
        f"The built-in ones are: {', '.join(sorted(BUILT_IN))}.",
        f"Did you mean {near[0]}?" if near else "Name one of them, or a workload.yaml of your own.",
    )


def _read_workload(path: Path) -> Workload:
    import yaml

    from pipeline.settings_layers import read_yaml

    try:
        content = read_yaml(path)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}).",
            "A workload is a name, a schema and a module.",
            "`edgeline data import SRC --data DIR` writes DIR/workload.yaml.",
        ) from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is not YAML.", str(error), "Fix it.") from None
    entries = content if isinstance(content, Mapping) else {}
    mistakes = [
        f"{key}: {entries.get(key)!r} is not a text"
        for key in _REQUIRED
        if not isinstance(entries.get(key), str)
    ]
    mistakes += [
        f"{key}: not one of {', '.join(_REQUIRED)}, settings"
        for key in entries
        if key not in (*_REQUIRED, "settings")
    ]
    name = entries.get("name")
    if isinstance(name, str) and not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", name):
        mistakes.append(
            f"name: {name!r} is not 1 to 64 of a-z, 0-9, _ and -, starting with a letter or digit"
        )
    if not isinstance(entries.get("settings", {}), Mapping):
        mistakes.append(f"settings: {entries['settings']!r} is not a mapping of settings")
    if mistakes:
        raise UsageError(
            f"{path}: {'; '.join(mistakes)}.", "A workload is a name, a schema and a module.", "Fix it."
        )
    schema = Path(os.path.realpath(path.parent / entries["schema"]))
    return Workload(entries["name"], schema, entries["module"], dict(entries.get("settings", {})))


def read_schema(workload: Workload) -> "schema_pb2.Schema":
    """The workload's curated schema.

    Raises:
        UsageError: The file cannot be read, or is no schema.
    """
    # 80 ms, and nothing of TensorFlow is behind it.
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    try:
        return text_format.Parse(workload.schema.read_text(encoding="utf-8"), schema_pb2.Schema())
    except OSError as error:
        raise UsageError(
            f"The schema {workload.schema} cannot be read ({error.strerror}).",
            f"The workload {workload.name} takes its labels from it.",
            "Fix the path in the workload's file.",
        ) from None
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise UsageError(f"{workload.schema} is no text proto of a schema.", str(error), "Fix it.") from None


def read_labels(workload: Workload) -> tuple[str, ...]:
    """The workload's labels, in the order of the schema's domain, which is the order of the model's outputs.

    Raises:
        UsageError: The schema cannot be read, its feature `label` has fewer than two values, or one of them
            cannot be a label.
    """
    schema = read_schema(workload)
    domains = {domain.name: domain for domain in schema.string_domain}
    for feature in schema.feature:
        if feature.name == "label":
            domain = domains.get(feature.domain) if feature.domain else feature.string_domain
            labels = tuple(domain.value) if domain is not None else ()
            check_labels(labels, f"The schema {workload.schema}")
            if len(labels) > 1:
                return labels
    raise UsageError(
        f"{workload.schema} gives the feature label fewer than two values.",
        "A classifier chooses between at least two labels.",
        "Give the feature a string_domain with the labels, in the order of the model's outputs.",
    )
