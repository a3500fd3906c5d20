"""A custom source whose spans can be read at first, but not to their end."""

from data.spans.source import Example, Row
from edgeline.errors import DataRefused

REFUSAL = ("Line 3 is torn.", "What follows cannot be told apart.", "Fix that line.", ("span-00001",))


def open_source(workload, settings):
    return TornSource()


def check(span, workload):
    pass


def count(span):
    return 2


class TornSource:
    spread = False

    def rows(self, span):
        yield Row("1", "ok", "a")
        yield Row("2", "ok", "b")
        raise DataRefused(*REFUSAL)

    def example(self, span, row):
        return Example({}, f"{int(row.id):08x}")

    def close(self):
        pass
