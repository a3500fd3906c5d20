from dataclasses import replace

from edgeline.gates.data import judge_data, select_spans
from edgeline.gates.settings import GateSettings
from edgeline.records.ingest import BrokenRule, Ingest, Span
from edgeline.records.verdict import Drift

WINDOW = Ingest(
    splits={"train": 80, "eval": 20},
    classes={"normal": 90, "leak": 10},
    spans=(Span("span-00001", 1, 50, 50), Span("span-00002", 2, 50, 50)),
    noun="reading",
)
OFF = Drift("machine_id", 0.02, 0.1, gone=("m-03", "m-07"), span="span-00002")


def decide(*drifts, window=WINDOW, twins=None, spans=(), served=None, broken=(), shifts=(), **settings):
    settings = GateSettings(**{"min_examples_per_class": 1, **settings})
    return judge_data(window, (), drifts, settings, twins, spans, served, broken, shifts)


def test_a_window_that_passes_has_the_number_of_accepted_rows():
    span = Span("span-00002", 2, 2400, 2000, rejected={"corrupt": 7}, usable=2400)
    verdict = decide(window=replace(WINDOW, spans=(span,)))
    accepted = "2,393 of 2,400 readings of span-00002 were accepted."
    assert (verdict.gate, verdict.reasons) == ("data", (accepted,))


def test_thirteen_classes_that_are_too_rare_are_one_sentence_with_the_count_of_each():
    classes = {"normal": 900, **{f"fault-{n}": n for n in range(13)}}
    verdict = decide(window=replace(WINDOW, classes=classes), min_examples_per_class=20)
    (reason,) = verdict.reasons
    assert reason.startswith("Class fault-0 has 0 readings in the window; at least 20 required.")
    counts = ", ".join(f"fault-{n} ({n})" for n in range(1, 13))
    assert reason.endswith(f" Likewise: {counts}.") and len(verdict.slices) == 13


def test_a_span_is_judged_until_a_release_was_made_of_it_and_the_newest_always():
    window = {"span-00001": "a", "span-00002": "b", "span-00003": "c"}
    released = {"span-00001": "a", "span-00002": "b"}
    assert select_spans(window, {}) == tuple(window)
    assert select_spans(window, released) == ("span-00003",)
    assert select_spans({**window, "span-00001": "mended"}, released) == ("span-00001", "span-00003")
    assert select_spans(window, window) == ("span-00003",)


def test_in_a_window_of_the_past_spans_older_than_those_of_production_are_not_new():
    window = {"span-00001": "a", "span-00002": "b", "span-00003": "c"}
    later = {"span-00002": "b", "span-00003": "c", "span-00004": "d"}
    assert select_spans(window, later) == ("span-00003",)
    assert select_spans({**window, "span-00002": "mended"}, later) == ("span-00002", "span-00003")
    # A longer window than that of production has spans that nobody judged.
    assert select_spans({**window, "span-00004": "d"}, later) == ("span-00001", "span-00004")


def test_drift_beyond_the_larger_bound_blocks_and_such_a_bound_is_never_beyond_reach():
    def passes(distance, threshold, **settings):
        return decide(Drift("light", distance, threshold, span="span-00002"), **settings).passed

    assert passes(0.29, 0.1) and not passes(0.31, 0.1)
    assert passes(0.74, 0.5) and not passes(0.76, 0.5)
    assert passes(0.31, 0.1, large_drift_factor=4) and not passes(0.21, 0.1, large_drift_factor=2)
    assert passes(0.9, 0.1, severity={"large_drift": "warn"})


def test_a_span_of_a_tenth_or_ten_times_the_usual_rows_is_warned_of_once_three_spans_are_before_it():
    def warn(*rows, **settings):
        spans = tuple(Span(f"span-{n:05d}", n, count, count) for n, count in enumerate(rows, 1))
        return decide(window=replace(WINDOW, spans=spans), **settings).warnings

    (few,) = warn(9000, 410, 390, 400, 39)
    assert few == (
        "span-00005 has 39 readings, 10.4 times fewer than usual (the median of the spans before is 405;"
        " below 10 times is allowed). Was it exported whole, and once?"
    )
    (many,) = warn(9000, 410, 390, 400, 4050)
    assert "4,050 readings, 10.0 times more than usual" in many
    assert warn(9000, 410, 390, 400, 4049) == warn(400, 410, 390, 41) == ()
    assert warn(9000, 410, 39) == warn(400, 410, 390, 39, max_row_factor=20) == ()


def test_rules_of_ones_own_keep_their_severity_unless_settings_lower_it_and_judged_spans_alone_count():
    examples = ("t.csv:2 (end is empty)", "t.csv:9 (end is empty)", "t.csv:11 (end is empty)")
    broken = (
        BrokenRule("span-00001", "end required", "block", 50, 50),
        BrokenRule("span-00002", "end required", "block", 50, 4, examples),
        BrokenRule("span-00002", "rows >= 500", "warn", 50),
    )
    verdict = decide(broken=broken)
    sentence = (
        "4 of 50 readings of span-00002 are against the rule `end required`: t.csv:2 (end is empty), t.csv:9"
        " (end is empty), t.csv:11 (end is empty), and others."
    )
    assert (verdict.passed, verdict.reasons, verdict.spans) == (False, (sentence,), ("span-00002",))
    assert verdict.warnings == ("span-00002 is against the rule `rows >= 500`: it has 50 readings.",)
    lower = decide(broken=broken, severity={"rule": "warn"})
    assert lower.passed and lower.warnings == (sentence, *verdict.warnings)
    assert decide(broken=broken, severity={"rule": "off"}).warnings == ()
