from dataclasses import replace

from edgeline.errors import Problem
from edgeline.records.ingest import Excluded
from edgeline.records.verdict import Finding, Verdict
from edgeline.report.verdict import (
    describe_outcome,
    list_notes,
    list_other_reasons,
    list_other_warnings,
)
from tests.edgeline.report.runs import a_run, end


def test_a_push_says_how_good_it_is_and_how_good_production_was():
    outcome = describe_outcome(a_run()).replace("\u00a0", " ")
    assert outcome.startswith("Version 3 of shelf went into production: accuracy 92.5 % on 400 eval photos")
    assert "93.0 % for version 2" in outcome
    outcome = describe_outcome(end("pushed", settings={"push": {"canary_percent": 10.0}}))
    assert outcome.startswith("Version 3 of shelf went to 10 % of phones: accuracy")


def test_a_model_that_is_held_back_names_the_gate_and_what_stays_and_refused_data_that_nothing_was_trained():
    for gate, by in (("evaluation", "by its evaluation"), ("edge", "because no file for phones passed")):
        facts = replace(end("held", version=2), gates=(Verdict(gate, "fail", ("Too bad.",)),))
        sentence = f"A model was trained and held back {by}; version 2 stayed in production."
        assert describe_outcome(facts) == sentence
    facts = replace(end("refused", version=None, inputs={"production": ""}), evaluation=None)
    assert describe_outcome(facts) == (
        "The data was refused, so nothing was trained; nothing was in production."
    )


def test_reasons_and_warnings_of_gates_are_not_repeated():
    facts = end("held", reasons=("Too bad.", "Another."), warnings=("brightness has drifted.", "Late."))
    facts = replace(facts, gates=(*facts.gates, Verdict("evaluation", "fail", ("Too bad.",))))
    assert list_other_reasons(facts) == ("Another.",)
    assert list_other_warnings(facts) == ("Late.",)
    lost = Finding("Lane 7 is lost.", "evaluation.group_right_after=null", "lane 7")
    both = [Verdict.of("evaluation", [lost]), Verdict.of("edge", [replace(lost, file="fp32")])]
    shared = "Lane 7 is lost. So it is with its files: fp32."
    assert list_other_reasons(replace(end("held", reasons=(shared,)), gates=tuple(both))) == ()
    failed = end("failed", reasons=("It broke.",), error=Problem("It broke."))
    assert list_other_reasons(failed) == ()


def test_new_and_excluded_spans_are_read_from_the_data_if_the_run_does_not_note_them():
    now, before = a_run(weeks=3), a_run(weeks=2, id="earlier")
    cluster = replace(now, run=replace(now.run, spans=()))
    excluded = replace(
        cluster, data=replace(cluster.data, excluded=(Excluded("span-00009", "ada", "today", "Bad."),))
    )
    assert list_notes(excluded, before) == [
        "New since run earlier: span-00003.",
        "Excluded: span-00009, by ada on today: Bad.",
    ]
    assert list_notes(now, before) == now.run.notes
