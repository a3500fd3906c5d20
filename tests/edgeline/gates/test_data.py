from dataclasses import replace

from edgeline.gates.data import judge, select_spans
from edgeline.gates.settings import GateSettings
from edgeline.records.ingest import Ingest, Span, Twin, Twins
from edgeline.records.served import Served
from edgeline.records.verdict import Drift

WINDOW = Ingest(
    splits={"train": 80, "eval": 20},
    classes={"normal": 90, "leak": 10},
    spans=(Span("span-00001", 1, 50, 50), Span("span-00002", 2, 50, 50)),
    noun="reading",
)
OFF = Drift("machine_id", 0.02, 0.1, gone=("m-03", "m-07"), span="span-00002")


def judged(*drifts, window=WINDOW, twins=None, spans=(), served=None, **settings):
    settings = GateSettings(**{"min_examples_per_class": 1, **settings})
    return judge(window, (), drifts, settings, twins, spans, served)


def test_a_machine_that_is_gone_is_warned_of_by_name_and_blocks_where_settings_say_so():
    found, strict = judged(OFF), judged(OFF, severity={"missing_value": "block"})

    sentence = "machine_id of span-00002 lacks m-03, m-07, found in the spans that it was compared with."
    assert found.passed and found.warnings == (sentence,)
    assert not strict.passed
    assert (strict.reasons, strict.spans, strict.features) == ((sentence,), ("span-00002",), ("machine_id",))


def test_a_class_that_is_in_eval_alone_is_refused_before_a_second_of_training():
    (reason,) = judged(window=replace(WINDOW, untrained=("leak",))).reasons
    assert reason.startswith("All 10 readings of class leak are in eval") and "data.eval_fraction" in reason


def test_more_new_words_than_are_to_be_expected_are_warned_of_with_the_commonest():
    words = Drift("words", 0.02, 0.1, unseen=0.16, expected_unseen=0.1, new=("qzx", "vvw"), span="span-00002")
    found = judged(words)

    (warning,) = found.warnings
    assert found.passed and warning.startswith("16.0% of words of span-00002 are in none of the spans")
    assert "(at most 15.0% allowed)" in warning and warning.endswith("qzx, vvw.")
    assert judged(words, max_unknown_token_fraction=0.06).warnings == ()


def test_a_class_that_is_too_rare_in_the_window_is_put_down_to_no_span():
    found = judged(min_examples_per_class=20)
    (reason,) = found.reasons
    assert (found.spans, found.features, found.slices) == ((), (), ("class leak",))
    assert reason == "Class leak has 10 readings in the window; at least 20 required."


def test_where_copies_of_texts_refuse_a_week_the_setting_for_people_who_repeat_themselves_is_named():
    def refusal(noun, **rejected):
        week = Span("span-00002", 2, 100, 90, rejected=rejected, usable=100)
        (reason,) = judged(window=replace(WINDOW, spans=(week,), noun=noun)).reasons
        return reason

    repeated = refusal("text", duplicate=10)
    assert repeated.startswith("10 of 100 texts of span-00002 were quarantined (10.0%; at most 5.0% allowed)")
    assert repeated.endswith("raise gate.max_quarantine_fraction.")
    assert refusal("text", duplicate=1, unlabelled=9).endswith(": 1 duplicate, 9 unlabelled.")
    assert refusal("photo", duplicate=10).endswith(": 10 duplicate.")


def test_too_many_near_twins_across_the_splits_are_warned_of_with_some_of_them_and_what_to_do():
    pairs = tuple(Twin(f"span-00002/{n}.jpg", f"span-00001/{n}.jpg") for n in range(4))
    found = judged(twins=Twins(20, pairs))

    assert found.passed and len(found.warnings) == 1
    assert found.warnings[0].startswith(
        "4 of 20 eval readings have a near twin in train (20.0%; at most 10.0% allowed): span-00002/0.jpg"
        " (like span-00001/0.jpg), span-00002/1.jpg"
    )
    assert "session_id" in found.warnings[0]
    assert judged(twins=Twins(40, pairs)).warnings == judged(twins=Twins()).warnings == ()
    assert not judged(twins=Twins(20, pairs), severity={"twins": "block"}).passed


def test_a_span_is_judged_until_a_release_was_made_of_it_and_the_newest_always():
    window = {"span-00001": "a", "span-00002": "b", "span-00003": "c"}
    of_two = {"span-00001": "a", "span-00002": "b"}
    assert select_spans(window, {}) == tuple(window)
    assert select_spans(window, of_two) == ("span-00003",)
    assert select_spans({**window, "span-00001": "mended"}, of_two) == ("span-00001", "span-00003")
    assert select_spans(window, window) == ("span-00003",)


def test_drift_beyond_the_larger_bound_blocks_and_such_a_bound_is_never_beyond_reach():
    def passed(distance, threshold, **settings):
        return judged(Drift("light", distance, threshold, span="span-00002"), **settings).passed

    assert passed(0.29, 0.1) and not passed(0.31, 0.1)
    assert passed(0.74, 0.5) and not passed(0.76, 0.5)
    assert passed(0.31, 0.1, large_drift_factor=4) and not passed(0.21, 0.1, large_drift_factor=2)
    assert passed(0.9, 0.1, severity={"large_drift": "warn"})


def test_what_is_wrong_with_the_answers_of_phones_warns_or_blocks():
    served = Served(warnings=("Rows of served.csv that are not answers, left out: 1 (x).",))
    assert judged(served=served).warnings == served.warnings
    refused = judged(served=served, severity={"served": "block"})
    # It may come from any span of the window: the newest one is not excluded for it.
    assert (refused.passed, refused.reasons, refused.spans) == (False, served.warnings, ())


def test_a_span_without_a_row_is_refused_by_name_unless_settings_say_otherwise():
    window = replace(WINDOW, spans=(*WINDOW.spans, Span("span-00003", 3, 0, 0)))
    spans = ("span-00002", "span-00003")
    verdict = judged(window=window, spans=spans)
    warned = judged(window=window, spans=spans, severity={"empty_span": "warn"})

    sentence = "span-00003 has no reading: its export failed, or there was nothing to export."
    assert (verdict.passed, verdict.reasons, verdict.spans) == (False, (sentence,), ("span-00003",))
    assert warned.passed and warned.warnings == (sentence,)
    # It is part of a release already.
    assert judged(window=window, spans=("span-00002",)).passed
