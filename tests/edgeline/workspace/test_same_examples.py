import pytest
from msgspec.structs import replace

from edgeline.intervals import compute_wilson_interval
from edgeline.records.edge import PREDICTIONS, Prediction
from edgeline.records.evaluation import REVIEWED
from edgeline.records.ingest import INGEST, Ingest
from edgeline.report.sources import Sources
from edgeline.workspace.same_examples import compare_slices


@pytest.fixture
def answer(tmp_path):
    """Writes the answers of a run to examples, each right or wrong as `right` has it."""

    def make(run, right, sessions=None, begin=0):
        folder, lines = tmp_path / run, []
        for number, (is_right, group) in enumerate(zip(right, sessions or [""] * len(right), strict=True)):
            scores, lane = (0.9, 0.1) if is_right else (0.2, 0.8), f"lane-{number % 2}"
            lines.append(Prediction(f"{begin + number}.jpg", "ok", scores, {"lane": lane}, 3, group))
        PREDICTIONS.write(folder / "verdict", lines)
        INGEST.write(folder / "ingest", Ingest(classes={"ok": 50, "bad": 50}))
        return Sources(quarantine=folder / "ingest", edge_verdict=folder / "verdict")

    return make


def compare(first, second):
    pairs, examples = compare_slices(first, second)
    return pairs[0].verdict, examples


def test_a_model_that_turned_many_answers_right_is_better_and_the_other_way_round_worse(answer):
    first, second = answer("a", [False] * 10 + [True] * 40), answer("b", [True] * 50)
    assert compare(first, second) == ("better", 50)
    assert compare(second, first) == ("worse", 50)


def test_equal_answers_to_labels_that_a_person_corrected_are_no_improvement(answer):
    corrected, before = answer("b", [True] * 50), answer("a", [True] * 50)
    lines = list(PREDICTIONS.read(before.edge_verdict))
    PREDICTIONS.write(before.edge_verdict, [replace(line, label="bad") for line in lines[:10]] + lines[10:])
    assert compare(before, corrected) == ("noise", 40)


def test_answers_that_changed_to_both_sides_are_noise_and_so_are_five_that_changed_to_one(answer):
    assert compare(answer("a", [False] * 5), answer("b", [True] * 5)) == ("noise", 5)
    first = answer("a", [True] * 10 + [False] * 9 + [True] * 31)
    assert compare(first, answer("b", [False] * 10 + [True] * 40)) == ("noise", 50)


def test_photos_of_one_session_count_as_one_group(answer):
    first = [False] * 10 + [True] * 40
    sessions = ["one"] * 10 + [f"s{number}" for number in range(40)]
    before, after = answer("a", first), answer("b", [True] * 50, sessions)
    assert compare(before, after) == ("noise", 50)
    overall = compare_slices(before, after)[0][0]
    # Ten photos of one session say little about other sessions.
    assert overall.first.groups == 41 and overall.first.low < compute_wilson_interval(40, 50)[0]


def test_each_slice_is_measured_on_what_both_answered(answer):
    first, second = answer("a", [False] * 6 + [True] * 44), answer("b", [True] * 50, begin=2)
    pairs, examples = compare_slices(first, second)
    assert examples == 48
    assert [pair.kind for pair in pairs] == ["overall", "class", "span", "lane", "lane"]
    assert [pair.name for pair in pairs] == ["all", "ok", "3", "lane-0", "lane-1"]
    assert pairs[0].first.accuracy == pytest.approx(44 / 48) and pairs[0].second.accuracy == 1.0
    assert pairs[3].second.examples == 24


def test_rows_of_a_file_that_was_written_again_are_not_the_same_examples(answer):
    def write(run, bad=0, reviewed=()):
        side = answer(run, [True] * 50)
        lines = PREDICTIONS.read(side.edge_verdict)
        rows = [
            replace(line, example_id=f"span-00001/a.csv:{n}", label="bad" if n < bad else "ok")
            for n, line in enumerate(lines)
        ]
        PREDICTIONS.write(side.edge_verdict, rows)
        REVIEWED.write(side.quarantine, reviewed)
        return side

    assert compare(write("a"), write("b")) == ("noise", 50)
    assert compare(write("a"), write("c", 1, ("span-00001/a.csv:0",))) == ("noise", 49)
    assert compare_slices(write("a"), write("d", 1)) == ((), 0)


def test_runs_that_share_few_eval_examples_or_have_no_readable_answers_are_not_compared_on_them(answer):
    assert compare_slices(answer("a", [True] * 50), answer("b", [True] * 50, begin=26)) == ((), 0)
    good, damaged = answer("a", [True] * 10), answer("b", [True] * 10)
    (damaged.edge_verdict / "predictions.jsonl").write_text("{")
    assert compare_slices(good, damaged) == compare_slices(Sources(), good) == ((), 0)
