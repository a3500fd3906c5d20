import json
import resource
from concurrent.futures import ThreadPoolExecutor

import pytest

from data.photos.labels_file import LabelRow, write_span
from data.spans.exclusions import FILE_NAME, decide, find_excluded_spans, read_decisions
from data.spans.layout import find_newest_spans, find_spans
from edgeline.errors import DataRefused, EdgelineError, UsageError
from edgeline.store.locations import locate
from tests.data.sample_photos import jpeg
from tests.data.spans.windows import window_digest

KNOWN = ("span-00001", "span-00002", "span-00003")


@pytest.fixture
def data(tmp_path):
    """Writes three weeks of one photo each."""
    for week in range(3):
        write_span(tmp_path / "data", [(LabelRow("a.jpg", "ok", "", "", ""), jpeg(seed=week))])
    return tmp_path / "data"


def exclude(data, span, reason="blurred"):
    return decide(data, "exclude", span, reason, KNOWN)


def list_names(spans):
    return [span.name for span in spans]


def test_an_excluded_span_is_not_read_until_it_is_included_and_an_older_one_takes_its_place(data):
    before = window_digest(find_newest_spans(data, 2))
    exclude(data, "span-00003", "the lens\nwas dirty")
    assert list_names(find_newest_spans(data, 2)) == ["span-00001", "span-00002"]
    assert window_digest(find_newest_spans(data, 2)) != before
    assert list_names(find_spans(data)) == list(KNOWN)
    written = (data / FILE_NAME).read_bytes()
    decide(data, "include", "span-00003", "looked at again", KNOWN)
    assert list_names(find_newest_spans(data, 2)) == ["span-00002", "span-00003"]
    assert find_excluded_spans(data) == {}
    # The file says who, when and why, and is only ever appended to.
    assert (data / FILE_NAME).read_bytes().startswith(written)
    first, second = read_decisions(data)
    assert (first.action, first.span, first.reason) == ("exclude", "span-00003", "the lens was dirty")
    assert second.action == "include" and "@" in first.who and first.when.endswith("Z")


def test_a_decision_that_changes_nothing_is_refused(data):
    decision = exclude(data, "span-00003", "dirty lens")
    with pytest.raises(UsageError, match=f"excluded already, by {decision.who}.*dirty lens"):
        exclude(data, "span-00003")
    with pytest.raises(UsageError, match=r"no span x\. It has 3 spans.*data list"):
        exclude(data, "x")
    assert len(read_decisions(data)) == 1


def test_excluded_spans_are_named_with_the_way_back_if_no_other_is_left(data):
    for span in KNOWN:
        exclude(data, span)

    with pytest.raises(DataRefused, match=r"span-00001 to span-00003.*--undo"):
        find_newest_spans(data, 8)


GOOD = {"action": "exclude", "span": "span-00003", "when": "", "who": "", "reason": ""}


@pytest.mark.parametrize(
    "line",
    ["", "\xff", "[" * 200_000, json.dumps(GOOD | {"action": "drop"}), json.dumps(GOOD | {"span": "../x"})],
    ids=lambda line: line[:40],
)
def test_a_line_that_is_no_decision_stops_every_run(data, line):
    (data / FILE_NAME).write_bytes(json.dumps(GOOD).encode() + b"\n" + line.encode("latin-1") + b"\n")
    with pytest.raises(DataRefused, match="line 2 is not a decision"):
        find_newest_spans(data, 8)


def test_a_decision_that_is_written_by_half_is_an_error_and_does_not_count(data):
    exclude(data, "span-00002")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((data / FILE_NAME).stat().st_size + 10, hard))
    try:
        with pytest.raises(EdgelineError, match="cannot be written"):
            exclude(data, "span-00003")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert set(find_excluded_spans(data)) == {"span-00002"}


@pytest.mark.parametrize("place", ["disk", "bucket"])
def test_no_decision_is_lost_if_several_are_made_at_once(place, request, tmp_path):
    data = tmp_path if place == "disk" else locate(f"{request.getfixturevalue('bucket')}/data")
    all_spans = [f"span-{number:05d}" for number in range(1, 5)]

    def decide_some(spans):
        for span in spans:
            decide(data, "exclude", span, "dark", all_spans)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(decide_some, (all_spans[first::4] for first in range(4))))
    assert sorted(decision.span for decision in read_decisions(data)) == all_spans
