from dataclasses import replace

import pytest

from edgeline.errors import Problem
from edgeline.records.ingest import Excluded
from edgeline.records.verdict import DRIFTED, ENDED_CANARY, Verdict
from edgeline.report.facts import Evaluation, Facts, Slice
from edgeline.report.verdict import (
    describe_outcome,
    list_next_steps,
    list_notes,
    list_other_reasons,
    list_other_warnings,
)
from tests.edgeline.report.runs import a_run, a_slice


def end(outcome: str, **values: object) -> Facts:
    facts = a_run()
    return replace(facts, run=replace(facts.run, outcome=outcome, **values))


def test_a_push_says_how_good_it_is_and_how_good_production_was():
    outcome = describe_outcome(a_run()).replace("\u00a0", " ")
    assert outcome.startswith("Version 3 of shelf is in production: accuracy 92.5 % on 400 eval photos")
    assert "93.0 % for version 2" in outcome
    outcome = describe_outcome(end("pushed", settings={"push": {"canary_percent": 10.0}}))
    assert outcome.startswith("Version 3 of shelf is tried by 10 % of phones: accuracy")


@pytest.mark.parametrize(
    ("gate", "by"), [("evaluation", "by its evaluation"), ("edge", "because no file for phones passed")]
)
def test_a_model_that_is_held_back_names_the_gate_and_what_stays(gate, by):
    facts = replace(end("held", version=2), gates=(Verdict(gate, "fail", ("Too bad.",)),))
    sentence = f"A model was trained and held back {by}; version 2 stays in production."
    assert describe_outcome(facts) == sentence


def test_refused_data_says_that_nothing_was_trained():
    facts = replace(end("refused", version=None, inputs={"production": ""}), evaluation=None)
    assert describe_outcome(facts) == (
        "The data was refused, so nothing was trained; nothing is in production."
    )


@pytest.mark.parametrize(
    ("verdict", "blamed", "steps"),
    [
        ({"spans": ("span-00003", "span-00008")}, (), ["span-00003", "span-00008"]),
        ({"spans": ("span-00008",), "features": ("lane_id",)}, (), ["span-00008", "schema accept"]),
        (
            {"spans": ("span-00008",), "features": ("label",), "reasons": (f"label{DRIFTED}0.2.",)},
            (),
            ["span-00008", "--set gate.severity='{label_shift: warn"],
        ),
        ({"slices": ("class damaged",)}, (), ["Add or fix data, and run again."]),
        (None, ("span-00002",), ["span-00002"]),
        (None, (), []),
    ],
)
def test_refused_data_comes_with_the_next_step_for_its_problem(verdict, blamed, steps):
    gates = (Verdict("data", "fail", **verdict),) if verdict else ()
    facts = replace(end("refused", blamed_spans=blamed, error=Problem("Bad.")), gates=gates)
    for text, step in zip(list_next_steps(facts), steps, strict=True):
        assert step in text
    only = replace(facts, run=replace(facts.run, spans=facts.run.spans[:1]))
    assert not any("data exclude" in text for text in list_next_steps(only))


@pytest.mark.parametrize(("data", "place"), [("/data", "DIR"), ("s3://bucket/data", "s3://bucket/data")])
def test_a_run_on_a_cluster_names_commands_that_people_can_type(data, place):
    gates = (Verdict("data", "fail", spans=("span-00008",), features=("lane_id",)),)
    facts = replace(end("refused", engine="kubeflow", data=data), gates=gates)
    exclude, widen = list_next_steps(facts)
    assert f"--data {place}`" in exclude and "edgeline schema" not in widen


@pytest.mark.parametrize(("gate", "expected"), [("evaluation", True), ("edge", False)])
def test_only_a_model_with_wrong_answers_is_a_reason_to_look_at_labels(gate, expected):
    steps = list_next_steps(replace(end("held"), gates=(Verdict(gate, "fail", ("Bad.",)),)))
    assert any("are their labels right?" in step for step in steps) == expected
    assert any("If a bound is wrong" in step for step in steps)
    steps = list_next_steps(replace(end("held"), gates=(Verdict(gate, "pass", ("Fine.",)),)))
    assert steps[0] == "No gate failed: the reason says what to do."
    assert not any("If a bound is wrong" in step for step in steps) and list_next_steps(a_run()) == []


def test_a_model_that_is_held_for_answers_of_production_in_the_field_is_not_blamed():
    verdict = Verdict("evaluation", "fail", ("Of 60 answers 20 were right.",), slices=("served overall",))
    steps = " ".join(list_next_steps(replace(end("held"), gates=(verdict,))))
    assert "`edgeline rollback --reason R" in steps and "`--set evaluation.served=[]`" in steps
    assert "are their labels right?" not in steps and "nothing has to be rolled back" not in steps
    both = replace(verdict, slices=("overall", "served overall"))
    assert "are their labels right?" in " ".join(list_next_steps(replace(end("held"), gates=(both,))))


def test_the_commands_on_a_page_name_the_workspace_so_that_they_work_in_any_folder():
    place = "--workload shelf --workspace '/my work'"
    verdict = Verdict("data", "fail", spans=("span-00008",), features=("lane_id",))
    held, refused = (end(outcome, log="/my work/runs/1/run.log") for outcome in ("held", "refused"))
    assert any(f"edgeline diff production {held.run.id} {place}`" in text for text in list_next_steps(held))
    widen = list_next_steps(replace(refused, gates=(verdict,)))[1]
    assert f"`edgeline schema diff {place}`" in widen and f"FEATURE --reason R {place}`" in widen


def test_a_model_held_for_the_labels_of_a_span_leads_to_its_exclusion():
    verdict = Verdict("evaluation", "fail", ("Labels of span-00008 look wrong.",), spans=("span-00008",))
    steps = list_next_steps(replace(end("held"), gates=(verdict,)))
    assert "`edgeline data exclude span-00008 --reason R" in steps[0] and "worst mistakes" in steps[1]


@pytest.mark.parametrize(
    ("right", "drop"),
    [
        ((0.96, 0.7, 0.94), ["span-00002: accuracy 70.0 % on its 50 eval examples, 90.0 % with version 2."]),
        ((0.8, 0.8, 0.8), []),
        ((0.9, 0.9, 0.9), []),
        ((0.9, 0.84, 0.9), []),  # three answers
    ],
)
def test_a_span_with_most_of_the_drop_is_named_with_its_exclusion(right, drop):
    spans = tuple(a_slice("span", str(n), round(50 * share), 50) for n, share in enumerate(right, 1))
    steps = list_steps(spans)
    assert [step.partition("Most of the drop is in ")[2] for step in steps if "drop" in step] == drop
    assert any("data exclude span-00002" in step for step in steps) == bool(drop)


def test_a_span_of_half_the_examples_is_not_named_for_a_drop():
    steps = list_steps((a_slice("span", "1", 70, 100), a_slice("span", "2", 90, 100)))
    assert not any("drop" in step for step in steps)


def list_steps(slices: tuple[Slice, ...]) -> list[str]:
    facts = replace(end("held"), evaluation=Evaluation(slices, baseline_version=2))
    steps = list_next_steps(replace(facts, gates=(Verdict("evaluation", "fail", ("Worse.",)),)))
    return [step.replace("\u00a0", " ") for step in steps]


@pytest.mark.parametrize(("action", "expected"), [("promote", False), ("rollback", True)])
def test_a_held_run_that_promoted_a_canary_does_not_say_that_production_is_unchanged(action, expected):
    facts = end("held", reasons=("Too bad.", f"{ENDED_CANARY}{action} from version 1 to 2: Good."))
    assert any("Production is unchanged" in step for step in list_next_steps(facts)) == expected


def test_reasons_and_warnings_of_gates_are_not_repeated():
    facts = end("held", reasons=("Too bad.", "Another."), warnings=("brightness has drifted.", "Late."))
    facts = replace(facts, gates=(*facts.gates, Verdict("evaluation", "fail", ("Too bad.",))))
    assert list_other_reasons(facts) == ("Another.",)
    assert list_other_warnings(facts) == ("Late.",)
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
