"""A table with the columns that the import reads: those of earlier spans, and times of two columns as one."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from edgeline.records.rejection import Rejected
from edgeline.tables.files import Table


@dataclass(frozen=True)
class ReadTable(Table):
    """A table whose columns are called as in earlier spans."""

    gone: Collection[str] = ()  # columns whose cells are empty, whether the file has them or not
    joined: str = ""  # the column `DAY+CLOCK`, which has the cells of both

    @classmethod
    def of(cls, table: Table, time: str, own: Mapping[str, str], gone: Collection[str]) -> Table:
        """Returns a table as it is read.

        Args:
            table: The table as it is in the file.
            time: The column of times, which may name two that the table has; empty without one.
            own: The names of columns that are renamed, as the table has them, by their new names.
            gone: The columns whose cells are empty, whether the table has them or not.
        """
        called = {other: name for name, other in own.items()}
        header = [called.get(name, name) for name in table.header]
        header += [name for name in gone if name not in header]
        joined = time if time not in header and is_joined(time, header) else ""
        header += [joined] if joined else []
        if not (own or gone or joined):
            return table
        types = {called.get(name, name): kind for name, kind in table.types.items() if name not in gone}
        names = {**table.names, **{name: table.names.get(other, other) for name, other in own.items()}}
        changed = {"header": header, "types": types, "names": names}
        return cls(**{**vars(table), **changed}, gone=gone, joined=joined)

    def lists(
        self, names: Sequence[str], any_json: bool = False
    ) -> Iterator[tuple[str, list[str]] | Rejected]:
        """Yields rows as `Table` does."""
        # A column that the file may lack is read from another one, and emptied.
        other = next(name for name in self.header if name not in (*self.gone, self.joined))
        empty = [number for number, name in enumerate(names) if name in self.gone]
        read = [other if name in self.gone else name for name in names]

        day, _, clock = self.joined.partition("+")
        both = names.index(self.joined) if clock and self.joined in names else None
        if both is not None:
            read[both] = day
        read.append(clock or other)

        for item in super().lists(read, any_json):
            if not isinstance(item, Rejected):
                cells = item[1]
                of_clock = item[1].pop()
                for number in empty:
                    cells[number] = ""
                if both is not None:
                    has_both = cells[both] and of_clock
                    cells[both] = f"{cells[both]} {_format_clock(of_clock)}" if has_both else ""
            yield item


def is_joined(time: str, names: Collection[str]) -> bool:
    """Tells whether the name of a column of times is `DAY+CLOCK`, of two of these columns."""
    return "+" in time and {*time.split("+", 1)} <= {*names}


def _format_clock(clock: str) -> str:
    """Formats a time of day; one with a type in its source is a number of seconds."""
    if not clock.replace(".", "", 1).isdecimal():
        return clock
    minutes, seconds = divmod(float(clock), 60)
    return f"{minutes // 60:02.0f}:{minutes % 60:02.0f}:{seconds:09.6f}"
