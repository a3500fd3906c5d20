"""The curated schema of imported data as text: what ingest writes, and how far a week may drift.

A text proto of `tensorflow_metadata.v0.Schema`, which people review and edit: labels are added to it in
place, and nothing else of it is touched.
"""

import re
from collections.abc import Collection, Iterable, Sequence

from google.protobuf import text_encoding

from errors import UsageError
from labels import check_labels
from records.schema import Difference

_HEADER = """\
# The curated schema: what a window of {what} must look like before a model is trained on it. People
# review it; the DAG reads it and never writes it. A label's id is its place in the domain `label`: add new
# labels at the end."""
_ONE_VALUE = "value_count { min: 1 max: 1 }"
_ONE_NUMBER = "shape { dim { size: 1 } }"
_ALWAYS = "presence { min_fraction: 1 min_count: 1 }"

# Nobody knows yet how even the weeks of imported data are: say something only when they are another kind.
_LABEL_DRIFT = "drift_comparator { infinity_norm { threshold: 0.3 } }"
_SHARE_DRIFT = "drift_comparator { infinity_norm { threshold: 0.5 } }"
_DRIFT = "drift_comparator { jensen_shannon_divergence { threshold: 0.5 } }"
_TEXT = r""" "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' """
_LABEL_DOMAIN = re.compile(
    rf"""string_domain \s* :? \s* {{ \s* name: \s* ["']label["']
         (?P<values> (?: \s* value: \s* (?:{_TEXT}) )* ) \s* }}""",
    re.VERBOSE,
)
_VALUE = re.compile(rf"value: \s* ({_TEXT})", re.VERBOSE)


def photo_schema(labels: Sequence[str]) -> str:
    """The schema of photos with these labels; their order is the order of the model's outputs."""
    return _schema(
        "labelled photos",
        labels,
        "# JPEG bytes. Pixels are left out of the statistics, so its presence is not required.",
        _block("feature", ['name: "photo"', "type: BYTES", _ONE_VALUE]),
        _feature("lane_id", "BYTES", _SHARE_DRIFT),
        *(_feature(name, "BYTES") for name in ("session_id", "captured_at", "photo_id")),
        "# Of the photo as it came, in pixels and bytes.",
        *(_feature(name, "INT", "int_domain { min: 1 }") for name in ("width", "height", "byte_size")),
        "# Mean luma, and the variance of its Laplacian: a dark or a blurred lens shows here.",
        _feature("brightness", "FLOAT", "float_domain { min: 0 max: 255 }", _DRIFT),
        _feature("sharpness", "FLOAT", "float_domain { min: 0 }", _DRIFT),
    )


def table_schema(
    labels: Sequence[str],
    numbers: Sequence[str],
    categories: Sequence[str],
    group: str = "",
    time: str = "",
    passing: Collection[str] = (),
) -> str:
    """The schema of a table with these labels in their order, and columns; bounds are for people to add.

    `passing` are those numbers that are others in every week, as months are, and so have no bound on drift.
    """
    texts = [name for name in ("group", "example_id", group, time) if name]
    return _schema(
        "rows",
        labels,
        *(_feature(name, "BYTES") for name in dict.fromkeys(texts)),
        _feature("missing_share", "FLOAT", "float_domain { min: 0 max: 1 }", _DRIFT),
        *(
            _block(
                "feature",
                [f"name: {_quoted(name)}", "type: FLOAT", _ONE_NUMBER, _ALWAYS]
                + ([] if name in passing else [_DRIFT]),
            )
            for name in numbers
        ),
        *(_feature(name, "BYTES", _SHARE_DRIFT) for name in categories),
    )


def text_schema(labels: Sequence[str]) -> str:
    """The schema of texts with these labels."""
    return _schema(
        "labelled texts",
        labels,
        "# Left out of the statistics, as nearly each is another one; `words` stands for it there.",
        _block("feature", ['name: "text"', "type: BYTES", _ONE_VALUE]),
        _feature("source", "BYTES", _SHARE_DRIFT),
        *(_feature(name, "BYTES") for name in ("group", "example_id", "length_band")),
        "# Of the text, in words, and the first of these in small letters; a text of emoji alone has none.",
        _feature("length", "INT", "int_domain { min: 1 }", _DRIFT),
        _block("feature", ['name: "words"', "type: BYTES", "value_count { min: 0 }", _DRIFT]),
    )


def columns_beside(text: str, other: str) -> dict[str, str]:
    """What each feature of a schema that `other` lacks is to a model: `number` or `category`.

    Raises:
        UsageError: It cannot be read, or lacks a feature that `other` has.
    """
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    try:
        schema = text_format.Parse(text, schema_pb2.Schema())
    except text_format.ParseError as error:
        raise UsageError(f"The schema is none: {error}.", "Columns are found by it.", "Correct it.") from None
    known = {feature.name for feature in text_format.Parse(other, schema_pb2.Schema()).feature}
    if lacks := sorted(known - {feature.name for feature in schema.feature}):
        raise UsageError(
            f"The schema has no feature {', '.join(lacks)}.",
            "What lies in this folder is of another kind, or has other columns of group and time.",
            "Import with the options of the first time, or into a folder of its own.",
        )
    return {
        feature.name: "category" if feature.type == schema_pb2.BYTES else "number"
        for feature in schema.feature
        if feature.name not in known
    }


def read_label_domain(text: str) -> tuple[str, ...]:
    """The labels of a schema in their order, read without parsing all of it.

    Raises:
        UsageError: There is no `string_domain` named label that holds nothing but its values, or one of them
            cannot be a label.
    """
    match = _LABEL_DOMAIN.search(text)
    if match is None:
        raise UsageError(
            'The schema has no string_domain with the name "label".',
            "Labels are numbered by their order there.",
            'Write string_domain { name: "label" value: "first" value: "second" } into it.',
        )
    # With the octal and hexadecimal escapes that other writers use for UTF-8.
    labels = tuple(text_encoding.CUnescape(value[1:-1]).decode() for value in _VALUE.findall(match["values"]))
    check_labels(labels, "The schema")
    return labels


def with_labels(text: str, labels: Iterable[str]) -> str:
    """The schema with those of `labels` that it lacks at the end of the domain: no label's id changes.

    Raises as `read_label_domain` does.
    """
    known = read_label_domain(text)
    added = "".join(f"\n  value: {_quoted(label)}" for label in labels if label not in known)
    match = _LABEL_DOMAIN.search(text)
    assert match is not None  # read_label_domain has found it
    return text[: match.end("values")] + added + text[match.end("values") :]


def widened(text: str, difference: Difference, comment: str) -> str:
    """The schema with what a window had of one feature, under a comment; nothing else of the text is touched.

    Raises:
        UsageError: The feature, its domain or its bounds are not written as this reads them.
    """
    if difference.kind == "feature":
        block = _block("feature", [f'name: "{difference.feature}"', f"type: {difference.type}", _ONE_VALUE])
        return f"{text.rstrip()}\n# {comment}\n{block}\n"
    start, end = _find_block(text, "feature", difference.feature)
    if difference.kind == "range":
        assert difference.bounds is not None
        match = re.search(r"(int|float)_domain\s*\{([^}]*)\}", text[start:end])
        if match is None:
            raise _not_found(f"bounds of {difference.feature}")
        low, high = difference.bounds
        bounds = re.sub(r"min:\s*(\S+)", lambda old: f"min: {min(float(old[1]), low):.9g}", match[2])
        bounds = re.sub(r"max:\s*(\S+)", lambda old: f"max: {max(float(old[1]), high):.9g}", bounds)
        new = f"{match[1]}_domain {{{bounds}}}"
        place = start + match.start()
        return f"{text[:start]}# {comment}\n{text[start:place]}{new}{text[start + match.end() :]}"
    domain = re.search(r'\bdomain:\s*"([^"]+)"', text[start:end])
    if domain is None:
        raise _not_found(f"domain of {difference.feature}")
    start, end = _find_block(text, "string_domain", domain[1])
    added = "".join(f"\n  value: {_quoted(value)}" for value in difference.values)
    return f"{text[: end - 1].rstrip()}\n  # {comment}{added}\n{text[end - 1 :]}"


def _find_block(text: str, kind: str, name: str) -> tuple[int, int]:
    """Where the block of that name begins and ends."""
    for match in re.finditer(rf"^{kind}\s*:?\s*\{{", text, re.MULTILINE):
        depth, end = 1, match.end()
        while depth and end < len(text):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        if re.search(rf'\bname:\s*"{re.escape(name)}"', text[match.end() : end]):
            return match.start(), end
    raise _not_found(f"{kind} {name}")


def _not_found(what: str) -> UsageError:
    return UsageError(
        f"The schema has no {what} that can be widened.", "It is written in another way.", "Edit it by hand."
    )


def _feature(name: str, kind: str, *more: str) -> str:
    return _block("feature", [f"name: {_quoted(name)}", f"type: {kind}", _ONE_VALUE, _ALWAYS, *more])


def _schema(what: str, labels: Sequence[str], *own: str) -> str:
    """A schema: what every one has, the labels and the number of the span, and its own features."""
    parts = [
        _HEADER.format(what=what),
        _block("string_domain", ['name: "label"', *(f"value: {_quoted(label)}" for label in labels)]),
        _feature("label", "BYTES", 'domain: "label"', _LABEL_DRIFT),
        _feature("span", "INT", "int_domain { min: 1 }"),
        _feature("newest_span", "INT", "int_domain { min: 0 max: 1 }"),
        *own,
    ]
    return "\n".join(parts) + "\n"


def _block(name: str, lines: Sequence[str]) -> str:
    return "\n".join([f"{name} {{", *(f"  {line}" for line in lines), "}"])


def _quoted(value: str) -> str:
    """A string literal of the text format, in which UTF-8 may stand as it is."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
