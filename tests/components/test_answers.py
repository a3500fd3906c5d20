from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.answers import read_answers
from tests.components.steps import SHELF


def write_answers(path, *rows):
    names = ("id", "group", "label", "candidate", "baseline", "features", "values")
    pq.write_table(pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows]), path)


def test_answers_come_in_the_order_of_ids_whichever_worker_wrote_them(tmp_path: Path):
    sure, split = [1.0, 0.0, 0.0], [0.0, 0.5, 0.5]
    first = ("a", "s-2", 0, sure, split, ["span", "lane_id"], ["1", "lane-01"])
    second = ("b", "s-1", 2, split, sure, ["label", "span"], ["2", "2"])
    third = ("c", "s-2", 1, sure, sure, ["span"], ["2"])
    both = []
    for name, shards in (("x", ((third,), (second, first))), ("y", ((first, third), (second,)))):
        (tmp_path / name).mkdir()
        for number, rows in enumerate(shards):
            write_answers(tmp_path / name / f"answers-0000{number}-of-00002.parquet", *rows)
        both.append(read_answers(tmp_path / name, SHELF))
    for answers in both:
        assert answers.labels.tolist() == [0, 2, 1]
        assert answers.groups.tolist() == [1, 0, 1]
        np.testing.assert_array_equal(answers.candidate, [sure, split, sure])
        assert answers.of("span", "2").tolist() == [False, True, True]
        assert answers.of("lane", "lane-01").tolist() == [True, False, False]
        assert answers.of("class", "damaged").tolist() == [False, True, False]


def test_a_model_in_production_that_knows_fewer_labels_gives_the_others_no_probability(tmp_path: Path):
    write_answers(
        tmp_path / "answers-00000-of-00001.parquet",
        ("a", "s-1", 2, [0.1, 0.1, 0.8], [0.4, 0.6], ["span"], ["1"]),
    )
    answers = read_answers(tmp_path, SHELF)
    np.testing.assert_allclose(answers.baseline, [[0.4, 0.6, 0.0]], rtol=1e-6)


def test_without_a_production_model_there_are_the_answers_of_the_candidate(tmp_path: Path):
    first = ("a", "s-1", 2, [0.1, 0.1, 0.8], None, ["span"], ["1"])
    second = ("b", "s-1", 0, [0.8, 0.1, 0.1], None, [], [])
    write_answers(tmp_path / "answers-00000-of-00001.parquet", first, second)
    answers = read_answers(tmp_path, SHELF)
    assert answers.baseline is None and answers.group_names == ("s-1",)
    assert answers.find_right(answers.candidate).tolist() == [True, True]


def test_without_any_example_that_counts_there_are_no_answers(tmp_path: Path):
    row = ("a", "s-1", 2, [0.1, 0.1, 0.8], [0.1, 0.1, 0.8], ["span"], ["1"])
    write_answers(tmp_path / "answers-00000-of-00001.parquet", row)
    nothing = read_answers(tmp_path, SHELF).take(np.array([], int))
    assert not len(nothing.labels) and nothing.slices == {}
