"""The data source on the page of a custom workload, which people copy, with broken lines."""

import importlib
import json

import pytest

from data.spans.layout import Span
from data.spans.source import Rejected
from edgeline.records.rejection import RowRejected
from tests.e2e.test_own_workload import write_files

GOOD = {"device": "d-01", "label": "tap", "samples": [0.5] * 31 + [1]}
BROKEN = [
    b"null",
    b"{",
    b"",
    b'{"device": "\xff"}',
    b'{"more": ' * 100_000,
    *(
        json.dumps({**GOOD, **part}).encode()
        for part in (
            {"samples": None},
            {"samples": ["a"] * 32},
            {"samples": [float("nan")] * 32},
            {"samples": [10**400] * 32},
            {"samples": "1" * 32},
            {"device": 7},
            {"label": ["tap"]},
        )
    ),
]


@pytest.fixture(scope="module")
def gestures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "gestures"
    write_files(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield importlib.import_module("gestures_data").Gestures(("tap", "shake"))


def read_rows(gestures, folder, *lines):
    (folder / "gestures.jsonl").write_bytes(b"\n".join((*lines, json.dumps(GOOD).encode())) + b"\n")
    span = Span(1, folder)
    return span, list(gestures.rows(span))


@pytest.mark.parametrize("line", BROKEN, ids=lambda line: line[:60].decode(errors="replace"))
def test_a_broken_line_is_quarantined_and_the_next_is_read(gestures, tmp_path, line):
    span, (rejected, row) = read_rows(gestures, tmp_path, line)

    assert isinstance(rejected, Rejected) and rejected.reason == "broken-line"
    assert (row.id, row.label, row.group) == ("gestures.jsonl:2", "tap", "d-01")
    assert gestures.example(span, row).features == {"samples": GOOD["samples"]}


@pytest.mark.parametrize(
    ("part", "reason"), [({"label": "knock"}, "unknown-label"), ({"samples": [1]}, "wrong-length")]
)
def test_a_row_that_is_no_example_is_rejected_with_its_reason(gestures, tmp_path, part, reason):
    span, (row, _) = read_rows(gestures, tmp_path, json.dumps({**GOOD, **part}).encode())

    with pytest.raises(RowRejected, match=reason):
        gestures.example(span, row)
