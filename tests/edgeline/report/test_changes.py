from dataclasses import replace

from msgspec import structs

from edgeline.records.edge import EdgeFiles, Variant
from edgeline.records.run import flatten
from edgeline.report.changes import describe_facts, find_changes
from edgeline.report.facts import Facts
from tests.edgeline.report.runs import a_run, a_slice


def test_settings_get_dotted_names():
    nested = {"seed": 20, "trainer": {"epochs": 3, "class_weights": {}}, "a": {"b": {"c": None}}}
    expected = {"seed": 20, "trainer.epochs": 3, "trainer.class_weights": {}, "a.b.c": None}
    assert flatten(nested) == expected


def list_changes(facts: Facts, before: Facts) -> dict[str, tuple[str, str]]:
    return {
        c.what: (c.before.replace("\u00a0", " "), c.now.replace("\u00a0", " "))
        for c in find_changes(facts, before)
    }


def test_changes_of_data_settings_code_and_results_are_named():
    before, now = a_run(weeks=7, version=2, outcome="held"), a_run(weeks=8)
    now = replace(
        now,
        run=replace(
            now.run,
            settings={"trainer": {"epochs": 3}, "seed": 20},
            inputs={"window": "ab" * 32, "code": "ef" * 32},
            libraries={"tensorflow": "2.17.0"},
        ),
        evaluation=replace(now.evaluation, slices=(a_slice("overall", "all", 380, 400),)),
    )
    assert list_changes(now, before) == {
        "Newest span": ("span-00007", "span-00008"),
        "Spans in the window": ("7", "8"),
        "Photos quarantined": ("49", "56"),
        "Setting trainer.epochs": ("16", "3"),
        "Code": ("cdcdcdcdcdcd", "efefefefefef"),
        "tensorflow": ("2.16.2", "2.17.0"),
        "Outcome": ("held", "pushed"),
        "In production": ("version 2", "version 3"),
        "Accuracy, each on its own eval split": ("92.5 %", "95.0 %"),
    }
    assert list_changes(a_run(), a_run(id="earlier", started_at="2026-09-28T03:00:00Z")) == {}
    refused = replace(a_run(weeks=9, outcome="refused"), evaluation=None, edge=None, training=None)
    assert {"Newest span", "Outcome"} <= set(list_changes(refused, a_run()))


def test_files_for_phones_are_compared():
    before, now = a_run(), a_run()
    larger = structs.replace(before.edge.default_measured, size_bytes=1_200_000)
    bigger = structs.replace(before.edge, variants=(Variant("fp16", "model_fp16.tflite", measured=larger),))
    assert list_changes(now, replace(before, edge=bigger)) == {"Size of fp16": ("1.20 MB", "0.39 MB")}
    none = EdgeFiles(None, 400, (Variant("fp16", None, ("It could not be converted: SIGABRT.",)),))
    assert list_changes(now, replace(before, edge=none)) == {"Default edge file": ("none", "fp16")}
    assert list_changes(replace(now, edge=none), before) == {"Default edge file": ("fp16", "none")}


def test_what_is_in_production_is_not_changed_by_a_canary_and_nothing_after_a_first_model_was_held_back():
    canary = a_run(version=8, settings={"push": {"canary_percent": 10.0}})
    assert canary.evaluation.baseline_version == 2
    assert "In production" not in list_changes(canary, a_run(version=2))
    assert "In production" not in list_changes(a_run(version=2), canary)
    held = a_run(outcome="held", version=None, inputs={"production": ""})
    assert list_changes(a_run(version=1), held)["In production"] == ("nothing", "version 1")
    killed = a_run(outcome="killed", version=None, inputs={"production": ""})
    assert list_changes(a_run(version=1), killed)["In production"] == ("unknown", "version 1")


def test_trainings_are_compared_at_the_epoch_that_was_kept():
    lines = describe_facts(a_run())["Training"]
    assert lines["Epochs"] == "16, kept 12"
    assert (lines["Loss in train"], lines["Loss in eval"]) == (f"{1 / 12:.4f}", f"{1.1 / 12:.4f}")
    assert "Training" not in describe_facts(replace(a_run(), training=None))
