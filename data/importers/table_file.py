"""The file `table.yaml` beside imported rows or texts: how each column of the table is read, and why.

`edgeline data inspect` and the first import write it, a person may edit it, and each later week is read by it
alone. `workload.yaml` and `schema.pbtxt` are made from it.

The file has `version`, `source` (the name of the table that it was made from), `readings` (rows of a group in
an example, if they are several), and `columns`: for each column of the table, by name, the fields of
`ColumnEntry`. All its values are texts as written: `no`, `012` and `1e5` are words. Columns that change in a
later week are written by `write_columns`, which leaves the rest of the text as it is, comments too.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from data.spans.layout import replace_file
from edgeline.errors import UsageError, find_nearest
from edgeline.records.columns import AGE, DAYS, NUMBER, NUMBERS, PARTS, TIMES, Column, is_form
from edgeline.store.locations import read_bytes

TABLE = "table.yaml"
VERSION = 1
_TOP = ("version", "source", "readings", "columns")
_RESERVED = ("", "label", "group", "span", "newest_span", "example_id", "missing_share", "stuck_share")
_RESERVED_BY_WINDOWS = ("block", "window_id")
_MOST_BYTES, _MOST_READINGS, _MOST_MISTAKES = 2**25, 4096, 50
_HEADER = """\
# How each column of the table is read, and why. `edgeline data inspect` and the first import write this file,
# a person edits it, and each later week is read by it; workload.yaml and schema.pbtxt are made from it.
# - role: {roles}
# - form, of a number: {numbers}
#   (with `in` and the unit that each cell has, as in: number in kg)
#   of a date: {times}; cells without a form are names
# - features, of a date: the part of it that each one has ({parts})
# - missing: texts of the column that stand for a missing cell or time, beside the usual ones, such as NA
# - until: the last span whose table has the column; later ones have it as `now`, or no longer
"""


class Role:
    """The roles of a column.

    A model reads numbers, dates (by their parts) and categories, or else one text or photo alone. The group
    of a photo is its session.
    """

    LABEL, GROUP, TIME, TEXT = "label", "group", "time", "text"
    PHOTO, LANE, SPLIT = "photo", "lane", "split"
    NUMBER, DATE, CATEGORY, LEAVE_OUT = "number", "date", "category", "leave out"


ROLES = tuple(role for name, role in vars(Role).items() if name.isupper())
NAMED = ROLES[:4]  # those that a person names, in the order of `Roles`
_ONCE = ROLES[:7]  # those that one column has at most


@dataclass(frozen=True)
class Roles:
    """The columns with a role of their own by name; empty for none."""

    label: str
    group: str = ""  # whose values are never in two splits
    time: str = ""
    text: str = ""  # if there is one, a model learns from nothing else

    @property
    def columns(self) -> Sequence[str]:
        """Returns the names of these columns, each once."""
        return list(dict.fromkeys(filter(None, (self.text, self.label, self.group, self.time))))


@dataclass(frozen=True)
class ColumnEntry:
    """A column of the table, as a model and the split of examples read it."""

    role: str = Role.LEAVE_OUT  # one of `ROLES`
    form: str = ""  # of its cells, see `is_form`; empty for names and texts
    # The part of a date, one of `PARTS`, that each feature has; none for a column of another role.
    features: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()  # texts that stand for a missing cell, beside the usual ones
    reason: str = ""  # why it has this role, after its name, with the cells that show it
    since: str = ""  # the span that first has it; empty where all have it
    until: str = ""  # the last span whose table has it under its name; empty where all have it
    now: str = ""  # its name in the tables after that; empty if they lack it

    @property
    def is_gone(self) -> bool:
        """Tells whether later tables lack it: its cells are missing there."""
        return bool(self.until) and not self.now


@dataclass(frozen=True)
class TableFile:
    """The content of a `table.yaml`."""

    columns: Mapping[str, ColumnEntry]
    source: str = ""
    readings: int = 1

    @cached_property
    def roles(self) -> Roles:
        """The columns that are neither learned from as they are nor left out."""
        return Roles(*map(self._find, NAMED))

    def _find(self, role: str) -> str:
        return next((name for name, entry in self.columns.items() if entry.role == role), "")

    @property
    def names_photos(self) -> bool:
        """Tells whether it is of a manifest, which names photos."""
        return bool(self._find(Role.PHOTO))

    @cached_property
    def numbers(self) -> Mapping[str, Column]:
        """The numbers that a model reads, by feature, each with the column that it comes from."""
        numbers = dict[str, Column]()
        time = self.roles.time
        for name, entry in self.columns.items():
            parts = dict(entry.features)
            if entry.role == Role.NUMBER:
                parts[name] = DAYS if entry.form in TIMES else ""
            for feature, part in parts.items():
                ages = {"until": time, "until_form": self.columns[time].form} if part == AGE else {}
                numbers[feature] = Column(name, entry.form, part, missing=entry.missing, **ages)
        return numbers

    @cached_property
    def times(self) -> Mapping[str, Column]:
        """The column of times by its name, if there is one."""
        time = self.roles.time
        return {time: Column(time, self.columns[time].form)} if time else {}

    @cached_property
    def forms(self) -> Mapping[str, str]:
        """The form of each column of numbers or dates."""
        return {name: entry.form for name, entry in self.columns.items() if entry.form}

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """The columns of names that a model reads."""
        return tuple(name for name, entry in self.columns.items() if entry.role == Role.CATEGORY)


def list_reserved(readings: int) -> Sequence[str]:
    """Returns the names that examples have for other features, by the number of readings of an example."""
    return (*_RESERVED, *(_RESERVED_BY_WINDOWS if readings > 1 else ()))


def write_table_file(data_dir: Path, file: TableFile) -> Path:
    """Writes the file of a data folder, which is made if it does not exist, and returns its path."""
    head: dict[str, Any] = {"version": VERSION, "source": file.source}
    if file.readings > 1:
        head["readings"] = file.readings
    names = {"roles": ROLES, "numbers": NUMBERS, "times": TIMES, "parts": PARTS}
    text = _HEADER.format(**{key: ", ".join(values) for key, values in names.items()})
    text += format_yaml({**head, "columns": _to_plain(file.columns)})
    data_dir.mkdir(parents=True, exist_ok=True)
    replace_file(data_dir / TABLE, text.encode())
    return data_dir / TABLE


def keep_table_file(data_dir: Path, file: TableFile, is_new: bool) -> str:
    """Writes `table.yaml` of a data folder if it is new, and returns what was done, as a sentence.

    Args:
        data_dir: The folder of spans.
        file: How the columns of a table are read.
        is_new: The folder has no such file yet; one that is there stays.
    """
    if not is_new:
        return f"{data_dir / TABLE} is there, and is not changed: {file.source} would be read as it says."
    path = write_table_file(data_dir, file)
    return f"{path} says how each column of {file.source} is read, and why: edit it before the import."


def write_columns(data_dir: Path, columns: Mapping[str, ColumnEntry]) -> None:
    """Writes columns in place of their entries in the file of a data folder, or below the last one.

    All else that it has stays as it is written.
    """
    lines = (data_dir / TABLE).read_text(encoding="utf-8").splitlines(keepends=True)
    top = {key.value: value for key, value in _compose("".join(lines)).value}
    pairs = top["columns"].value
    indent = " " * pairs[0][0].start_mark.column
    places = {key.value: (key.start_mark.line, _find_end(value)) for key, value in pairs}
    end = _find_end(pairs[-1][1])
    if not lines[end - 1].endswith("\n"):
        lines[end - 1] += "\n"

    # From the last line to the first, so that the numbers of lines before stay.
    for name in sorted(reversed([*columns]), key=lambda name: places.get(name, (end, end)), reverse=True):
        begin, behind = places.get(name, (end, end))
        written = format_yaml(_to_plain({name: columns[name]})).splitlines()
        lines[begin:behind] = [f"{indent}{line}\n" for line in written]
    replace_file(data_dir / TABLE, "".join(lines).encode())


def _find_end(node: Any) -> int:
    """Returns the number of the line behind a value, before comments that follow it."""
    while isinstance(node.value, list) and node.value and not node.flow_style:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    end: int = node.end_mark.line + (node.end_mark.column > 0)
    return end


def _to_plain(columns: Mapping[str, ColumnEntry]) -> dict[str, dict[str, Any]]:
    """Returns columns as the file has them, without the fields that are empty."""
    plain = dict[str, dict[str, Any]]()
    for name, entry in columns.items():
        plain[name] = {key: value for key, value in vars(entry).items() if value}
    return plain


def format_yaml(value: object, is_flat: bool = False) -> str:
    """Formats a value as YAML; if it `is_flat`, mappings of texts are written on one line."""
    import yaml

    text: str = yaml.dump(
        value,
        Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper),  # in C, of 2,000 columns in a fifth of the time
        default_flow_style=None if is_flat else False,
        allow_unicode=True,
        width=2**31 - 1,
        sort_keys=False,
    )
    return text


def _compose(text: str) -> Any:
    """Returns the node of a YAML text, in which each value is a text. Raises yaml.YAMLError."""
    import yaml

    return yaml.compose(text, getattr(yaml, "CBaseLoader", yaml.BaseLoader))


def read_table_file(data_dir: Path) -> TableFile | None:
    """Reads the file of a data folder; None if it has none.

    Raises UsageError with all mistakes, each with its line, or if another version of Edgeline wrote it.
    """
    path = data_dir / TABLE
    try:
        text = read_bytes(path, _MOST_BYTES).decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise _make_error(path, [f"It cannot be read ({error})"]) from None
    return _Reader(path, text).read()


def _make_error(path: Path, mistakes: Sequence[str]) -> UsageError:
    more = [f"... and {len(mistakes) - _MOST_MISTAKES} more."] if len(mistakes) > _MOST_MISTAKES else []
    return UsageError(
        [f"{path} has mistakes:", *(f"  {mistake}." for mistake in mistakes[:_MOST_MISTAKES]), *more],
        "It says how each column of the table is read.",
        "Correct it, or remove it before the first import, which writes it again.",
    )


class _Reader:
    """Reads the text of a file, and notes each mistake with its line."""

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._text = path, text
        self._mistakes = list[tuple[int, str]]()
        self._lines = dict[str, int]()  # of columns

    def read(self) -> TableFile:
        """Returns the content. Raises UsageError with all mistakes."""
        file = self._read_columns()
        if not self._mistakes:
            self._check_roles(file)
            self._check_features(file)
        if self._mistakes:
            raise _make_error(self._path, [f"line {line}: {what}" for line, what in sorted(self._mistakes)])
        return file

    def _note(self, node: Any, mistake: str) -> None:
        self._mistakes.append((node.start_mark.line + 1, mistake))

    def _read_columns(self) -> TableFile:
        import yaml

        try:
            root = _compose(self._text)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f"line {mark.line + 1}: " if mark else ""
            problem = getattr(error, "problem", None) or str(error).splitlines()[0]
            raise _make_error(self._path, [f"{where}it is not YAML ({problem})"]) from None
        if not isinstance(root, yaml.MappingNode):
            raise _make_error(self._path, [f"line 1: it has no {' and no '.join(_TOP[:1] + _TOP[-1:])}"])

        top = self._read_mapping(root, "the file", _TOP)
        self._check_version(top.get("version"), root)
        readings = self._read_readings(top["readings"]) if "readings" in top else 1
        columns = dict[str, ColumnEntry]()
        if "columns" not in top:
            self._note(root, "it has no columns")
        else:
            for name, node in self._read_mapping(top["columns"], "columns").items():
                self._lines[name] = node.start_mark.line + 1
                columns[name] = self._read_entry(name, node)
        source = self._read_text(top["source"], "source") if "source" in top else ""
        return TableFile(columns, source, readings)

    def _check_version(self, node: Any, root: Any) -> None:
        version = self._read_text(node, "version") if node else ""
        if version.isdecimal() and int(version) > VERSION:
            raise UsageError(
                f"{self._path} has version {version}, and this version of Edgeline reads {VERSION}.",
                "A newer one wrote it, and may mean something else by it.",
                "Import with the version of Edgeline that wrote it, or a newer one.",
            )
        if version != str(VERSION):
            self._note(node or root, f"version is {version or 'missing'}, not {VERSION}")

    def _read_readings(self, node: Any) -> int:
        text = self._read_text(node, "readings")
        if text.isdecimal() and len(text) < 5 and 1 <= int(text) <= _MOST_READINGS:
            return int(text)
        self._note(node, f"readings is {text!r}, not a number from 1 to {_MOST_READINGS:,}")
        return 1

    def _read_mapping(self, node: Any, where: str, known: Collection[str] = ()) -> dict[str, Any]:
        """Returns the nodes of a mapping by key; notes keys that are there twice, or not `known`."""
        nodes = dict[str, Any]()
        if not isinstance(node.value, list) or not all(isinstance(pair, tuple) for pair in node.value):
            self._note(node, f"{where} has no names with values, but {str(node.value)[:40]!r}")
            return nodes
        for key, value in node.value:
            name = self._read_text(key, "a name")
            if name in nodes:
                self._note(key, f"{where} has {name!r} twice")
            elif known and name not in known:
                self._check_known(key, f"a name in {where}", name, known)
            else:
                nodes[name] = value
        return nodes

    def _read_text(self, node: Any, where: str) -> str:
        if isinstance(node.value, str):
            return node.value
        self._note(node, f"{where} is no text")
        return ""

    def _read_entry(self, name: str, node: Any) -> ColumnEntry:
        keys = [each.name for each in fields(ColumnEntry)]
        values = self._read_mapping(node, name, keys)
        texts = {
            key: self._read_text(values[key], key) for key in values if key not in ("features", "missing")
        }

        if values and "role" not in texts:
            self._note(node, f"the role of {name} is missing")
        self._check_known(values.get("role"), f"the role of {name}", texts.get("role", ""), ROLES)
        if not is_form(texts.get("form", NUMBER)):
            self._check_known(values["form"], f"the form of {name}", texts["form"], (*NUMBERS, *TIMES))

        features: dict[str, str] = {}
        if "features" in values:
            for feature, part in self._read_mapping(values["features"], "features").items():
                features[feature] = self._read_text(part, feature)
                self._check_known(part, feature, features[feature], PARTS)

        missing: list[str] = []
        if "missing" in values:
            node = values["missing"]
            if isinstance(node.value, list) and not any(isinstance(item, tuple) for item in node.value):
                missing = [self._read_text(item, "missing") for item in node.value]
            else:
                self._note(node, f"missing of {name} is no list of texts, such as ['-9999']")

        return ColumnEntry(features=features, missing=tuple(missing), **texts)

    def _check_known(self, node: Any, what: str, text: str, known: Collection[str]) -> None:
        if node is not None and text not in known:
            nearest = find_nearest(text, known)
            more = f" (did you mean {nearest}?)" if nearest else ""
            self._note(node, f"{what} is {text!r}, which is not one of these: {', '.join(known)}{more}")

    def _check_roles(self, file: TableFile) -> None:
        """Notes roles that are there twice or lack, and forms that do not fit a role."""
        for role in _ONCE:
            names = [name for name, entry in file.columns.items() if entry.role == role]
            self._mistakes += [
                (self._lines[name], f"{name} is the {role} too, beside {names[0]}") for name in names[1:]
            ]
        roles = {entry.role for entry in file.columns.values()}
        if Role.LABEL not in roles:
            self._mistakes.append((1, "no column has the role label"))
        if not roles & {Role.TEXT, Role.PHOTO, Role.NUMBER, Role.DATE, Role.CATEGORY}:
            self._mistakes.append((1, "no column has a role from which a model learns"))
        for name, entry in file.columns.items():
            faults = _list_faults(entry, roles)
            self._mistakes += [(self._lines[name], f"{name}: {fault}") for fault in faults]

    def _check_features(self, file: TableFile) -> None:
        """Notes features that two columns have, or that examples have for something else."""
        used = {name: name for name in (file.roles.time, file.roles.group) if name}
        used |= {} if file.roles.text else dict.fromkeys(list_reserved(file.readings), "examples")
        for name, entry in file.columns.items():
            is_group = entry.role == Role.GROUP and name != Role.GROUP
            is_read = is_group or entry.role in (Role.NUMBER, Role.CATEGORY, Role.TIME)
            own = [*entry.features, *([name] if is_read else [])]
            for feature in own:
                if used.setdefault(feature, name) != name:
                    self._mistakes.append(
                        (self._lines[name], f"the feature {feature!r} is also one of {used[feature]}")
                    )


def _list_faults(entry: ColumnEntry, roles: Collection[str]) -> Iterator[str]:
    """Yields what does not fit together in a column."""
    if entry.role == Role.NUMBER and not entry.form:
        yield f"a number needs a form, such as {NUMBER}"
    if entry.role in (Role.TIME, Role.DATE) and entry.form not in TIMES:
        yield f"a {entry.role} needs one of the forms {', '.join(TIMES)}"
    if (entry.role == Role.DATE) != bool(entry.features):
        yield "a date needs features" if entry.role == Role.DATE else f"a {entry.role} has no features"
    if entry.missing and entry.role not in (Role.NUMBER, Role.DATE, Role.TIME, Role.LEAVE_OUT):
        yield f"a {entry.role} has no texts that stand for a missing cell"
    if entry.now and not entry.until:
        yield "a column with `now` needs `until`, the last span that has it under its name"
    if AGE in entry.features.values() and Role.TIME not in roles:
        yield "an age needs a column with the role time"
    if Role.TEXT in roles and entry.role in (Role.NUMBER, Role.DATE, Role.CATEGORY, Role.TIME):
        yield f"a {entry.role} is not read beside texts"
    if Role.PHOTO in roles and entry.role in (Role.NUMBER, Role.DATE, Role.CATEGORY, Role.TEXT):
        yield f"a {entry.role} is not read beside photos"
    if Role.PHOTO not in roles and entry.role in (Role.LANE, Role.SPLIT):
        yield f"a {entry.role} is one of photos"
