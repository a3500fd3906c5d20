"""A version is judged by its answers that were drawn at random, if enough of them came back."""

import pytest

from edgeline.gates.evidence import Evidence
from edgeline.gates.served import judge_production, judge_served, judge_served_versions
from edgeline.gates.settings import EvaluationSettings, ServedBound
from edgeline.records.evaluation import Metrics
from edgeline.records.served import PushedVersion, Served, ServedVersion, Tally
from edgeline.records.training import Estimate
from edgeline.records.verdict import Verdict

PUSHED = PushedVersion("2026-10-05T09:00:00Z", {"overall": {"all": 0.95}, "class": {"ok": 0.99}})


def tally(right, checked, groups=10):
    hits = [n < right for n in range(checked)]
    return Tally(9 * checked, 0.9, checked, Estimate.of(hits, [n % groups for n in range(checked)]))


def judge(served, *bounds, pushed=PUSHED):
    return judge_served(7, served, bounds, pushed, "session")


def judge_answers_of_phones(served, pushed, metrics, bounds):
    """Returns the verdict by what phones answered alone."""
    evidence = Evidence(metrics, EvaluationSettings(served=bounds), None, served=served, pushed=pushed)
    return Verdict.of("evaluation", [*judge_served_versions(evidence), *judge_production(evidence)])


def test_a_drop_is_measured_from_the_eval_accuracy_at_the_push():
    served, bound = ServedVersion(7, tally(160, 200)), ServedBound(max_drop=0.05)
    assert judge(served, bound).result == "bad"
    assert judge(served, ServedBound(max_drop=0.2)).result == "good"
    assert judge(served, bound, pushed=None).result == "too_few"
    assert judge(served, ServedBound(max_drop=0.05, lower=0.1), pushed=None).result == "good"


@pytest.mark.parametrize(("on_eval", "right"), [(0.9, 160), (0.6000000238, 100)])
def test_an_accuracy_at_the_bound_keeps_it_though_metrics_are_rounded(on_eval, right):
    pushed = PushedVersion("2026-10-05T09:00:00Z", {"overall": {"all": on_eval}})
    assert (
        judge(ServedVersion(7, tally(right, 200)), ServedBound(max_drop=0.1), pushed=pushed).result == "good"
    )


def test_each_slice_is_judged_and_small_ones_are_left_out():
    classes = {"ok": tally(150, 200), "bad": tally(0, 20), "worn": tally(95, 100)}
    served = ServedVersion(7, tally(240, 300), slices={"class": classes})
    verdict = judge(served, ServedBound(lower=0.7), ServedBound(slice="class", lower=0.9))
    assert (verdict.result, verdict.slices) == ("bad", ("served class ok",)) and len(verdict.sentences) == 1
    assert judge(served, ServedBound(slice="class", max_drop=0.3)).result == "good"


def test_few_groups_are_too_few_and_so_is_nothing():
    bound = ServedBound(lower=0.9)
    for served in (ServedVersion(7, tally(50, 100, groups=2)), ServedVersion(7, Tally(9, 0.9)), None):
        verdict = judge(served, bound)
        assert verdict.result == "too_few" and "at least 50 on 3 sessions required." in verdict.sentences[0]
    two_are_enough = ServedBound(lower=0.9, min_groups=2)
    assert judge(ServedVersion(7, tally(50, 100, groups=2)), two_are_enough).result != "too_few"
    assert judge(ServedVersion(7, tally(200, 200))).sentences == (
        "evaluation.served has no bound that blocks.",
    )


def test_a_bound_needs_a_limit_and_the_one_by_default_warns_and_holds_nothing():
    metrics = Metrics({}, baseline_version=7)
    for right, warnings in ((160, 1), (180, 0), (195, 0)):
        served = Served((ServedVersion(7, tally(right, 200)),))
        verdict = judge_answers_of_phones(served, {7: PUSHED}, metrics, EvaluationSettings().served)
        assert (verdict.passed, len(verdict.warnings)) == (True, warnings)
    # Most weeks have too few answers to judge.
    assert judge_answers_of_phones(Served(), {}, metrics, EvaluationSettings().served).warnings == ()
    with pytest.raises(ValueError, match="has no effect"):
        ServedBound(slice="class")
