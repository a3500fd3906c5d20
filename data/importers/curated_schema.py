"""The curated schema of imported data as text: the features that ingest writes, and their bounds on drift.

The schema is a text proto of `tensorflow_metadata.v0.Schema`, which people review and edit. Labels are added
to it in place, and the rest of the text is not touched.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from edgeline.errors import UsageError
from edgeline.labels import check_labels
from edgeline.records.ingest import format_since
from edgeline.records.verdict import Difference

_HEADER = """\
# The curated schema{made}.
# It says what a window of {what} must look like before a model is trained on it. People review it; the DAG
# reads it and never writes it. A label's id is its place in the domain `label`: add new labels at the end."""
_ONE_VALUE = "value_count { min: 1 max: 1 }"
_NUMBERS = "shape {{ dim {{ size: {count} }} }}"
_ALWAYS = "presence { min_fraction: 1 min_count: 1 }"

# Nobody knows yet how much the weeks of imported data vary: only data of another kind exceeds these bounds.
_LABEL_DRIFT = "drift_comparator { infinity_norm { threshold: 0.3 } }"
_SHARE_DRIFT = "drift_comparator { infinity_norm { threshold: 0.5 } }"
_DRIFT = "drift_comparator { jensen_shannon_divergence { threshold: 0.5 } }"
# Braces count only outside of strings and comments.
_TOKENS = re.compile(r"""\#.* | "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' | [{}]""", re.VERBOSE)


def build_photo_schema(labels: Sequence[str]) -> str:
    """Builds the schema of photos with these labels; their order is that of the model's outputs."""
    return _build_schema(
        "labelled photos",
        labels,
        "# JPEG bytes. Pixels are left out of the statistics, so its presence is not required.",
        _format_block("feature", ['name: "photo"', "type: BYTES", _ONE_VALUE]),
        _format_feature("lane_id", "BYTES", _SHARE_DRIFT),
        *(_format_feature(name, "BYTES") for name in ("session_id", "captured_at", "photo_id")),
        "# The size of the photo as it came, in pixels and bytes.",
        *(_format_feature(name, "INT", "int_domain { min: 1 }") for name in ("width", "height", "byte_size")),
        "# Mean luma, and the variance of its Laplacian: a dark or a blurred lens shows here.",
        _format_feature("brightness", "FLOAT", "float_domain { min: 0 max: 255 }", _DRIFT),
        _format_feature("sharpness", "FLOAT", "float_domain { min: 0 }", _DRIFT),
    )


def build_table_schema(
    labels: Sequence[str],
    numbers: Sequence[str],
    categories: Sequence[str],
    group: str = "",
    time: str = "",
    passing: Collection[str] = (),
    readings: int = 1,
) -> str:
    """Builds the schema of a table with these labels, in their order, and these columns; people add bounds.

    Args:
        labels: In the order of the model's classes.
        numbers: Names of columns.
        categories: Names of columns.
        group: The name of a column; empty for none.
        time: The name of a column; empty for none.
        passing: Numbers that change with every week, like months, and so have no bound on drift.
        readings: Rows of an example, which is a window of them if they are several.
    """
    own = ("block", "window_id") if readings > 1 else ("group", "example_id")
    shares = ("missing_share", "stuck_share") if readings > 1 else ("missing_share",)
    return _build_schema(
        "rows" if readings == 1 else "windows of readings",
        labels,
        *(_format_feature(name, "BYTES") for name in dict.fromkeys((*own, group, time)) if name),
        *(_format_feature(name, "FLOAT", "float_domain { min: 0 max: 1 }", _DRIFT) for name in shares),
        *_format_columns(numbers, categories, passing, readings),
    )


def add_features(
    text: str,
    numbers: Sequence[str],
    categories: Sequence[str],
    passing: Collection[str],
    readings: int,
    since: str,
) -> str:
    """Adds columns at the end of a schema.

    Args:
        text: The schema; it has none of the columns.
        numbers: Names of columns; a feature has a value for each of the readings.
        categories: Names of columns; a feature has one value.
        passing: As in `build_table_schema`.
        readings: Rows of an example, 1 or the length of a window.
        since: The name of the first span that has the columns.
    """
    blocks = _format_columns(numbers, categories, passing, readings, format_since(since))
    return "\n".join([text.rstrip(), *blocks]) + "\n"


def _format_columns(
    numbers: Sequence[str], categories: Sequence[str], passing: Collection[str], readings: int, *more: str
) -> Iterator[str]:
    for name in numbers:
        drift = [] if name in passing else [_DRIFT]
        size = _NUMBERS.format(count=readings)
        yield _format_block("feature", [f"name: {_quote(name)}", "type: FLOAT", size, _ALWAYS, *drift, *more])
    for name in categories:
        yield _format_feature(name, "BYTES", _SHARE_DRIFT, *more)


def build_text_schema(labels: Sequence[str]) -> str:
    """Builds the schema of texts with these labels."""
    return _build_schema(
        "labelled texts",
        labels,
        "# The statistics leave it out, since nearly every text is unique; they have `words` instead.",
        _format_block("feature", ['name: "text"', "type: BYTES", _ONE_VALUE]),
        _format_feature("source", "BYTES", _SHARE_DRIFT),
        *(_format_feature(name, "BYTES") for name in ("group", "example_id", "length_band")),
        "# The number of words between blanks, and the first that the network sees; some texts have none.",
        _format_feature("length", "INT", "int_domain { min: 1 }", _DRIFT),
        _format_block("feature", ['name: "words"', "type: BYTES", "value_count { min: 0 }", _DRIFT]),
    )


def read_extra_columns(text: str, other: str) -> dict[str, str]:
    """Returns the kind, `number` or `category`, of each feature of a schema that `other` lacks.

    Raises UsageError if it cannot be parsed, or lacks a feature that `other` has.
    """
    from tensorflow_metadata.proto.v0.schema_pb2 import BYTES

    kinds = {feature.name: feature.type for feature in _parse(text).feature}
    names = {feature.name for feature in _parse(other).feature}
    if lacks := sorted(names - kinds.keys()):
        raise UsageError(
            f"The schema has no feature {', '.join(lacks)}.",
            "The data in this folder is of another kind, or has other columns of group and time.",
            "Import with the options of the first import, or into a folder of its own.",
        )
    extra = {name: kind for name, kind in kinds.items() if name not in names}
    return {name: "category" if kind == BYTES else "number" for name, kind in extra.items()}


def _parse(text: str) -> Any:
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    try:
        return text_format.Parse(text, schema_pb2.Schema())
    except text_format.ParseError as error:
        why = "The import reads the known labels and columns from it."
        raise UsageError(
            f"The schema cannot be parsed: {str(error).rstrip('.')}.", why, "Correct it."
        ) from None


def read_label_domain(text: str) -> tuple[str, ...]:
    """Reads the labels of a schema, in their order.

    Raises UsageError if it cannot be parsed, has no domain `label` that `add_labels` can edit, or a value
    that is not a label.
    """
    domains = {domain.name: tuple(domain.value) for domain in _parse(text).string_domain}
    if "label" not in domains:
        raise UsageError(
            'The schema has no string_domain with the name "label".',
            "Labels are numbered by their order there.",
            'Add string_domain { name: "label" value: "first" value: "second" } to it.',
        )
    _find_block(text, "string_domain", "label")
    check_labels(domains["label"], "The schema")
    return domains["label"]


def add_labels(text: str, labels: Sequence[str]) -> str:
    """Adds new labels at the end of a schema's domain, so that no label's id changes."""
    return _add_values(text, "label", labels)


def widen_schema(text: str, difference: Difference, comment: str) -> str:
    """Returns the schema widened by what a window had of one feature, under a comment; the rest is unchanged.

    Args:
        text: The schema, in the text format.
        difference: A feature that is missing there, or bounds or values beyond those there.
        comment: Who widened it and why: one line, without the `#`.

    Raises:
        UsageError: The feature, its domain or its bounds are not written in the form that this reads.
    """
    if difference.kind == "feature":
        block = _format_block(
            "feature", [f'name: "{difference.feature}"', f"type: {difference.type}", _ONE_VALUE]
        )
        return f"{text.rstrip()}\n# {comment}\n{block}\n"
    start, end = _find_block(text, "feature", difference.feature)
    if difference.kind == "range":
        assert difference.bounds is not None
        match = re.search(r"(int|float)_domain\s*\{([^}]*)\}", text[start:end])
        if match is None:
            raise _make_missing_error(f"bounds of {difference.feature}")
        # The text format reads no exponent in a whole number.
        number: Callable[[Any], float] = int if match[1] == "int" else float
        form = "d" if number is int else ".9g"
        low, high = map(number, difference.bounds)
        bounds = re.sub(r"min:\s*([^\s,;]+)", lambda old: f"min: {min(number(old[1]), low):{form}}", match[2])
        bounds = re.sub(r"max:\s*([^\s,;]+)", lambda old: f"max: {max(number(old[1]), high):{form}}", bounds)
        new = f"{match[1]}_domain {{{bounds}}}"
        place = start + match.start()
        return f"{text[:start]}# {comment}\n{text[start:place]}{new}{text[start + match.end() :]}"
    domain = re.search(r'\bdomain:\s*"([^"]+)"', text[start:end])
    if domain is None:
        raise _make_missing_error(f"domain of {difference.feature}")
    return _add_values(text, domain[1], difference.values, f"\n  # {comment}")


def _add_values(text: str, domain: str, values: Sequence[str], before: str = "") -> str:
    end = _find_block(text, "string_domain", domain)[1] - 1
    added = "".join(f"\n  value: {_quote(value)}" for value in values)
    return f"{text[:end].rstrip()}{before}{added}\n{text[end:]}"


def _find_block(text: str, kind: str, name: str) -> tuple[int, int]:
    """Returns the start and end of the block of that name."""
    # Comments and values come first, so that text that looks like a block is skipped in them.
    starts = re.compile(rf"{_TOKENS.pattern} | (?P<start>\b{kind}\s*:?\s*\{{)", re.VERBOSE)
    for match in (start for start in starts.finditer(text) if start["start"]):
        tokens = _TOKENS.finditer(text, match.end())
        depth = 1
        end = len(text)
        while depth and (token := next(tokens, None)):
            depth += {"{": 1, "}": -1}.get(token[0], 0)
            end = token.end()
        if re.search(rf"""\bname:\s*["']{re.escape(name)}["']""", text[match.end() : end]):
            return match.start(), end
    raise _make_missing_error(f"{kind} {name}")


def _make_missing_error(what: str) -> UsageError:
    return UsageError(
        f"The schema has no {what} that can be widened.",
        "Its text is not in the form that is edited here.",
        "Edit it by hand.",
    )


def _format_feature(name: str, kind: str, *more: str) -> str:
    return _format_block("feature", [f"name: {_quote(name)}", f"type: {kind}", _ONE_VALUE, _ALWAYS, *more])


def _build_schema(what: str, labels: Sequence[str], *own: str) -> str:
    """Builds a schema of the common features, which are the label and the span, and of its own features."""
    parts = [
        _HEADER.format(
            what=what, made="" if what == "labelled photos" else ", made from table.yaml by the import"
        ),
        _format_block("string_domain", ['name: "label"', *(f"value: {_quote(label)}" for label in labels)]),
        _format_feature("label", "BYTES", 'domain: "label"', _LABEL_DRIFT),
        _format_feature("span", "INT", "int_domain { min: 1 }"),
        _format_feature("newest_span", "INT", "int_domain { min: 0 max: 1 }"),
        *own,
    ]
    return "\n".join(parts) + "\n"


def _format_block(name: str, lines: Sequence[str]) -> str:
    return "\n".join([f"{name} {{", *(f"  {line}" for line in lines), "}"])


def _quote(value: str) -> str:
    """Returns a string literal of the text format, in which UTF-8 needs no escape."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
