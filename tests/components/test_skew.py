"""Served scores are computed again from the stored file of their version."""

from dataclasses import replace

from components.ingest.originals import choose_answers
from components.skew import measure_skew
from edgeline.reading import open as open_history
from edgeline.records.edge import ORIGINALS, ORIGINALS_FOLDER, Original
from edgeline.records.served import ASKED, SKEW, Answer, Skew
from tests.edgeline.cli.test_verify import push_with_golden

ANSWER = Answer("span-00001/a", 1, "int8", "bright", 0.0, 1.8e9, "d1", "random")


def test_the_last_few_answers_of_each_device_with_each_file_are_chosen():
    answers = [replace(ANSWER, example=f"span-00001/{n}", device=f"d{n % 3}") for n in range(60)]
    chosen = choose_answers(answers)
    assert len(chosen) == 15 and chosen[0] is answers[-1]
    assert len(choose_answers(replace(ANSWER, device=f"d{n}") for n in range(900))) == 200
    assert choose_answers([*answers[:6:3], *answers[:6:3] * 9]) == [answers[3], answers[0]]


def test_a_device_whose_scores_differ_from_those_of_the_stored_file_is_found(tmp_path):
    push_with_golden(tmp_path)
    cells = {"celsius": ("21.5", "30")}
    answer = open_history(tmp_path / "workspace").model().predict({"celsius": list(cells["celsius"])})
    score = answer["probabilities"]["bright"]
    right = replace(ANSWER, score=score)
    ASKED.write(
        tmp_path,
        (
            right,
            replace(right, device="d2", score=score - 0.25),
            replace(right, device="d3", said="dim"),  # a label that the file does not know
            replace(right, variant="fp64"),
            replace(right, version=9),
            replace(right, example="span-00001/gone"),
        ),
    )
    ORIGINALS.write(tmp_path / ORIGINALS_FOLDER, [Original("span-00001/a", cells)])
    assert list(measure_skew(str(tmp_path / "workspace/push"), "shelf", tmp_path)) == [
        Skew(1, "int8", "d1", (0.0,)),
        Skew(1, "int8", "d2", (0.25,)),
        Skew(1, "int8", "d3", (round(score, 6),)),
    ]


def test_a_score_that_is_no_number_has_the_largest_skew_and_a_record_that_can_be_read(tmp_path, monkeypatch):
    push_with_golden(tmp_path)
    monkeypatch.setattr("edgeline.bundle.Answer.ranked", {"bright": float("nan"), "dim": float("nan")})
    ASKED.write(tmp_path, (ANSWER,))
    ORIGINALS.write(tmp_path / ORIGINALS_FOLDER, [Original("span-00001/a", {"celsius": ("21.5", "30")})])
    SKEW.write(tmp_path, tuple(measure_skew(str(tmp_path / "workspace/push"), "shelf", tmp_path)))
    assert SKEW.read(tmp_path) == (Skew(1, "int8", "d1", (1.0,)),)
