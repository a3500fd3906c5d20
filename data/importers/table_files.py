"""Opens a table or texts that a person has: a file, or what a query finds in a database."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data.importers.typed_rows import write_parquet, write_query
from data.spans.rows import read_header, read_lines, read_rows
from data.spans.source import Rejected
from errors import UsageError
from locations import is_url


@dataclass(frozen=True)
class Table:
    """The rows of a table, and what people know it by."""

    path: Path
    shown: str
    separator: str
    header: Sequence[str]
    # Of columns whose source has types: number, time, boolean or text.
    types: Mapping[str, str] = field(default_factory=dict)

    def rows(self, names: Sequence[str]) -> Iterator[tuple[str, dict[str, str]] | Rejected]:
        """The place of each row, and its cells of these columns without blanks around them."""
        own = str(self.path) == self.shown
        for number, item in enumerate(read_rows(self.path, names, separator=self.separator), 1):
            if isinstance(item, Rejected):
                yield item
            else:
                place = item[0] if own else f"row {number}"
                yield place, {name: item[1][name].strip() for name in names}


def open_table(src: str, scratch: Path, columns: Collection[str] = (), query: str = "") -> Table:
    """Opens a table; what is no CSV is written as one first.

    Args:
        src: A file, or with a query the URL of a database.
        scratch: A folder for what is written, which must live as long as the table is read.
        columns: Some that it should have, by which its separator is found.
        query: Of a database: a SELECT.

    Raises:
        UsageError: There is no such file, or a query and a URL do not come together; see `write_query`.
        DataRefused: It cannot be read.
    """
    if is_url(src) != bool(query):
        raise UsageError(
            "--query is given without the URL of a database." if query else "A URL is given without --query.",
            "What is imported is a file here, or what a query finds in a database.",
            "Write: edgeline data import 'sqlite:///plant.db' --query 'SELECT ...' --label COLUMN --data DIR",
        )
    path, written = Path(src), scratch / "rows.csv"
    if query:
        src = write_query(src, query, written)
    elif not path.exists():
        raise UsageError(f"{src} does not exist.", "There is nothing to import.", "Name the file.")
    elif path.suffix.lower() == ".parquet":
        write_parquet(path, written)
    else:
        first = next(read_lines(path), "")
        names = {mark: [name.strip('" \r\n') for name in first.split(mark)] for mark in ",;\t|"}
        separator = max(names, key=lambda mark: (len({*columns} & {*names[mark]}), len(names[mark])))
        return Table(path, src, separator, read_header(path, separator=separator))
    return Table(written, src, ",", read_header(written))
