from dataclasses import replace

from edgeline.gates.data import judge_data, select_spans
from edgeline.gates.settings import GateSettings
from edgeline.records.ingest import Ingest, Span, Twin, Twins
from edgeline.records.rules import BrokenRule
from edgeline.records.served import Served
from edgeline.records.verdict import Drift, Shift

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
    assert decide(window=replace(WINDOW, spans=(span,))).reasons == (
        "2,393 of 2,400 readings of span-00002 were accepted.",
    )


def test_a_machine_that_is_gone_is_warned_of_by_name_and_blocks_where_settings_say_so():
    lenient, strict = decide(OFF), decide(OFF, severity={"missing_value": "block"})

    sentence = "machine_id of span-00002 lacks m-03, m-07, found in the spans that it was compared with."
    assert lenient.passed and lenient.warnings == (sentence,)
    assert not strict.passed
    assert (strict.reasons, strict.spans, strict.features) == ((sentence,), ("span-00002",), ("machine_id",))


def test_a_class_that_is_in_eval_alone_is_refused_before_a_second_of_training():
    (reason,) = decide(window=replace(WINDOW, untrained=("leak",))).reasons
    assert reason.startswith("All 10 readings of class leak are in eval") and "data.eval_fraction" in reason


def test_more_new_words_than_are_to_be_expected_are_warned_of_with_the_commonest():
    words = Drift("words", 0.02, 0.1, unseen=0.16, expected_unseen=0.1, new=("qzx", "vvw"), span="span-00002")
    verdict = decide(words)

    (warning,) = verdict.warnings
    assert verdict.passed and warning.startswith("16.0% of words of span-00002 are in none of the spans")
    assert "(at most 15.0% allowed)" in warning and warning.endswith("qzx, vvw.")
    assert decide(words, max_unknown_token_fraction=0.06).warnings == ()


def test_a_class_that_is_too_rare_in_the_window_blames_no_span():
    verdict = decide(min_examples_per_class=20)
    (reason,) = verdict.reasons
    assert (verdict.spans, verdict.features, verdict.slices) == ((), (), ("class leak",))
    assert reason == "Class leak has 10 readings in the window; at least 20 required."


def test_thirteen_classes_that_are_too_rare_are_one_sentence_with_the_count_of_each():
    classes = {"normal": 900, **{f"fault-{n}": n for n in range(13)}}
    verdict = decide(window=replace(WINDOW, classes=classes), min_examples_per_class=20)
    (reason,) = verdict.reasons
    assert reason.startswith("Class fault-0 has 0 readings in the window; at least 20 required.")
    counts = ", ".join(f"fault-{n} ({n})" for n in range(1, 13))
    assert reason.endswith(f" Likewise: {counts}.") and len(verdict.slices) == 13


def test_a_week_that_is_refused_for_copies_of_texts_alone_names_the_setting_that_allows_them():
    def get_reason(noun, **rejected):
        week = Span("span-00002", 2, 100, 90, rejected=rejected, usable=100)
        (reason,) = decide(window=replace(WINDOW, spans=(week,), noun=noun)).reasons
        return reason

    reason = get_reason("text", duplicate=10)
    assert reason.startswith("10 of 100 texts of span-00002 were quarantined (10.0%; at most 5.0% allowed)")
    assert reason.endswith("raise gate.max_quarantine_fraction.")
    assert get_reason("text", duplicate=1, unlabelled=9).endswith(": 1 duplicate, 9 unlabelled.")
    assert get_reason("photo", duplicate=10).endswith(": 10 duplicate.")


def test_too_many_near_twins_across_the_splits_are_warned_of_with_some_of_them_and_what_to_do():
    pairs = tuple(Twin(f"span-00002/{n}.jpg", f"span-00001/{n}.jpg") for n in range(4))
    verdict = decide(twins=Twins(20, pairs))

    assert verdict.passed and len(verdict.warnings) == 1
    assert verdict.warnings[0].startswith(
        "4 of 20 eval readings have a near twin in train (20.0%; at most 10.0% allowed): span-00002/0.jpg"
        " (like span-00001/0.jpg), span-00002/1.jpg"
    )
    assert "session_id" in verdict.warnings[0]
    assert decide(twins=Twins(40, pairs)).warnings == decide(twins=Twins()).warnings == ()
    assert not decide(twins=Twins(20, pairs), severity={"twins": "block"}).passed


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


def test_problems_of_the_answers_of_phones_warn_or_block():
    served = Served(warnings=("Rows of served.csv that are not answers, left out: 1 (x).",))
    assert decide(served=served).warnings == served.warnings
    verdict = decide(served=served, severity={"served": "block"})
    # The rows may be of any span of the window: the newest one is not blamed.
    assert (verdict.passed, verdict.reasons, verdict.spans) == (False, served.warnings, ())


def test_a_span_without_a_row_is_refused_by_name_unless_settings_say_otherwise():
    window = replace(WINDOW, spans=(*WINDOW.spans, Span("span-00003", 3, 0, 0)))
    spans = ("span-00002", "span-00003")
    verdict = decide(window=window, spans=spans)
    lenient = decide(window=window, spans=spans, severity={"empty_span": "warn"})

    sentence = "span-00003 has no reading: its export failed, or there was nothing to export."
    assert (verdict.passed, verdict.reasons, verdict.spans) == (False, (sentence,), ("span-00003",))
    assert lenient.passed and lenient.warnings == (sentence,)
    # It is part of a release already.
    assert decide(window=window, spans=("span-00002",)).passed


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


def test_a_column_that_turned_constant_is_named_once():
    light = Drift("light", 0.05, 0.1, "mean 5", "mean 3", span="span-00002", turned_constant=True)
    assert decide(light).warnings == (
        "light of span-00002 is the same in all examples (mean 3); before, it was mean 5.",
    )
    (reason,) = decide(replace(light, distance=0.9)).reasons
    assert reason.endswith("from mean 5 to mean 3. It is the same in all examples.")


def test_columns_that_swapped_places_block_and_those_that_go_together_otherwise_are_a_warning():
    swapped = decide(shifts=(Shift("span-00002", "swapped", ("width", "height")),))
    assert swapped.reasons == (
        "width and height of span-00002 have swapped places: each is distributed as the other was in the"
        " spans before.",
    )
    joint = Shift("span-00002", "joint", ("light", "width"), 2.25)
    verdict = decide(shifts=(joint,))
    assert verdict.passed and verdict.warnings[0].startswith(
        "light, width of span-00002 no longer go together with the other columns as in the spans before"
    )
    assert "told from them, light is off 2.2 times as far as ever before" in verdict.warnings[0]
    drifted = decide(Drift("width", 0.2, 0.1, span="span-00002"), shifts=(joint,))
    assert len(drifted.warnings) == 1 and "has drifted by 0.200" in drifted.warnings[0]
