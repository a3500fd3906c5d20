from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components.label_issues import Judged, find_cleared
from tests.components.test_importance import WORKLOAD, make_rows, saved_model  # noqa: F401
from tests.components.test_simple_models import write_split

pytestmark = pytest.mark.e2e


def test_a_suspect_of_a_simple_model_is_cleared_where_the_network_gives_its_label_too(
    saved_model: str,  # noqa: F811
    tmp_path: Path,
):
    rows = make_rows(40)
    mislabelled = [{**row, "label": "no"} if row["example_id"] == "011" else row for row in rows]
    folder = write_split(tmp_path / "train", mislabelled)
    ids = [row["example_id"] for row in rows]
    labels = np.array([WORKLOAD.labels.index(row["label"]) for row in mislabelled])
    # The simple model is wrong on the example 007, and right on the one with a wrong label.
    answers = np.eye(2)[[number % 2 if number != 7 else 0 for number in range(40)]]
    judged = Judged("a simple model", "train", ids, labels, answers)

    assert {issue.example for issue in judged.find_issues(WORKLOAD.labels)} == {"007", "011"}
    assert find_cleared(judged, saved_model, folder, WORKLOAD) == {"007"}
    none = replace(judged, probabilities=np.eye(2)[labels])
    assert find_cleared(none, saved_model, folder, WORKLOAD) == set()
