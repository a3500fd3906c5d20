"""A new rule is a function and a line in a list; what it finds is where people and programs look."""

from edgeline.gates import judges
from edgeline.gates.figures import compute_metrics
from edgeline.gates.settings import EvaluationSettings
from edgeline.mlflow.run_data import collect_tags
from edgeline.records.run import Run
from edgeline.records.verdict import Finding
from edgeline.report.facts import Facts
from edgeline.report.page import render_run
from tests.edgeline.alerts.test_troubles import find
from tests.edgeline.gates import test_classes
from tests.edgeline.gates.worlds import judge

GOOD = test_classes.make_answers((90, 2, 2), (2, 40, 0), (2, 0, 40))
SENTENCE = "The moon was full while the span was taken."


def judge_moon(evidence):
    numbers = {"examples": len(evidence.answers.labels)}
    yield Finding(SENTENCE, "evaluation.moon=false", code="full_moon", numbers=numbers)


def test_a_new_rule_is_in_the_verdict_the_page_mlflow_and_an_alert(monkeypatch):
    def judge_good():
        return judge(compute_metrics(GOOD, "group", 0.01), EvaluationSettings(), GOOD)

    assert judge_good().passed
    monkeypatch.setattr(judges, "JUDGES", [*judges.JUDGES, judge_moon])
    verdict = judge_good()
    assert not verdict.passed and verdict.reasons == (SENTENCE,)
    (finding,) = verdict.blocking
    assert (finding.code, finding.setting) == ("full_moon", "evaluation.moon")
    assert finding.numbers == {"examples": 178}

    run = Run(id="run", workload="shelf", outcome="held", reasons=verdict.reasons)
    facts = Facts(run, gates=(verdict,))
    assert SENTENCE in render_run(facts, {}, None)
    assert dict(collect_tags(facts))["findings.evaluation"].split(", ")[0] == "full_moon"
    assert find(facts)["run"].why == (SENTENCE,)
