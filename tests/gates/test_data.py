from gates.data import judge
from gates.settings import GateSettings
from records.data_checks import Drift
from records.ingest import Ingest, Span

WINDOW = Ingest(
    splits={"train": 80, "eval": 20},
    classes={"normal": 90, "leak": 10},
    spans=(Span("span-00001", 1, 50, 50), Span("span-00002", 2, 50, 50)),
    noun="reading",
)
OFF = Drift("machine_id", "l_infty", 0.02, 0.1, gone=("m-03", "m-07"))


def test_a_machine_that_is_gone_is_warned_of_by_name_and_blocks_where_settings_say_so():
    settings = GateSettings(min_examples_per_class=1)
    found = judge(WINDOW, (), [OFF], settings)
    strict = judge(
        WINDOW, (), [OFF], GateSettings(min_examples_per_class=1, severity={"missing_value": "block"})
    )

    sentence = "machine_id of the newest span has no m-03, m-07, which the spans before it had."
    assert found.passed and found.warnings == (sentence,)
    assert not strict.passed
    assert (strict.reasons, strict.spans, strict.features) == ((sentence,), ("span-00002",), ("machine_id",))


def test_sentences_use_the_noun_of_the_workload():
    found = judge(WINDOW, (), (), GateSettings(min_examples_per_class=20))

    assert found.reasons == ("Class leak has 10 readings in the window; at least 20 required.",)
