from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import tensorflow_model_analysis as tfma
from tfx.types.standard_artifacts import Model

from components.answers import read_answers
from edgeline.gates.figures import compute_metrics
from tests.components.steps import SHELF, artifact, predict_eval

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def measured(trained, always_rarest, rarest_beside_trained):
    """Returns the folder of the Evaluator, and the two models that it measured: one is always wrong."""
    candidate = replace(trained, model=artifact(Model, always_rarest))
    return Path(rarest_beside_trained.uri), candidate, trained


def test_both_models_answer_each_eval_example_once(measured):
    folder, candidate, production = measured
    answers = read_answers(folder, SHELF)
    for model, probabilities in ((candidate, answers.candidate), (production, answers.baseline)):
        labels, predictions = predict_eval(model)
        assert len(probabilities) == len(answers.labels) == len(labels)
        pairs = zip(answers.labels, probabilities.argmax(1), strict=True)
        assert sorted(pairs) == sorted(zip(labels, predictions, strict=True))
    # One session of seven is in eval.
    assert set(answers.groups) == {0}


def test_the_metrics_by_which_a_model_is_judged_are_those_of_tfma(measured):
    folder = measured[0]
    metrics = compute_metrics(read_answers(folder, SHELF), "session", 0.05)
    kinds, count = {feature: kind for kind, feature in SHELF.slice_features.items()}, Counter()
    for model, values in (("candidate", metrics.candidate), ("baseline", metrics.baseline)):
        for key, by_output in tfma.load_eval_result(str(folder), model_name=model).slicing_metrics:
            feature, value = key[0] if key else ("", "all")
            kind = kinds.get(feature, "overall")
            name = SHELF.labels[int(value)] if kind == "class" else str(value)
            ((_, by_class),) = by_output.items()
            for metric in ("accuracy", "loss", "example_count"):
                expected = by_class[""][metric]["doubleValue"]
                assert values[kind][name][metric] == pytest.approx(expected, abs=1e-5), (kind, name, metric)
            count[model, kind] += 1
    assert count == {
        (model, kind): len(slices)
        for model, values in (("candidate", metrics.candidate), ("baseline", metrics.baseline))
        for kind, slices in values.items()
    }
