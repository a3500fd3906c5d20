"""Each rule of each gate stops a run whose next steps name a command, and after that command it lets go."""

import re
import shlex
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import get_args

import pytest
from msgspec import structs

from edgeline.gates import edge, judges
from edgeline.gates.evidence import Evidence
from edgeline.gates.figures import compute_metrics
from edgeline.gates.settings import GateRule
from edgeline.records.evaluation import Metrics
from edgeline.records.run import Run
from edgeline.records.served import PushedVersion, Served, ServedVersion
from edgeline.records.verdict import Verdict
from edgeline.report.facts import Facts
from edgeline.report.next_steps import list_next_steps
from pipeline.settings import load_settings
from tests.edgeline.gates import test_bounds, test_classes, test_edge, test_findings, test_served


def list_steps(verdict, settings):
    outcome = "refused" if verdict.gate == "data" else "held"
    run = Run(id="1", workload="shelf", outcome=outcome, data="/my data", settings=settings.recorded())
    return list_next_steps(Facts(run, gates=(verdict,)))


def assert_way_leads_out(judge, own, *settings):
    """Asserts that a gate stops a run, that its steps name the settings, and what they say lets it pass."""
    before = load_settings(own)
    verdict = judge(before)
    assert not verdict.passed
    text = " ".join(list_steps(verdict, before))
    (command,) = re.findall("`(edgeline run [^`]+)`", text)
    words = shlex.split(command)
    assert words[:6] == ["edgeline", "run", "--workload", "shelf", "--data", "/my data"]
    for setting in settings:
        assert setting in text.partition("Decided by ")[2]
    overrides = [value for word, value in pairwise(words) if word == "--set"]
    assert judge(load_settings(own, overrides=overrides)).passed


def judge_data(settings, **values):
    return test_findings.judge_window(settings.gate, **values)


@pytest.mark.parametrize("rule", test_findings.WINDOWS)
def test_each_rule_of_the_data_gate(rule):
    severity = dict.fromkeys(get_args(GateRule), "block")
    judge = partial(judge_data, **test_findings.WINDOWS[rule][1])
    assert_way_leads_out(judge, {"gate": {"severity": severity}}, f"gate.{rule}")


def test_all_rules_of_the_data_gate_that_hold_at_once():
    few = replace(test_findings.WINDOW, classes={"ok": 60, "leak": 3}, untrained=("leak",))
    judge = partial(judge_data, ingest=few, drifts=[replace(test_findings.DRIFT, distance=0.9)])
    names = ("gate.min_examples_per_class", "gate.severity.class_count", "gate.severity.large_drift")
    assert_way_leads_out(judge, {}, *names)


def judge_model(settings, answers, **metrics):
    figures = replace(compute_metrics(answers, "session", 0.01), **metrics)
    return judges.judge_model(Evidence(figures, settings.evaluation, answers))


@pytest.mark.parametrize(
    ("rows", "own", "name"),
    [
        (((90, 10, 0), (30, 0, 0), (20, 0, 0)), {"min_class_recall": 0}, "beat_majority"),
        # One right answer more than always predicting the most frequent class.
        (((53, 0, 0), (46, 1, 0), (0, 0, 0)), {"min_class_recall": 0}, "beat_majority"),
        (((145, 0, 3), (9, 12, 0), (7, 1, 0)), {}, "min_class_recall"),
        # Half of each class is called a dent, which is no better than guessing.
        (((100, 100, 0), (10, 10, 0), (0, 0, 0)), {"beat_majority": False}, "min_class_recall"),
        # No recall is required, and none is better than guessing.
        (((145, 3, 0), (9, 12, 0), (7, 1, 0)), {"min_class_recall": 0.001}, "min_class_recall"),
    ],
)
def test_each_rule_of_the_evaluation_on_classes(rows, own, name):
    judge = partial(judge_model, answers=test_classes.make_answers(*rows))
    assert_way_leads_out(judge, {"evaluation": own}, f"evaluation.{name}")


def test_bounds_that_broke_are_left_out_of_the_list_and_the_others_stay():
    own = [
        {"slice": "overall", "lower": 0.1},
        {"slice": "overall", "metric": "loss", "upper": 0.2},
        {"slice": "class", "lower": 0.9, "max_drop": 0.5},
    ]
    settings = {"evaluation": {"bounds": own, "beat_majority": False}}
    judge = partial(judge_model, answers=replace(test_bounds.make_answers(worse=30), baseline=None))
    assert_way_leads_out(judge, settings, "evaluation.bounds[1].upper", "evaluation.bounds[2].lower")
    before = load_settings(settings)
    (command,) = re.findall("evaluation.bounds=([^']+)'", " ".join(list_steps(judge(before), before)))
    kept = load_settings({}, overrides=[f"evaluation.bounds={command}"]).evaluation.bounds
    assert [(bound.slice, bound.lower, bound.max_drop) for bound in kept] == [
        ("overall", 0.1, None),
        ("class", None, 0.5),
    ]


def judge_beside_production(settings, answers):
    production = compute_metrics(replace(answers, candidate=answers.baseline), "session", 0.01)
    return judge_model(settings, answers, baseline=production.candidate, baseline_version=1)


def test_a_drop_below_production_and_a_group_that_is_lost():
    answers = test_bounds.make_answers(worse=30)
    groups = replace(answers, groups=answers.labels * 0 + (answers.labels == 1), group_names=("a", "b"))
    settings = {
        "evaluation": {"bounds": [{"slice": "overall", "max_drop": 0.02}], "group_right_after": 0.6},
    }
    names = ("evaluation.bounds[0].max_drop", "evaluation.group_right_after", "evaluation.beat_majority")
    assert_way_leads_out(partial(judge_beside_production, answers=groups), settings, *names)


def test_a_model_that_is_surely_worse_than_a_production_that_cannot_answer():
    answers = replace(test_bounds.make_answers(worse=30), baseline=None)

    def judge(settings):
        figures = replace(compute_metrics(answers, "session", 0.01), baseline_version=7)
        pushed = {7: PushedVersion("2026-10-05T09:12:33Z", {"overall": {"all": 0.95}})}
        return judges.judge_model(
            Evidence(figures, settings.evaluation, answers, mismatch="It reads d.", pushed=pushed)
        )

    own = {"bounds": [{"slice": "overall", "max_drop": 0.02}], "beat_majority": False, "min_class_recall": 0}
    assert_way_leads_out(judge, {"evaluation": own}, "evaluation.bounds[0].max_drop")


def test_a_window_whose_every_eval_example_has_a_near_twin():
    answers = test_bounds.make_answers(worse=30)

    def judge(settings):
        nothing = answers if settings.gate.severity["twins"] != "off" else None
        figures = compute_metrics(answers, "session", 0.01)
        return judges.judge_model(
            Evidence(figures, settings.evaluation, answers, None, nothing, gate=settings.gate)
        )

    # The rules that would hold the model after that are named at once.
    assert_way_leads_out(judge, {}, "gate.severity.twins", "evaluation.beat_majority")


def test_a_production_that_is_bad_in_the_field():
    served = Served((ServedVersion(7, test_served.tally(120, 200)),))

    def judge(settings):
        pushed, metrics = {7: test_served.PUSHED}, Metrics({}, baseline_version=7, group="session")
        return test_served.judge_answers_of_phones(served, pushed, metrics, settings.evaluation.served)

    own = {"evaluation": {"served": [{"lower": 0.9}, {"max_drop": 0.01}]}}
    assert_way_leads_out(judge, own, "evaluation.served")


WORST = structs.replace(
    test_edge.GOOD,
    max_difference=0.3,
    size_bytes=9_000_000,
    peak_memory_bytes=90_000_000,
    input_saturation=0.4,
    output_saturation=0.6,
    unlike_difference=0.5,
    cold_start_ms=900.0,
)


def judge_files(settings, files):
    findings = []
    for name, measured in files.items():
        evidence = test_edge.make_evidence(wrong=100 if measured is WORST else 0)
        if not settings.model.unlike:
            measured = structs.replace(measured, unlike_difference=None)
        judged = edge.judge_edge_file(measured, settings.edge, evidence)
        findings += [replace(finding, file=name) for finding in judged]
    passed = {*files} - {finding.file for finding in findings if finding.severity == "block"}
    return Verdict("edge", "pass") if passed else Verdict.of("edge", findings)


def test_all_limits_of_a_file_for_phones():
    limits = {
        "max_latency_ms": 1.0,
        "max_ms": {"p99": 2, "cold_start": 3},
        "max_memory_mb": 1,
        "max_difference": 0.1,
        "max_input_saturation": 0.1,
        "max_output_saturation": 0.1,
    }
    names = ("min_agreement", "max_accuracy_drop", "max_size_mb", *limits)
    own = {"edge": limits, "model": {"unlike": True}}
    judge = partial(judge_files, files={"fp32": WORST})
    assert_way_leads_out(judge, own, "model.unlike", *(f"edge.{name}" for name in names))


def test_of_several_files_the_one_that_needs_the_fewest_settings_is_let_through():
    large = structs.replace(test_edge.GOOD, size_bytes=9_000_000)
    broken = structs.replace(test_edge.GOOD, finite=False)
    own = {"model": {"unlike": True}}
    judge = partial(judge_files, files={"int8": broken, "fp16": WORST, "fp32": large})
    assert_way_leads_out(judge, own, "edge.max_size_mb")
    before = load_settings(own)
    text = " ".join(list_steps(judge(before), before))
    assert "edge.max_size_mb (5.0)" in text and "edge.min_agreement" not in text
    # No setting lets a file through that answers no numbers.
    assert "edgeline run" not in " ".join(list_steps(judge_files(before, {"int8": broken}), before))
