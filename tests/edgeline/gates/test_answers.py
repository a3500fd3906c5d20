from dataclasses import replace

import numpy as np

from edgeline.gates.answers import gather_answers
from edgeline.records.edge import Prediction
from edgeline.records.workload import Workload

SHELF = Workload("shelf", "", "", "", labels=("ok", "misplaced", "damaged"), normal="ok")


def test_predictions_become_answers_with_groups_and_slices_and_without_a_baseline():
    lines = [
        Prediction("b", "damaged", (0.1, 0.1, 0.8), {"lane": "lane-01"}, 2, "s-2"),
        Prediction("a", "ok", (None, 0.1, 0.8), {"lane": "lane-02"}, 1, "s-2"),
        Prediction("c", "ok", (0.9, 0.1, 0.0), {"lane": "lane-01"}, 2),
    ]
    answers = gather_answers(lines, SHELF)
    assert (answers.labels.tolist(), answers.normal, answers.baseline) == ([0, 2, 0], 0, None)
    assert gather_answers(lines, replace(SHELF, normal="")).normal is None
    assert answers.groups.tolist() == [1, 1, 0] and answers.group_names == ("alone c", "s-2")
    assert answers.find_right(answers.candidate).tolist() == [False, True, True]
    assert answers.of("lane", "lane-01").tolist() == [False, True, True]
    assert answers.of("span", "1").tolist() == [True, False, False]
    some = replace(answers, baseline=answers.candidate).take(np.array([2, 0]))
    assert (some.ids, some.groups.tolist()) == (("c", "a"), [0, 1])
    np.testing.assert_array_equal(some.baseline, answers.candidate[[2, 0]])
    assert {key: here.tolist() for key, here in some.slices.items()} == {
        ("lane", "lane-01"): [0],
        ("lane", "lane-02"): [1],
        ("span", "1"): [1],
        ("span", "2"): [0],
    }
    assert answers.take(np.array([0])).slices.keys() == {("lane", "lane-02"), ("span", "1")}
