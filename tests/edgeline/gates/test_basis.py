from dataclasses import replace

import pytest

from edgeline.gates.evidence import Evidence
from edgeline.gates.figures import compute_metrics
from edgeline.gates.judges import judge_model
from edgeline.gates.settings import EvaluationSettings
from tests.edgeline.gates.test_bounds import make_answers

PLACES = "of the same places as in training"
DIGESTS = [f"{number:032x}" for number in range(100)]


@pytest.mark.parametrize(
    "groups, is_told",
    [
        ([digest[:16] for digest in reversed(DIGESTS)], True),
        ([f"{digest[:16]}-eval" for digest in reversed(DIGESTS)], True),
        ([f"{digest}.jpg" for digest in DIGESTS], True),
        ([f"visit {number}" for number in range(100)], False),
        ([f"alone span-00001/{digest}.jpg" for digest in DIGESTS], False),
    ],
    ids=["of an import", "of an import with splits", "of none", "of a manifest", "no groups"],
)
def test_figures_on_sessions_that_no_source_named_are_of_the_same_places_as_in_training(groups, is_told):
    ids = tuple(f"span-00001/{digest}.jpg" for digest in DIGESTS)
    answers = replace(make_answers(worse=0), baseline=None, group_names=tuple(groups), ids=ids)
    metrics = compute_metrics(answers, "session", 0.01)
    verdict = judge_model(Evidence(metrics, EvaluationSettings(), answers))
    assert (PLACES in verdict.reasons[0]) == is_told
    assert [PLACES in warning for warning in verdict.warnings] == [True] * is_told
