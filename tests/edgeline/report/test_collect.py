from dataclasses import replace

import pytest

from edgeline.records.edge import PREDICTIONS, ContractCheck, EdgeFiles, Prediction
from edgeline.records.ingest import INGEST, TWINS, Ingest, Span, Twin, Twins
from edgeline.records.json_file import decode, encode
from edgeline.records.run import Artifact, Run
from edgeline.records.training import SEARCH, Search, Trial
from edgeline.report import words
from edgeline.report.collect import collect_facts
from edgeline.report.facts import Evaluation, Facts, Slice
from edgeline.report.page import render_run
from edgeline.report.sources import Sources


@pytest.fixture
def sources(tmp_path):
    """Writes ten eval photos, four with a twin in train; the model knows these and half of the others."""
    INGEST.write(tmp_path / "quarantine", Ingest(classes={"ok": 5, "bad": 5}))
    pairs = tuple(Twin(f"span-00001/{n}.jpg", f"span-00001/<{n}>.jpg") for n in range(4))
    TWINS.write(tmp_path / "quarantine", Twins(10, pairs))
    answers = (
        Prediction(f"span-00001/{n}.jpg", "ok", (0.9, 0.1) if n < 7 else (0.2, 0.8)) for n in range(10)
    )
    PREDICTIONS.write(tmp_path / "edge", answers)
    return Sources(quarantine=tmp_path / "quarantine", edge_verdict=tmp_path / "edge")


def test_accuracy_is_shown_with_and_without_near_twins_in_train(sources):
    facts = collect_facts(sources, Run(id="1", workload="shelf"))
    assert (facts.twins.accuracy, facts.twins.without) == (0.7, 0.5)
    page = render_run(facts, {}, None)
    assert "70.0\u00a0%</b> on all eval photos, and <b>50.0\u00a0%</b> on the 6 without a near twin" in page
    assert "span-00001/0.jpg (like span-00001/&lt;0&gt;.jpg)" in page


def test_figures_of_a_sample_say_so(sources):
    TWINS.write(sources.quarantine, replace(TWINS.read(sources.quarantine), there=48_211))
    span = Span("span-00001", 1, rows=60_000, rejected={"corrupt": 48_211, "oversized": 2})
    INGEST.write(sources.quarantine, Ingest(classes={"ok": 5, "bad": 5}, spans=(span,)))
    overall = Slice("overall", "all", 48_211, 0.9)
    edge = EdgeFiles(None, 10, contract=ContractCheck(60, 20, 1.0, 0.0012))
    facts = replace(
        collect_facts(sources, Run(id="1", workload="shelf")), edge=edge, evaluation=Evaluation((overall,))
    )
    page = " ".join(render_run(facts, {}, None).split())
    thousands = words.count(48_211)
    assert f"4 of 10 eval photos (a sample of {48_211:,}) have a near twin in train" in page
    assert f"Measured on 10 eval photos (a sample of {thousands})" in page
    assert "agree on 60 raw inputs: tensors differ by up to 1, answers by up to 0.0012." in page
    assert "Golden vectors in the bundle: 20." in page
    assert f"quarantine.csv lists {words.count(1_002)} of {words.count(48_213)}" in page


def test_the_settings_of_a_run_that_searched_are_those_that_it_trained_with(sources, tmp_path):
    search = Search("val_loss", 1, (Trial(1, {"trainer.learning_rate": 0.003}, score=0.2),))
    SEARCH.write(tmp_path / "search", search)
    run = Run(id="1", workload="shelf", settings={"trainer": {"learning_rate": 0.001}, "seed": 20})
    facts = collect_facts(replace(sources, search=tmp_path / "search"), run)
    assert facts.search == search
    assert facts.run.used_settings == {"trainer.learning_rate": 0.003, "seed": 20}
    assert decode(encode(facts), Facts) == facts


def test_a_refused_run_counts_its_near_twins_and_one_without_any_says_nothing_of_them(sources):
    (sources.edge_verdict / PREDICTIONS.name).unlink()
    page = render_run(collect_facts(sources, Run(id="1", workload="shelf", outcome="refused")), {}, None)
    assert "4 of 10 eval photos have a near twin in train" in page and "without a near twin" not in page
    TWINS.write(sources.quarantine, Twins(10))
    facts = collect_facts(sources, Run(id="1", workload="shelf"))
    assert facts.twins is None and "twin" not in render_run(facts, {}, None)


def test_a_run_is_judged_by_its_model_validator_or_as_before_there_was_one_by_its_evaluator(
    tmp_path, make_run
):
    def make_artifact(step, output):
        (tmp_path / step / output).mkdir(parents=True, exist_ok=True)
        return Artifact(step, output, str(tmp_path / step / output))

    before = [make_artifact("Evaluator", output) for output in ("evaluation", "blessing")]
    after = [make_artifact("ModelValidator", output) for output in ("evaluation", "blessing")]
    for artifacts, step in ((before, "Evaluator"), ([before[0], *after], "ModelValidator")):
        sources = Sources.of(replace(make_run(), artifacts=tuple(artifacts)))
        assert sources.evaluation == tmp_path / step / "evaluation"
        assert sources.blessing == tmp_path / step / "blessing"
