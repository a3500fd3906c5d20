"""The labels and columns that earlier imports of tables into a folder have fixed for the next one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from data.importers.curated_schema import build_table_schema, build_text_schema, read_extra_columns
from data.importers.table_roles import Roles
from data.importers.workload_files import read_schema, read_workload
from data.spans.layout import find_spans
from edgeline.records.columns import ISO, NUMBER, Column


@dataclass(frozen=True)
class Earlier:
    """The labels and columns of earlier imports."""

    is_first: bool  # whether there is no span
    labels: tuple[str, ...]
    kinds: Mapping[str, str] | None  # `number` or `category` by feature; None if there is no schema
    columns: Mapping[str, Column]  # by feature: those that are more than a number in the column of its name

    def list_forms(self, time: str) -> dict[str, str]:
        """Returns the form that each column of numbers or times has in earlier spans."""
        if self.kinds is None:
            return {}
        forms = {name: NUMBER for name, kind in self.kinds.items() if kind == "number"}
        return forms | {time: ISO} | {column.name: column.form for column in self.columns.values()}


def read_earlier(data_dir: Path, roles: Roles, readings: int) -> Earlier:
    """Reads what earlier imports have fixed. Raises UsageError if their schema is of another kind of data."""
    schema, labels = read_schema(data_dir)
    is_first = not find_spans(data_dir)
    if not schema:
        return Earlier(is_first, labels, None, {})
    if roles.text:
        base = build_text_schema(())
    else:
        base = build_table_schema((), (), (), roles.group, roles.time, readings=readings)
    kinds = read_extra_columns(schema, base)
    columns = read_workload(data_dir, columns=dict[str, Column]).get("columns", {})
    return Earlier(is_first, labels, kinds, columns)
