"""Each finding of each rule, whole, where its limit is just broken; and nothing where it is just kept.

`findings.txt` has them for people to read from top to bottom; after a change of one, see CONTRIBUTING.md.
"""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from msgspec import structs

from edgeline.gates import basis, bounds, classes, comparison, data, edge, judges, label_issues, served
from edgeline.gates.evidence import Evidence
from edgeline.gates.figures import compute_metrics
from edgeline.gates.majority import judge_majority
from edgeline.gates.regressions import judge_drops, judge_lost_groups
from edgeline.gates.settings import Bound, EdgeLimits, EvaluationSettings, GateSettings, ServedBound
from edgeline.gates.simple import judge_simple_models
from edgeline.records.edge import Latency
from edgeline.records.evaluation import Importance, PhotoDrift, SimpleModel
from edgeline.records.ingest import BrokenRule, Ingest, Span, Twin, Twins
from edgeline.records.served import PushedVersion, Served, ServedVersion, Skew
from edgeline.records.verdict import Anomaly, Drift, Finding, Shift
from tests.edgeline.gates import test_bounds, test_classes, test_edge, test_served

GOLDEN = Path(__file__).with_name("findings.txt")


def render_findings(title, findings):
    """Returns a title, and below it each finding with its fields that differ from a bare one."""
    bare, lines = Finding(""), [title]
    for finding in findings:
        values = {field.name: getattr(finding, field.name) for field in fields(Finding)[1:]}
        values["numbers"] = {name: float(f"{number:.6g}") for name, number in finding.numbers.items()}
        told = [f"{name}: {value}" for name, value in values.items() if value != getattr(bare, name)]
        lines += [f"- {finding.sentence}", f"  {'; '.join(told)}"]
    return "\n".join(lines) if findings else f"{title}: nothing"


# 15 of 60 examples `ok` and 15 of 40 `damaged` are wrong: an accuracy of 0.7, recalls of 0.75 and 0.625.
SOME_WRONG = replace(test_bounds.make_answers(worse=15), normal=0)
SURE, DOUBTFUL = (test_bounds.make_answers(*wrong) for wrong in ((30,), (4, 3)))
ANY = Bound(slice="overall", lower=0)  # so that the next one is not the first of its list
PUSHED = PushedVersion("2026-10-05T09:00:00Z", {"overall": {"all": 0.95}, "span": {"41": 0.5, "42": 0.9}})


def group(answers, groups, names=()):
    return replace(answers, groups=np.asarray(groups), group_names=names or answers.group_names)


def judge(rule, answers, gate=None, metrics=None, first=True, **settings):
    """Returns the findings of a rule; where `first`, nothing is in production. Evidence ends with `_`."""
    evidence = {name[:-1]: settings.pop(name) for name in [*settings] if name.endswith("_")}
    if first:
        answers = replace(answers, baseline=None)
    figures = replace(compute_metrics(answers, "session", 0.01), **(metrics or {}))
    gate = GateSettings(severity=gate or {})
    return [*rule(Evidence(figures, EvaluationSettings(**settings), answers, gate=gate, **evidence))]


def judge_basis():
    nine, ten = (group(SOME_WRONG, np.arange(100) % count) for count in (9, 10))
    folds = {"out_of_fold": compute_metrics(nine, "session", 0.01)}
    twins = {"without_twins": compute_metrics(nine, "session", 0.01)}
    yield "All examples have near twins", judge(basis.judge_twins, nine, without_twins_=nine)
    yield "Some examples have none", judge(basis.judge_twins, nine, metrics=twins, without_twins_=nine)
    yield "9 sessions", judge(basis.judge_few_groups, nine)
    yield "1 session", judge(basis.judge_few_groups, group(nine, nine.groups * 0))
    yield "9 sessions, out of fold", judge(basis.judge_few_groups, nine, metrics=folds, out_of_fold_=nine)
    yield "10 sessions", judge(basis.judge_few_groups, ten)


def judge_bounds():
    def judge_bound(slice="overall", answers=SOME_WRONG, **bound):
        return judge(bounds.judge_bounds, answers, bounds=(ANY, Bound(slice=slice, **bound)))

    broken = replace(SOME_WRONG, candidate=SOME_WRONG.candidate * np.float32(np.nan))
    yield "An accuracy at its lower bound", judge_bound(lower=0.7)
    yield "An accuracy below it", judge_bound(lower=0.70001)
    yield "An accuracy at its upper bound", judge_bound(upper=0.7)
    yield "An accuracy above it", judge_bound(upper=0.69999)
    yield "No accuracy", judge_bound(answers=broken, metric="loss", lower=0, upper=1000)
    yield "A recall below its bound", judge_bound("class", lower=0.7, min_support=40)
    sessions = group(SOME_WRONG, SOME_WRONG.labels)
    yield "A recall of one session", judge_bound("class", answers=sessions, lower=0.7)
    yield "The recall of a class that is too small to judge", judge_bound("class", lower=0.7, min_support=41)
    yield "An F1 of a slice below its bound", judge_bound("lane", metric="f1", lower=0.7)
    three = group(SOME_WRONG, np.arange(100) % 3)
    yield "AUC of three sessions", judge_bound(answers=three, metric="auc", lower=0.7)
    yield "Recall at false alarms", judge_bound(metric="recall_at_false_alarms", lower=0.7)


def judge_regressions():
    def judge_drop(answers, slice="overall", **bound):
        limits = (ANY, Bound(slice=slice, **bound))
        return judge(judge_drops, answers, first=False, bounds=limits)

    broken = replace(SURE, candidate=SURE.candidate * np.float32(np.nan))
    yield "A drop at its limit", judge_drop(SURE, max_drop=0.6)
    yield "A drop beyond it", judge_drop(SURE, max_drop=0.59999)
    yield "A drop that may be noise", judge_drop(DOUBTFUL, "class", max_drop=0.02)
    yield "A loss", judge_drop(SURE, metric="loss", max_drop=1)
    yield "A loss that is no number", judge_drop(broken, metric="loss", max_drop=1)
    dead = test_bounds.sessions(20, 50, dead=2)
    yield "A large drop in 2 of 20 sessions", judge_drop(dead, max_drop=0.02)
    yield "A drop in them that counts as small", judge_drop(dead, max_drop=0.03)
    limits = (ANY, Bound(slice="overall", max_drop=0.02))
    found = judge(judge_drops, dead, first=False, bounds=limits, large_drop=5)
    yield "A drop of less than 5 times the limit, where that is large", found

    def judge_old_file(evidence):
        return judges.judge_file(evidence.answers, evidence.settings, "machine")

    limits = (Bound(slice="overall", max_drop=0.02),)
    yield "A file beside that in production", judge(judge_old_file, SURE, first=False, bounds=limits)

    halves = group(test_bounds.make_answers(30, 4), np.repeat((0, 1), (60, 40)), ("a", "b"))
    for before, after in ((0.9, 0.25), (0.9, 0.249), (0.91, 0.25)):
        limits = {"group_right_after": after, "group_right_before": before}
        name = f"Groups of 40 and 60, where {before} was right, and {after} is"
        yield name, judge(judge_lost_groups, halves, first=False, **limits)


def judge_classes():
    def judge_confusion(*rows, answers=None, metrics=None, **settings):
        answers = answers or test_classes.make_answers(*rows)
        return judge(classes.judge_classes, answers, metrics=metrics, **settings)

    rare = test_classes.make_answers((90, 5, 0), (0, 5, 0), (5, 0, 0))
    rare = group(rare, np.where(rare.labels == 2, 0, np.arange(105)))
    folds = {"out_of_fold": compute_metrics(rare, "session", 0.01)}
    yield "Recalls at their limit", judge_confusion((7, 3, 0), (0, 10, 0), (0, 0, 5), min_class_recall=0.7)
    yield "A recall below it", judge_confusion((7, 2, 1), (0, 10, 0), (0, 0, 5), min_class_recall=0.70001)
    yield "A class that is guessed", judge_confusion((50, 50, 0), (10, 10, 0), (0, 0, 0))
    found = judge_confusion(answers=rare, metrics=folds, out_of_fold_=rare)
    yield "A class of one session, out of fold", found
    found = judge_confusion((90, 0, 0), (0, 4, 0), (5, 0, 0))
    yield "A class of 4 examples, and one that is never found", found


def judge_majorities():
    for worse in (20, 19):
        answers = test_bounds.make_answers(worse)
        name = f"An accuracy of {1 - worse / 50:.2f} where 0.6 are of one class"
        yield f"{name}, first model", judge(judge_majority, answers)
        yield f"{name}, later model", judge(judge_majority, answers, first=False)
    yield "An accuracy of 0.7 where 0.6 are of one class", judge(judge_majority, SOME_WRONG)
    yield "The same, doubted less", judge(judge_majority, SOME_WRONG, confidence=0.9)


def judge_simple():
    for no_better in (0.0249, 0.0251):
        best = SimpleModel("vote", 0.95, 0.9, 1.0, no_better, network=0.9, answered=2_000)
        simple = {"simple_models": (SimpleModel("rule", 0.6, 0.5, 0.7), best)}
        name = f"One of two simple models is better but in {no_better} of resamples"
        yield name, judge(judge_simple_models, SOME_WRONG, metrics=simple)
    sole = {"simple_models": (SimpleModel("rule", 0.6, 0.5, 0.7),)}
    yield "A simple model that is beaten", judge(judge_simple_models, SOME_WRONG, metrics=sole)


def judge_inputs():
    for columns in ("a", "ab"):
        effects = (*(Importance(name, 0, 0, 0.9e-6) for name in columns), Importance("c", 0, 0, 1e-6))
        found = judge(basis.judge_columns, SOME_WRONG, metrics={"importance": effects})
        yield f"Columns without an effect: {len(columns)}", found
    for low in (0.03, 0.031):
        drift = PhotoDrift("span-00002", 50, 0.1, low, 0.2)
        found = judge(basis.judge_photo_drift, SOME_WRONG, photo_drift_=drift)
        yield f"Photos unlike others, from {low}", found
    bad = {"span-00002": "Labels of span-00002 look wrong."}
    for severity in ("warn", "block", "off"):
        labels = {"labels": severity}
        found = judge(label_issues.judge_label_issues, SOME_WRONG, labels, bad_spans_=bad)
        yield f"Suspect labels, {severity}", found


def judge_good():
    def list_grounds(metrics=None, first=True, **evidence):
        def list_reasons(evidence):
            verdict = judges.judge_model(evidence)
            yield from (Finding(reason, code=verdict.result) for reason in verdict.reasons)

        return judge(list_reasons, SOME_WRONG, metrics=metrics, first=first, beat_majority=False, **evidence)

    folds = {"out_of_fold": compute_metrics(test_bounds.make_answers(worse=10), "session", 0.01)}
    yield "The first model", list_grounds()
    yield "A later model", list_grounds(first=False)
    yield "A model whose production cannot answer", list_grounds({"baseline_version": 7})
    yield "A model out of fold", list_grounds(folds, out_of_fold_=SOME_WRONG)


def judge_comparisons():
    def judge_old(most=0.02, pushed=PUSHED, **evidence):
        limits = (ANY, Bound(slice="overall", max_drop=most))
        metrics = {"baseline_version": 7}
        rule, answers = comparison.judge_comparison, test_bounds.make_answers(worse=30)
        return judge(rule, answers, metrics=metrics, bounds=limits, pushed_={7: pushed}, **evidence)

    overall = PushedVersion("2026-10-05T09:00:00Z", {"overall": {"all": 0.95}})
    yield "Production has other labels", judge_old(relabelled_="It answers with good.")
    yield "Production cannot answer", judge_old(mismatch_="It reads d.")
    found = judge_old(mismatch_="It reads d.", pushed=overall)
    yield "Production cannot answer, and was of other spans", found
    none = replace(PUSHED, accuracy={})
    yield "Production cannot answer, and had no accuracy", judge_old(mismatch_="It reads d.", pushed=none)
    yield "Production cannot answer, and may be as good", judge_old(0.5, mismatch_="It reads d.")


def judge_phones():
    def judge_answers(rule, version=7, right=120, checked=200, pushed=PUSHED, bounds=()):
        answers = Served((ServedVersion(version, test_served.tally(right, checked)),))
        metrics, pushed = {"baseline_version": 7}, {7: pushed}
        return judge(rule, SOME_WRONG, metrics=metrics, served=bounds, served_=answers, pushed_=pushed)

    damaged, none = PushedVersion("", damage="manifest.json: found no file."), PushedVersion("")
    yield "A version that was never pushed", judge_answers(served.judge_served_versions, 9)
    yield "A version that is damaged", judge_answers(served.judge_served_versions, pushed=damaged)
    for severity in ("block", "warn"):
        bound = ServedBound(lower=0.9, severity=severity)
        name = f"Phones were right on %s, where 180 of 200 are required ({severity})"
        for right in (120, 175, 180):
            yield name % right, judge_answers(served.judge_production, right=right, bounds=(bound,))
        yield f"49 answers ({severity})", judge_answers(served.judge_production, checked=49, bounds=(bound,))
    drops = (ServedBound(max_drop=0.05),)
    for name, pushed in (("a", PUSHED), ("a damaged", damaged), ("an unknown", none)):
        found = judge_answers(served.judge_production, pushed=pushed, bounds=drops)
        yield f"A drop from {name} release", found
    scores = (0.05, 0.0501, 0.3, 0.3, 0.3, 0.3, 0.3)
    skews = [Skew(7, "int8", f"d{number}", (0.05, most)) for number, most in enumerate(scores)]
    skews.append(Skew(7, "fp16", "d9", (0.2,)))
    found = judge(served.judge_skew, SOME_WRONG, skews_=skews, max_served_difference=0.05)
    yield "Scores of phones", found


SPAN, OLDER = Span("span-00002", 2, 50, 50), Span("span-00001", 1, 50, 50)
WINDOW = Ingest({"train": 80, "eval": 20}, {"ok": 60, "leak": 40}, (OLDER, SPAN), noun="reading")
DRIFT = Drift("light", 0.2, 0.1, "mean 5", "mean 3", span="span-00002")
CONSTANT = replace(DRIFT, turned_constant=True)
NEW_WORDS = replace(DRIFT, distance=0.0, expected_unseen=0.1, new=("qzx", "vvw"))
PAIRS = tuple(Twin(f"span-00002/{n}.jpg", f"span-00001/{n}.jpg") for n in range(4))


def lose(rows, noun="reading", **rejected):
    week = Span("span-00002", 2, rows, rows - sum(rejected.values()), rejected=rejected, usable=rows)
    return {"ingest": replace(WINDOW, spans=(OLDER, week), noun=noun)}


def count_rows(*rows):
    return {"ingest": replace(WINDOW, spans=tuple(Span(f"span-{n:05d}", n, of) for n, of in enumerate(rows)))}


# By the setting that lets them pass, windows: one that just keeps a rule, one that breaks it, and others.
WINDOWS = {
    "severity.schema": [
        {},
        {"anomalies": [Anomaly("light", "Out of range.", ("train",), ("span-00002",))]},
    ],
    "severity.drift": [{"drifts": [replace(DRIFT, distance=0.1)]}, {"drifts": [DRIFT]}],
    "severity.large_drift": [
        {"drifts": [replace(DRIFT, distance=0.3)]},
        {"drifts": [replace(CONSTANT, distance=0.31)]},
        {"drifts": [replace(DRIFT, distance=0.8, threshold=0.5)]},
    ],
    "severity.label_shift": [{}, {"drifts": [replace(DRIFT, feature="label")]}],
    "min_examples_per_class": [
        {"ingest": replace(WINDOW, classes={"ok": 60, "leak": 20})},
        {"ingest": replace(WINDOW, classes={"ok": 0, "leak": 19})},
    ],
    "severity.class_count": [{}, {"ingest": replace(WINDOW, untrained=("leak",))}],
    "severity.empty_span": [{}, {"ingest": replace(WINDOW, spans=(OLDER, Span("span-00002", 2, 0, 0)))}],
    "max_quarantine_fraction": [
        lose(100, corrupt=5),
        lose(100, corrupt=6),
        lose(100, "text", duplicate=6, corrupt=6),
        lose(100, "text", duplicate=7, corrupt=6),
        lose(100, "photo", duplicate=7),
    ],
    "severity.missing_value": [{}, {"drifts": [replace(DRIFT, distance=0.0, gone=("m-03", "m-07"))]}],
    "severity.unknown_tokens": [
        {"drifts": [replace(NEW_WORDS, unseen=0.1 + GateSettings().max_unknown_token_fraction)]},
        {"drifts": [replace(NEW_WORDS, unseen=0.16)]},
    ],
    "severity.row_count": [
        count_rows(90, 90, 9),
        count_rows(90, 80, 9000, 9),
        count_rows(90, 90, 90, 9.1),
        count_rows(90, 90, 90, 900),
    ],
    "severity.constant": [{"drifts": [DRIFT]}, {"drifts": [replace(CONSTANT, distance=0.1)]}],
    "severity.swapped": [{}, {"shifts": [Shift("span-00002", "swapped", ("a", "b"))]}],
    "severity.joint_drift": [
        {"drifts": [DRIFT], "shifts": [Shift("span-00002", "joint", ("a", "light"), 2.0)]},
        {"shifts": [Shift("span-00002", "joint", ("a", "b"), 2.0)]},
    ],
    "severity.rule": [
        {"broken": [BrokenRule("span-00001", "rows > 99", "block", 50)]},
        {"broken": [BrokenRule("span-00002", "rows > 99", "block", 50)]},
        {"broken": [BrokenRule("span-00002", "a required", "block", 5000, 2, ("t:1", "t:2"))]},
        {"broken": [BrokenRule("span-00002", "a required", "warn", 5000, 3, ("t:1", "t:2"))]},
    ],
    "max_twin_fraction": [{"twins": Twins(40, PAIRS)}, {"twins": Twins(39, PAIRS, 80)}],
    "severity.served": [{}, {"served": Served(warnings=("Rows that are not answers: 1.",))}],
}


def judge_window(gate, ingest=WINDOW, **values):
    return data.judge_data(data.Week(ingest, gate, **values))


def judge_windows():
    for setting, windows in WINDOWS.items():
        for number, values in enumerate(windows, 1):
            yield f"gate.{setting} {number}", judge_window(GateSettings(), **values).findings


SLOW = structs.replace(test_edge.GOOD, latency=Latency(50.0, 80.0, 100), max_difference=0.1)
FULL = structs.replace(
    SLOW,
    size_bytes=5_000_000,
    peak_memory_bytes=9_000_000,
    input_saturation=0.3,
    output_saturation=0.6,
    unlike_difference=0.08,
    cold_start_ms=120.0,
    under_load=True,
)


def judge_files():
    def judge_file(measured=SLOW, limits=(), **answers):
        return edge.judge_edge_file(measured, EdgeLimits(**dict(limits)), test_edge.make_evidence(**answers))

    kept = {"max_memory_mb": 9, "max_difference": 0.1, "max_input_saturation": 0.3}
    kept |= {"max_output_saturation": 0.6, "max_ms": {"cold_start": 120, "p99": 80}, "max_latency_ms": 50}
    broken = {name: value if name == "max_ms" else value * 0.999 for name, value in kept.items()}
    broken["max_ms"] = {"cold_start": 119.9, "p99": 79.9}
    worse = structs.replace(FULL, size_bytes=5_000_001, unlike_difference=0.081)
    slow = structs.replace(SLOW, latency=Latency(50.1, 80.0, 100))
    loose = {"max_accuracy_drop": 1}
    sessions = np.repeat([0, 1], [60, 140])

    yield "A file at its limits", judge_file(FULL, kept)
    yield "A file beyond them", judge_file(worse, broken)
    yield "A file that is slow, where no limit is set", judge_file(slow)
    yield "The same under load", judge_file(structs.replace(slow, under_load=True))
    yield "No numbers", judge_file(structs.replace(slow, finite=False))
    yield "No number for unlike", judge_file(structs.replace(SLOW, unlike_difference=float("nan")))
    yield "An agreement at its limit", judge_file(limits=loose, wrong=10)
    yield "An agreement below it", judge_file(limits={**loose, "min_agreement": 0.8}, wrong=80)
    yield "An agreement that may be by chance", judge_file(limits=loose, wrong=12)
    yield "An agreement that one session broke", judge_file(limits=loose, wrong=40, groups=sessions)
    loose = {"min_agreement": 0}
    yield "A drop at its limit", judge_file(limits=loose, size=50, wrong=1)
    yield "A drop beyond it", judge_file(limits=loose, size=50, wrong=2)
    yield "A drop that is sure", judge_file(limits=loose, wrong=40)
    yield "A drop that may be by chance", judge_file(limits=loose, size=1000, wrong_before=100, wrong=30)
    yield "A drop in one session", judge_file(limits=loose, wrong=40, groups=sessions)
    yield "A class that is lost", judge_file(limits=loose, size=5, wrong=3, others=200)
    yield "A class of 4 that is lost", judge_file(limits=loose, size=4, wrong=3, others=200)
    yield "A class that is half lost", judge_file(limits=loose, size=6, wrong=3, others=200)
    yield "A class at 0.3", judge_file(limits=loose, size=10, wrong_before=7, wrong=2, others=200)
    yield "A class below 0.3", judge_file(limits=loose, size=10, wrong_before=8, wrong=2, others=200)
    for lane in (49, 50):
        yield f"A drop by chance, lane of {lane}", judge_file(limits=loose, size=1000, lane=lane, wrong=2)


GATES = {
    "The evaluation": (
        judge_good,
        judge_basis,
        judge_bounds,
        judge_regressions,
        judge_majorities,
        judge_classes,
        judge_simple,
        judge_inputs,
        judge_comparisons,
        judge_phones,
    ),
    "The data gate": (judge_windows,),
    "The edge gate": (judge_files,),
}


def test_each_finding_is_as_it_is_written_down_and_there_is_none_at_a_limit(request):
    blocks = [
        render_findings(f"{gate}. {name}", findings)
        for gate, rules in GATES.items()
        for judge_cases in rules
        for name, findings in judge_cases()
    ]
    if request.config.getoption("messages") == "write":
        GOLDEN.write_text("\n\n".join(blocks) + "\n", "utf-8")
    assert blocks == GOLDEN.read_text("utf-8").rstrip("\n").split("\n\n")
