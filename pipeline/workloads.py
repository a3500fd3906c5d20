"""The workloads: built in, or described by a YAML file."""

import os
import re
import reprlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from data.spans import rules
from edgeline.errors import UsageError, suggest
from edgeline.labels import check_labels
from edgeline.records.columns import Column
from edgeline.records.ingest import read_since
from edgeline.records.json_file import convert
from edgeline.records.workload import Workload
from edgeline.settings_tree import Tree

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2

ROOT = Path(__file__).resolve().parent.parent
# Each is described by a file in `schema/`, beside its schema.
BUILT_IN = ("shelf", "sensor", "text")
# A learning rate that `pipeline.settings.load_settings` chooses by the weights that training begins with.
BY_WEIGHTS = "by weights"
_REQUIRED = ("name", "schema")
# Fields that are read from the schema.
_DERIVED = ("labels", "numbers", "categories", "since")
_OF_COLUMN = tuple(field.name for field in fields(Column))
# An import writes a line for each column.
_MOST_BYTES = 2**18
_WRITTEN = ("kind", *(f.name for f in fields(Workload) if f.name not in _DERIVED))
# Features that no model reads: those of every example, and those that the source of tables adds.
_BOOKKEEPING = ("label", "span", "newest_span", "missing_share", "stuck_share")


@cache
def read_kinds() -> Mapping[str, Mapping[str, Any]]:
    """Reads the defaults of a workload by its kind."""
    from edgeline.settings_layers import read_yaml

    kinds: Any = read_yaml(Path(__file__).with_name("kinds.yaml"))
    if find_spec("all_minilm_l6_v2"):  # vectors of English words, which `make words` installs
        kinds["text"]["settings"]["model"]["weights"] = "minilm"
    return dict(kinds)


def find_workload(name: str) -> Workload:
    """Returns the built-in workload of that name, or the one that a YAML file describes.

    The file has `name`, `schema` (a path relative to the file), `kind` (`photos` by default), and the other
    fields of `Workload` that differ from those of the kind; settings are merged one by one.

    Raises:
        UsageError: There is no such workload, or its file is wrong.
    """
    if name in BUILT_IN:
        return _read_workload(ROOT / "schema" / f"{name}.yaml")
    path = Path(os.path.expanduser(name))
    if path.suffix in (".yaml", ".yml") or os.path.isfile(path):
        return _read_workload(path)
    raise UsageError(
        f"There is no workload {name!r}.",
        f"The built-in ones are: {', '.join(sorted(BUILT_IN))}.",
        suggest(name, BUILT_IN) or "Pass one of them, or a workload.yaml of your own.",
    )


def _read_workload(path: Path) -> Workload:
    import yaml

    from edgeline.settings_layers import read_yaml

    try:
        content = read_yaml(path, _MOST_BYTES)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}).",
            "A workload file has a name, a schema and a kind.",
            "`edgeline data import SRC --data DIR` writes DIR/workload.yaml.",
        ) from None
    except yaml.YAMLError as error:
        raise UsageError(
            f"{path} cannot be read as YAML.", " ".join(str(error).split()), "Correct the file."
        ) from None
    entries = dict(content) if isinstance(content, Mapping) else {}
    mistakes = list(_list_mistakes(entries))
    own_settings, kind = entries.get("settings", {}), read_kinds().get(str(entries.pop("kind", "photos")), {})
    entries, types = {**kind, **entries}, get_type_hints(Workload)
    for key in [key for key in entries if key in _WRITTEN]:
        try:
            entries[key] = convert(entries[key], types[key])
        except ValueError as error:
            mistakes.append(f"{key}: {reprlib.repr(entries[key])}: {error}")
    if mistakes:
        raise UsageError(
            f"{path}: {'; '.join(mistakes)}.",
            "A workload file has a name, a schema and a kind.",
            "Correct the file.",
        )
    settings = Tree()
    settings.merge(kind.get("settings", {}), "the kind")
    settings.merge(own_settings, "the workload")
    schema = os.path.realpath(path.parent / entries["schema"])
    return Workload(**{**entries, "schema": schema, "settings": settings.values})


def _list_mistakes(entries: Mapping[str, Any]) -> Iterator[str]:
    """Yields what is wrong with the entries of a workload file, beside the types of their values."""
    yield from (f"{key}: missing, but required" for key in _REQUIRED if key not in entries)
    yield from (f"{key}: not one of {', '.join(_WRITTEN)}" for key in entries if key not in _WRITTEN)
    for feature, column in _get_mapping(entries, "columns").items():
        unknown = [key for key in column if key not in _OF_COLUMN] if isinstance(column, Mapping) else []
        yield from (f"columns.{feature}.{key}: not one of {', '.join(_OF_COLUMN)}" for key in unknown)

    kind = entries.get("kind", "photos")
    kinds = read_kinds()
    if not isinstance(kind, str) or kind not in kinds:
        yield f"kind: {kind!r} is not one of {', '.join(kinds)}"
    else:
        lacking = [key for key in ("module", "source") if key not in {**kinds[kind], **entries}]
        yield from (f"{key}: missing, but required for kind {kind}" for key in lacking)
        source = entries.get("source", kinds[kind].get("source"))
        yield from rules.find_mistakes(entries.get("rules", []), source)

    name = entries.get("name")
    if isinstance(name, str) and not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", name):
        yield f"name: {name!r} is not 1 to 64 of a-z, 0-9, _ and -, starting with a letter or digit"
    for name in ("overall", "class", "span"):
        if name in _get_mapping(entries, "slices"):
            yield f"slices.{name}: every workload has slices of that name"


def _get_mapping(entries: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Returns the value of a key if it is a mapping, else an empty one."""
    value = entries.get(key)
    return value if isinstance(value, Mapping) else {}


def with_features(workload: Workload) -> Workload:
    """Returns the workload with the labels of its schema, and the features that a table's model reads.

    Raises:
        UsageError: The schema cannot be read, its feature `label` has fewer than two values, one of them
            cannot be a label, the drift of a number has a limit that is never reached, or the schema lacks
            the normal label or the feature of a slice.
    """
    schema = read_schema(workload)
    _check_drift_limits(workload, schema)
    labels = _read_labels(workload, schema)
    _check_names(workload, labels, {feature.name for feature in schema.feature})
    unread = {*_BOOKKEEPING, workload.id, workload.group, workload.time_column}
    # A model reads a group that the schema lists, as machines, but not one whose values grow, as authors.
    unread |= {f.name for f in schema.feature if f.name == workload.group_column and not f.domain}
    features = [feature for feature in schema.feature if feature.name not in unread]
    text_type = type(schema).DESCRIPTOR.file.enum_types_by_name["FeatureType"].values_by_name["BYTES"].number
    numbers = tuple(feature.name for feature in features if feature.type != text_type)
    categories = tuple(feature.name for feature in features if feature.type == text_type)
    return replace(
        workload,
        labels=labels,
        numbers=numbers,
        categories=categories,
        since=read_since(schema),
        reads=workload.reads or (*numbers, *categories),
    )


def read_schema(workload: Workload) -> "schema_pb2.Schema":
    """Reads the workload's curated schema.

    Raises:
        UsageError: The file cannot be read, or is not a schema.
    """
    # These imports take 80 ms, and import no TensorFlow.
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    try:
        return text_format.Parse(Path(workload.schema).read_text(encoding="utf-8"), schema_pb2.Schema())
    except OSError as error:
        raise UsageError(
            f"The schema {workload.schema} cannot be read ({error.strerror}).",
            f"The workload {workload.name} takes its labels from it.",
            "Fix the path in the workload's file.",
        ) from None
    except (text_format.ParseError, UnicodeDecodeError) as error:
        found = f"{workload.schema} is not a text proto of a schema."
        raise UsageError(found, str(error), "Correct the file.") from None


def _check_drift_limits(workload: Workload, schema: "schema_pb2.Schema") -> None:
    """Refuses an `infinity_norm` of numbers, categorical ones too: TFDV always measures 0."""
    types = type(schema).DESCRIPTOR.file.enum_types_by_name["FeatureType"].values_by_name
    unlimited = [
        feature.name
        for feature in schema.feature
        if feature.type in (types["INT"].number, types["FLOAT"].number)
        and feature.drift_comparator.HasField("infinity_norm")
    ]
    if unlimited:
        raise UsageError(
            f"The schema {workload.schema} has a drift_comparator with infinity_norm for"
            f" {', '.join(unlimited)}.",
            "That distance is between shares of texts: numbers would never be beyond it.",
            "Set jensen_shannon_divergence there, or make the feature BYTES.",
        )


def _check_names(workload: Workload, labels: Collection[str], features: Collection[str]) -> None:
    """Refuses a `normal` that is not a label, and slices by a feature that no example has."""
    if workload.normal and workload.normal not in labels:
        raise UsageError(
            f"The workload {workload.name} has the normal label {workload.normal!r}, which is not in the"
            f" schema {workload.schema}.",
            "Alarms are measured against the examples with that label.",
            f"Correct `normal` in the workload's file: the labels are {', '.join(labels)}.",
        )
    # These come with every example, whatever the schema says.
    own = {name for kind in read_kinds().values() for name in kind.get("slices", {}).values()}
    if unknown := sorted({*workload.slices.values()} - {*features} - own):
        raise UsageError(
            f"The workload {workload.name} has slices by {', '.join(map(repr, unknown))}, which the schema"
            f" {workload.schema} does not have.",
            "No example would be in such a slice, so a bound on it would judge nothing.",
            "Correct `slices` in the workload's file, or the schema.",
        )


def _read_labels(workload: Workload, schema: "schema_pb2.Schema") -> tuple[str, ...]:
    """Returns the labels in the order of the schema's domain, which is the order of the model's outputs."""
    domains = {domain.name: domain for domain in schema.string_domain}
    for feature in schema.feature:
        if feature.name == "label":
            domain = domains.get(feature.domain) if feature.domain else feature.string_domain
            labels = tuple(domain.value) if domain is not None else ()
            check_labels(labels, f"The schema {workload.schema}")
            if len(labels) > 1:
                return labels
    raise UsageError(
        f"The schema {workload.schema} has fewer than two values for the feature label.",
        "A classifier chooses between at least two labels.",
        "Give the feature a string_domain with the labels, in the order of the model's outputs.",
    )
