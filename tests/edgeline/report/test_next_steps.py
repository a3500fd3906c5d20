from dataclasses import replace

import pytest

from edgeline.errors import Problem
from edgeline.records.verdict import EndedCanary, Finding, Verdict
from edgeline.report.facts import Evaluation
from edgeline.report.next_steps import list_next_steps, list_unlike
from tests.edgeline.report.runs import a_run, a_slice, end


@pytest.mark.parametrize(
    ("verdict", "blamed", "steps"),
    [
        ({"spans": ("span-00003", "span-00008")}, (), ["span-00003", "span-00008"]),
        ({"spans": ("span-00008",), "features": ("lane_id",)}, (), ["span-00008", "schema accept"]),
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
    steps = list_next_steps(replace(end("held"), gates=(Verdict(gate, "pass", ("Fine.",)),)))
    assert steps[0] == "No gate failed: the reason says what to do."
    assert list_next_steps(a_run()) == []


def test_a_model_that_is_held_for_answers_of_production_in_the_field_is_not_blamed():
    verdict = Verdict("evaluation", "fail", ("Of 60 answers 20 were right.",), slices=("served overall",))
    steps = " ".join(list_next_steps(replace(end("held"), gates=(verdict,))))
    assert "`edgeline rollback --reason R" in steps
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
        ((0.9, 0.7), []),  # half of the examples
    ],
)
def test_a_span_with_most_of_the_drop_is_named_with_its_exclusion(right, drop):
    spans = tuple(a_slice("span", str(n), round(50 * share), 50) for n, share in enumerate(right, 1))
    facts = replace(end("held"), evaluation=Evaluation(spans, baseline_version=2))
    facts = replace(facts, gates=(Verdict("evaluation", "fail", ("Worse.",)),))
    steps = [step.replace("\u00a0", " ") for step in list_next_steps(facts)]
    assert [step.partition("Most of the drop is in ")[2] for step in steps if "drop" in step] == drop
    assert any("data exclude span-00002" in step for step in steps) == bool(drop)


@pytest.mark.parametrize(("action", "expected"), [("promote", False), ("rollback", True)])
def test_a_held_run_that_promoted_a_canary_does_not_say_that_production_is_unchanged(action, expected):
    facts = replace(end("held"), ended_canary=EndedCanary(action, 1, 2, "Good."))
    assert any("changed nothing in production" in step for step in list_next_steps(facts)) == expected


LOW = Finding("Recall of class ok is 0.1.", "evaluation.min_class_recall=0", "class ok")
BOUND = Finding("Accuracy is 0.5.", "evaluation.bounds[0].lower=null", "overall")
SETTINGS = {
    "seed": 20,
    "trainer": {"epochs": 2},
    "tune": {"space": {"trainer.epochs": {"min": 1, "max": 9}}},
    "evaluation": {"min_class_recall": 0.3, "bounds": [{"slice": "overall", "lower": 0.9, "max_drop": None}]},
    "push": {"destination": None},
}


def test_a_hold_names_every_setting_that_decided_and_the_whole_command_of_a_run_without_them():
    place = {"log": "/my work/runs/1/run.log", "data": "/my data", "workload_source": "/my workload.yaml"}
    changed = ("trainer.epochs", "tune.space.trainer.epochs.max")
    facts = end("held", settings=SETTINGS, changed=changed, **place)
    steps = list_next_steps(replace(facts, gates=(Verdict.of("evaluation", (LOW, BOUND)),)))
    (text,) = (step for step in steps if step.startswith("Decided by "))
    assert text == (
        "Decided by evaluation.min_class_recall (0.3), evaluation.bounds[0].lower (0.9). If they are wrong"
        " for this task, change them in the workload's settings. One run without them: `edgeline run"
        " --workload '/my workload.yaml' --data '/my data' --workspace '/my work' --set trainer.epochs=2"
        """ --set 'tune.space={"trainer.epochs": {"min": 1, "max": 9}}' --set evaluation.min_class_recall=0"""
        " --set 'evaluation.bounds=[]'`. What did not change comes from the cache."
    )


def test_a_hold_by_what_no_setting_turns_off_names_no_command_that_would_not_lead_out():
    contract = Finding("preprocessing.json does not give the tensors of the training.")
    size = Finding("It is 6.1 MB.", "edge.max_size_mb=10000", file="fp32")
    facts = replace(end("held"), gates=(Verdict.of("edge", (contract, size)),))
    assert (
        "Decided by edge.max_size_mb, and by what no setting turns off: see the reasons."
        in list_next_steps(facts)
    )
    on_cluster = replace(end("held", engine="kubeflow"), gates=(Verdict.of("edge", (size,)),))
    (text,) = (step for step in list_next_steps(on_cluster) if step.startswith("Decided by "))
    assert "change it in the workload's settings. What" in text and "edgeline run" not in text


def test_a_world_that_changed_is_judged_against_its_own_release_from_then_on():
    drift = Finding("light has drifted by 0.9.", "gate.severity.large_drift=warn", spans=("span-00008",))
    exclude, lift = list_next_steps(replace(end("refused"), gates=(Verdict.of("data", (drift,)),)))
    assert "span-00008 is bad" in exclude
    assert "--set gate.severity.large_drift=warn`. Later weeks are then compared with the release" in lift


def test_a_model_that_waits_for_the_end_of_a_canary_comes_with_the_commands_that_end_it():
    facts = end("held", inputs={"candidate": "4"}, log="/work/runs/1/run.log")
    place = "--workload shelf --workspace /work"
    step = list_next_steps(replace(facts, gates=()))[0]
    assert f"`edgeline promote 4 --reason R {place}`, or `edgeline rollback --reason R {place}`" in step


def test_settings_that_differ_from_those_of_production_come_first():
    production = {**SETTINGS, "trainer": {"epochs": 12}, "push": {"destination": "/elsewhere"}, "old": 1}
    unlike = list_unlike(SETTINGS, production)
    assert unlike == ("trainer.epochs 12 -> 2",)
    for outcome, gate in (("held", "evaluation"), ("refused", "data")):
        facts = replace(end(outcome), unlike_production=unlike, gates=(Verdict.of(gate, (LOW,)),))
        assert list_next_steps(facts)[0] == (
            "Settings differ from those of production: trainer.epochs 12 -> 2."
        )
