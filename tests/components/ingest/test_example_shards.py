"""What a source of one's own may raise for a single row."""

import pytest

from components.ingest.example_shards import MakeExamples, Plan, list_span
from data.spans.layout import Span
from data.spans.source import Row
from edgeline.errors import EdgelineError
from edgeline.records.workload import Workload
from tests.components.torn_source import TornSource

OWN = Workload("torn", "", "", "tests.components.torn_source", labels=("ok",))


def test_a_row_for_which_a_source_raises_what_it_should_not_is_named(tmp_path):
    span = Span(7, tmp_path / "span-00007")
    plan = Plan(TornSource(), {span.name: span}, OWN, tmp_path, {}, 1, span.name, 0.2, None, {})
    list_span(tmp_path / span.name, 1)
    worker = MakeExamples(plan)
    worker.start_bundle()
    worker.process((span.name, Row("readings.csv:5", "ok", "a")))

    with pytest.raises(EdgelineError, match=r"torn_source cannot read readings\.csv:5 of span-00007: ValueE"):
        worker.finish_bundle()
