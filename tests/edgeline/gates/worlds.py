"""Random worlds in which a model is as good as production, or loses whole sessions."""

import numpy as np

from edgeline.gates.answers import Answers
from edgeline.gates.evidence import Evidence
from edgeline.gates.judges import judge_model
from edgeline.gates.settings import Bound, EvaluationSettings
from edgeline.records.evaluation import Metrics

CLASSES = ("fine", "bad")
# An import gives a workload these bounds, beside the rules that hold for all.
BOUNDS = (
    Bound(slice="overall", metric="accuracy", max_drop=0.02, min_support=50),
    Bound(slice="class", metric="recall", max_drop=0.1, min_support=50),
)
SETTINGS = EvaluationSettings(bounds=BOUNDS, beat_majority=False)


def draw(random, sessions, size, accuracy=0.97, correlation=0.1, same=0.5, dead=0):
    """Draws answers of two models that are equally good in each session but the `dead` ones.

    `correlation` is that of being right within a session; both answer the share `same` of examples alike.
    """
    spread = (1 - correlation) / correlation
    by_session = random.beta(accuracy * spread, (1 - accuracy) * spread, sessions)
    by_session[:dead] = accuracy
    groups = np.repeat(np.arange(sessions), size)
    before, now = (random.random(len(groups)) < by_session[groups] for _ in range(2))
    now = np.where(random.random(len(groups)) < same, before, now)
    now &= (groups >= dead) | (random.random(len(groups)) < 0.05)
    labels = (random.random(len(groups)) < 0.3).astype(int)
    candidate, baseline = (
        np.eye(2, dtype=np.float32)[np.where(right, labels, 1 - labels)] for right in (now, before)
    )
    names = tuple(f"s-{number}" for number in range(sessions))
    return Answers(CLASSES, None, labels, groups, candidate, baseline, {}, names)


def judge(metrics, settings, answers, out_of_fold=None, without_twins=None):
    """Returns the verdict on a model by its answers alone."""
    return judge_model(Evidence(metrics, settings, answers, out_of_fold, without_twins))


def judge_answers(answers, settings=SETTINGS):
    """Returns the verdict on the candidate beside production, by the bounds alone."""
    classes = {name: answers.of("class", name) for name in answers.classes}

    def measure(right, here):
        share = float(right[here].mean())
        return {"accuracy": share, "recall": share, "example_count": float(len(right[here]))}

    both = []
    for right in map(answers.find_right, (answers.candidate, answers.baseline)):
        by_class = {name: measure(right, here) for name, here in classes.items()}
        both.append({"overall": {"all": measure(right, slice(None))}, "class": by_class})
    return judge(Metrics(*both, baseline_version=1, group="session"), settings, answers)


def measure_held(draws, **world):
    """Returns the share of draws in which the candidate is held back."""
    random = np.random.default_rng(28)
    return sum(not judge_answers(draw(random, **world)).passed for _ in range(draws)) / draws
