"""Sources that raise other errors than they should, two attempts at one shard, and texts without words."""

from dataclasses import replace

import pytest

from components.ingest import example_shards
from components.ingest.example_shards import MakeExamples, MergeShard, Plan, ReadRows, ShardSpan, list_span
from data.spans.layout import Span
from data.spans.source import Row
from edgeline.errors import EdgelineError
from edgeline.records.workload import Workload
from tests.components.torn_source import TornSource

OWN = Workload("torn", "", "", "tests.components.torn_source", labels=("ok",))


def test_a_row_for_which_a_source_raises_an_unexpected_error_is_named(tmp_path):
    span = Span(7, tmp_path / "span-00007")
    plan = Plan(TornSource(), {span.name: span}, OWN, tmp_path, {}, 1, span.name, 0.2, None, {})
    list_span(tmp_path / span.name, 1)
    worker = MakeExamples(plan)
    worker.start_bundle()
    worker.process((span.name, Row("readings.csv:5", "ok", "a")))

    with pytest.raises(EdgelineError, match=r"torn_source cannot read readings\.csv:5 of span-00007: ValueE"):
        worker.finish_bundle()


class Overtaken(str):
    """A span's name that runs a second attempt when the first one compares another name with it."""

    def __eq__(self, other):
        attempts, self.second = getattr(self, "second", []), []
        for attempt in attempts:
            attempt()
        return str(self) == other

    __hash__ = str.__hash__


def test_two_attempts_at_a_shard_write_files_of_their_own_and_leave_none_beside_it(tmp_path):
    span, folders = Span(7, tmp_path / "span-00007"), {}
    for split in ("train", "eval"):
        folders[split] = str(tmp_path / f"Split-{split}")
        (tmp_path / f"Split-{split}").mkdir()
    plan = Plan(
        TornSource(), {span.name: span}, OWN, tmp_path, folders, 1, Overtaken(span.name), 0.5, None, {}
    )
    list_span(tmp_path / span.name, 2)
    worker = MakeExamples(plan)
    worker.start_bundle()
    for row in ReadRows(plan).process(span):
        worker.process(row)
    worker.finish_bundle()
    ShardSpan(plan).process(span.name, ())

    def list_shards():
        return {path.parent.name + "/" + path.name: path.read_bytes() for path in tmp_path.glob("Split-*/*")}

    MergeShard(plan).process(0, ())
    undisturbed = list_shards()
    plan.newest.second = [lambda: MergeShard(replace(plan, newest=span.name)).process(0, ())]
    MergeShard(plan).process(0, ())
    assert list_shards() == undisturbed and len(undisturbed) == 2


def test_a_text_without_a_word_is_read_beside_others():
    from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

    for words in ([[], ["good", "shop"]], [["good", "shop"], []]):
        encoded = [example_shards._serialize({"words": each}) for each in words]
        batch = ExamplesToRecordBatchDecoder().DecodeBatch(encoded)
        decoded = [[word.decode() for word in each or ()] for each in batch.to_pydict()["words"]]
        assert decoded == words
