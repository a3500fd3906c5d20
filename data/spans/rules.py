"""The rules that a workload has for the cells of its rows, each in one of the forms of `FORMS`.

An empty cell, or a word that stands for one, breaks no rule but `required` and `missing`.
"""

import hashlib
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import msgspec

from data.spans.layout import Span, find_files
from edgeline.errors import UsageError, suggest
from edgeline.labels import join_names
from edgeline.records.columns import ISO, MISSING, NUMBER, parse_cell
from edgeline.records.workload import Rule, Workload
from edgeline.tables.rows import read_header

Cells = Mapping[str, str]

_NAME = r'(?:"[^"]+"|[^\W\d][\w.]*)'
_TERM = re.compile(
    rf"\s*(?P<sign>[+-]?)\s*(?:(?P<time>\d{{4}}-\d\d-\d\d(?:T[\d:.]+Z?)?)"
    rf"|(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?P<name>{_NAME}))\s*"
)
_SIGN = re.compile(r"(<=|>=|==|!=|<|>)")
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
# Two numbers that differ by less than this share of the larger one are equal: 0.1 + 0.2 is 0.3.
_ROUNDING = 1e-9
_ROWS = "rows"  # the number of rows of a span; a column of that name is quoted
_SHOWN = 60
_WITH_HEADER, _RECORDS = (".csv", ".jsonl"), (".tfrecord", ".tfrecord.gz")


@dataclass(frozen=True)
class Parsed:
    """A rule that can be applied: to each row, to a share of the rows, to their number, or to other spans."""

    columns: tuple[str, ...]
    holds: Callable[[Cells], bool] = lambda cells: True
    kind: Literal["row", "share", "size", "across"] = "row"
    share: float = 0.0  # the largest share of the rows of a span that may break it
    fits: Callable[[int], bool] = lambda rows: True  # takes the number of rows


@dataclass(frozen=True)
class Form:
    """A form of rules: an example, the pattern, and the function that makes a rule of a match.

    That takes the forms of cells by column, and raises ValueError for a rule that is wrong.
    """

    example: str
    pattern: str
    parse: Callable[[re.Match[str], Mapping[str, str]], Parsed]


def _unquote(name: str) -> str:
    return name.strip().strip('"').strip()


def _split(text: str) -> tuple[str, ...]:
    return tuple(_unquote(part) for part in text.split(","))


def get_cell(cells: Cells, name: str) -> str:
    """Returns the text of a cell; empty if it stands for none."""
    cell = cells.get(name, "").strip()
    return "" if cell.lower() in MISSING else cell


def _parse_one_of(match: re.Match[str], forms: Mapping[str, str]) -> Parsed:
    name = _unquote(match["name"])
    values = {"", *_split(match["values"])}
    return Parsed((name,), lambda cells: get_cell(cells, name) in values)


def _parse_pattern(match: re.Match[str], forms: Mapping[str, str]) -> Parsed:
    name = _unquote(match["name"])
    try:
        pattern = re.compile(match["pattern"])
    except re.error as error:
        raise ValueError(f"its pattern is not a regular expression ({error})") from None

    def holds(cells: Cells) -> bool:
        cell = get_cell(cells, name)
        return not cell or pattern.fullmatch(cell) is not None

    return Parsed((name,), holds)


def _parse_required(match: re.Match[str], forms: Mapping[str, str]) -> Parsed:
    name = _unquote(match["name"])
    if match["other"] is None:
        return Parsed((name,), lambda cells: get_cell(cells, name) != "")
    other = _unquote(match["other"])
    values = _split(match["values"])
    return Parsed(
        (name, other), lambda cells: get_cell(cells, name) != "" or get_cell(cells, other) not in values
    )


def _parse_unique(match: re.Match[str], forms: Mapping[str, str]) -> Parsed:
    names = _split(match["names"])
    return Parsed(names, kind="across") if match["across"] else Parsed(names, _make_unique(names))


def _make_unique(names: Sequence[str]) -> Callable[[Cells], bool]:
    """Returns a function that tells whether the cells of these columns are others than in any row before."""
    seen = set[str]()

    def holds(cells: Cells) -> bool:
        key = digest_key(cells, names)
        is_new = not key or key not in seen
        seen.add(key)
        return is_new

    return holds


def digest_key(cells: Cells, names: Sequence[str]) -> str:
    """Returns a digest of the cells of these columns; empty if none has a value."""
    texts = [get_cell(cells, name) for name in names]
    if not any(texts):
        return ""
    return hashlib.blake2b("\0".join(texts).encode(errors="replace"), digest_size=10).hexdigest()


def _parse_missing(match: re.Match[str], forms: Mapping[str, str]) -> Parsed:
    name = _unquote(match["name"])
    share = float(match["percent"]) / 100
    return Parsed((name,), lambda cells: get_cell(cells, name) != "", "share", share)


def _parse_comparison(match: re.Match[str], forms: Mapping[str, str]) -> Parsed:
    first, *rest = _SIGN.split(match["sides"])
    signs = rest[::2]
    sides = [_parse_side(side) for side in (first, *rest[1::2])]
    tolerance = float(match["tolerance"] or 0)
    terms = [term for side in sides for _, term in side]
    names = tuple(dict.fromkeys(term for term in terms if isinstance(term, str)))
    if not names:
        raise ValueError("it names no column")

    def compare(values: Mapping[str, float]) -> bool:
        sums = [
            sum(sign * (values[term] if isinstance(term, str) else term) for sign, term in side)
            for side in sides
        ]
        pairs = zip(signs, pairwise(sums), strict=True)
        return all(_is_in_order(sign, left, right, tolerance) for sign, (left, right) in pairs)

    if names == (_ROWS,):
        return Parsed((), kind="size", fits=lambda rows: compare({_ROWS: rows}))
    columns = {name: _unquote(name) for name in names}

    def holds(cells: Cells) -> bool:
        texts = {name: get_cell(cells, column) for name, column in columns.items()}
        if not all(texts.values()):
            return True
        return compare(
            {name: _read_number(text, forms.get(columns[name], NUMBER)) for name, text in texts.items()}
        )

    return Parsed(tuple(columns.values()), holds)


def _parse_side(text: str) -> list[tuple[int, str | float]]:
    """Returns the signs and terms of a sum; a term is a name, quoted or not, or a number."""
    terms = list[tuple[int, str | float]]()
    position = 0
    while position < len(text) or not terms:
        match = _TERM.match(text, position)
        if match is None or (terms and not match["sign"]):
            raise ValueError(f"{text.strip()!r} is not a sum of columns and numbers")
        sign = -1 if match["sign"] == "-" else 1
        position = match.end()
        if match["time"]:
            terms.append((sign, parse_cell(match["time"], ISO)))
        else:
            terms.append((sign, match["name"] or float(match["number"])))
    return terms


def _is_in_order(sign: str, left: float, right: float, tolerance: float) -> bool:
    """Tells whether two numbers compare as a sign says; NaN, a cell that is no number, never does."""
    if math.isnan(left) or math.isnan(right):
        return False
    are_equal = abs(left - right) <= max(tolerance, _ROUNDING * max(abs(left), abs(right)))
    if sign in ("==", "!="):
        return are_equal == (sign == "==")
    return _COMPARE[sign](left, right) or (are_equal and "=" in sign)


def _read_number(text: str, form: str) -> float:
    """Returns a number, or a time in seconds since 1970; NaN for neither."""
    for each in (form, ISO):
        with suppress(ValueError):
            return parse_cell(text, each)
    return math.nan


FORMS = (
    Form("status one of open, closed", rf"(?P<name>{_NAME}) one of (?P<values>.+)", _parse_one_of),
    Form("code matches [A-Z]{3}", rf"(?P<name>{_NAME}) matches (?P<pattern>.+)", _parse_pattern),
    Form(
        "reason required if status is closed",
        rf"(?P<name>{_NAME}) required(?: if (?P<other>{_NAME}) is (?P<values>.+))?",
        _parse_required,
    ),
    Form(
        "machine, time unique across spans",
        rf"(?P<names>{_NAME}(?:, *{_NAME})*) unique(?P<across> across spans)?",
        _parse_unique,
    ),
    Form(
        "income missing <= 5 %",
        rf"(?P<name>{_NAME}) missing <= (?P<percent>\d+(?:\.\d+)?) ?%",
        _parse_missing,
    ),
    Form(
        "net + vat == gross within 0.01",
        rf"(?P<sides>.*{_SIGN.pattern}.*?)(?: within (?P<tolerance>\d+(?:\.\d+)?))?",
        _parse_comparison,
    ),
)


def parse_rule(text: str, forms: Mapping[str, str]) -> Parsed:
    """Parses a rule; `forms` are those of the cells by column. Raises ValueError if it has no known form."""
    for form in FORMS:
        if match := re.fullmatch(form.pattern, text.strip()):
            return form.parse(match, forms)
    raise ValueError(f"it has none of the forms `{'`, `'.join(form.example for form in FORMS)}`")


def find_mistakes(rules: object, source: str) -> Iterator[str]:
    """Yields what is wrong with the rules of a workload's file, whose spans are read by `source`."""
    if not isinstance(rules, list):
        yield "rules: not a list"
        return
    if rules and source not in ("data.tables.source", "data.texts.source"):
        yield "rules: only rows of tables, readings and texts have cells to check"
    for number, entry in enumerate(rules):
        try:
            rule = msgspec.convert(entry, Rule, strict=True)
            if unknown := entry.keys() - {"rule", "severity"}:
                raise ValueError(f"{', '.join(sorted(unknown))} is not one of rule, severity")
            parsed = parse_rule(rule.rule, {})
            if rule.severity == "quarantine" and parsed.kind != "row":
                raise ValueError("no row alone breaks it, so its severity is `warn` or `block`")
        except ValueError as error:
            shown = entry.get("rule", entry) if isinstance(entry, dict) else entry
            yield f"rules[{number}], {str(shown)[:_SHOWN]!r}: {error}"


def check_columns(spans: Sequence[Span], workload: Workload) -> None:
    """Refuses rules about columns that no span has. Raises UsageError, and DataRefused as `read_header`."""
    names = {name for rule in workload.rules for name in parse_rule(rule.rule, {}).columns}
    if not names:
        return
    files = [path for span in spans for path in find_files(span, *_WITH_HEADER, *_RECORDS)]
    headers = [read_header(path) for path in files if path.name.endswith(_WITH_HEADER)]
    known = set[str]().union(*headers)
    if known and (missing := sorted(names - known)):
        columns = f"The columns are {join_names(sorted(known))}."
        nearest = " ".join(filter(None, (suggest(name, known) for name in missing)))
        raise UsageError(
            f"The workload {workload.name} has rules about {join_names([repr(name) for name in missing])},"
            " and no span has such a column.",
            "A rule about a column that is not there would never be broken.",
            f"Correct `rules` in the workload's file. {nearest or columns}",
        )
