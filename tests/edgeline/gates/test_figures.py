import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss, precision_score, roc_auc_score

from edgeline.gates.answers import Answers
from edgeline.gates.figures import compute_metrics, find_worst_groups

CLASSES = ("ok", "bent", "torn")


@pytest.fixture
def answers():
    """Answers of a model that is mostly right, to 400 examples of 25 machines in two halls."""
    random = np.random.default_rng(4)
    labels = random.integers(0, 3, 400)
    scores = random.dirichlet((1, 1, 1), 400) + np.eye(3)[labels] * 0.6
    halls = {("hall", "a"): np.arange(150), ("hall", "b"): np.arange(150, 400)}
    groups = random.integers(0, 25, 400)
    scores = (scores / scores.sum(1, keepdims=True)).astype(np.float32)
    return Answers(CLASSES, 0, labels, groups, scores, None, halls, tuple(f"m-{n:02d}" for n in range(25)))


def test_metrics_that_tfma_has_not_measured_are_those_of_scikit_learn(answers):
    metrics = compute_metrics(answers, "machine", 0.05)
    for (kind, name), here in {("overall", "all"): slice(None), ("hall", "b"): slice(150, None)}.items():
        labels, scores = answers.labels[here], answers.candidate[here]
        figures = metrics.candidate[kind][name]
        top = scores.argmax(1)
        assert figures["example_count"] == len(labels)
        assert figures["accuracy"] == pytest.approx((top == labels).mean(), abs=1e-6)
        assert figures["loss"] == pytest.approx(log_loss(labels, scores), abs=1e-4)
        assert figures["f1"] == pytest.approx(f1_score(labels, top, average="macro"), abs=1e-6)
        assert figures["auc"] == pytest.approx(roc_auc_score(labels == 0, scores[:, 0]), abs=1e-6)
        assert figures["alarm_f1"] == pytest.approx(f1_score(labels != 0, top != 0))
        assert figures["false_alarms"] == pytest.approx((top[labels == 0] != 0).mean())
        assert figures["missed_alarms"] == pytest.approx((top[labels != 0] == 0).mean())
    top = answers.candidate.argmax(1)
    of_class = metrics.candidate["class"]["bent"]
    assert of_class["precision"] == pytest.approx(precision_score(answers.labels, top, average=None)[1])
    assert of_class["recall"] == of_class["accuracy"] and "auc" not in of_class
    rows = [[int(((answers.labels == a) & (top == b)).sum()) for b in range(3)] for a in range(3)]
    assert metrics.confusion.rows == tuple(map(tuple, rows))


def test_each_slice_has_its_number_of_groups_and_their_interval(answers):
    estimates = compute_metrics(answers, "machine", 0.05).estimates
    assert set(estimates) == {"overall", "class", "hall"} and set(estimates["class"]) == set(CLASSES)
    overall = estimates["overall"]["all"]
    assert (overall.examples, overall.sessions) == (400, 25)
    assert overall.low < overall.share < overall.high
    assert estimates["hall"]["a"].examples == 150
    assert estimates["class"]["ok"].sessions == len(np.unique(answers.groups[answers.labels == 0]))


def test_the_worst_groups_come_first_and_those_of_few_examples_not_at_all(answers):
    groups = np.repeat(np.arange(25), 16)
    groups[:3] = 24  # machine 0 has 13, the last 19
    right = np.ones(400, bool)
    right[groups == 7] = False
    right[np.flatnonzero(groups == 3)[:8]] = False
    names = tuple(f"m-{n:02d}" for n in range(25))
    scores = np.eye(3, dtype=np.float32)[np.where(right, answers.labels, (answers.labels + 1) % 3)]
    baseline = np.eye(3, dtype=np.float32)[answers.labels]
    worst = find_worst_groups(Answers(CLASSES, None, answers.labels, groups, scores, baseline, {}, names))
    assert [(of.name, of.examples, of.accuracy, of.before) for of in worst[:2]] == [
        ("m-07", 16, 0.0, 1.0),
        ("m-03", 16, 0.5, 1.0),
    ]
    assert len(worst) == 20 and worst[2].examples == 19
    few = np.where(groups == 7, np.arange(400) % 8 + 100, groups)
    names += tuple(f"x-{n}" for n in range(100))
    worst = find_worst_groups(Answers(CLASSES, None, answers.labels, few, scores, baseline, {}, names))
    assert worst[0].name == "m-03"
