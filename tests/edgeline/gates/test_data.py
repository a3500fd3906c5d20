from dataclasses import replace

from edgeline.gates.data import Week, judge_data, select_spans
from edgeline.gates.settings import GateSettings
from edgeline.records.ingest import BrokenRule, Ingest, Span
from edgeline.records.verdict import Drift

WINDOW = Ingest(
    splits={"train": 80, "eval": 20},
    classes={"normal": 90, "leak": 10},
    spans=(Span("span-00001", 1, 50, 50), Span("span-00002", 2, 50, 50)),
    noun="reading",
)


def decide(*drifts, window=WINDOW, broken=(), **settings):
    settings = GateSettings(**{"min_examples_per_class": 1, **settings})
    return judge_data(Week(window, settings, drifts=drifts, broken=broken))


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


def test_the_factor_from_which_on_a_span_has_far_more_or_fewer_rows_is_a_setting():
    spans = tuple(Span(f"span-{n:05d}", n, rows, rows) for n, rows in enumerate((9000, 410, 390, 400, 39)))
    window = replace(WINDOW, spans=spans)
    assert [len(decide(window=window, max_row_factor=factor).warnings) for factor in (10, 11)] == [1, 0]


def test_rules_of_ones_own_keep_their_severity_unless_settings_lower_it():
    rules = [BrokenRule("span-00002", f"{name} required", name, 50, 4) for name in ("block", "warn")]
    verdict, lower = decide(broken=rules), decide(broken=rules, severity={"rule": "warn"})
    assert not verdict.passed and lower.passed
    assert lower.warnings == (*verdict.reasons, *verdict.warnings) and len(lower.warnings) == 2
    assert decide(broken=rules, severity={"rule": "off"}).warnings == ()
