"""Scores all models of a drill on its hidden tests, in a process beside the runs."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from drill.photos import render_hidden_test
from drill.record import Score
from edgeline.edge.interpreter import EdgeModel, preprocess
from edgeline.labels import parse_labels
from edgeline.records.json_file import JsonFile
from edgeline.release.layout import LABELS, PREPROCESSING

Scores = Mapping[str, Mapping[int, Score]]  # by model and week of the test
SCORES = JsonFile[Scores]("scores.json", Scores)


def score_models(
    models: Mapping[str, Path],
    tests: Mapping[str, list[int]],
    history: int,
    photos: int,
    seed: int,
    out: Path,
) -> int:
    """Scores models on hidden tests; writes `SCORES` and the prepared tests into `out`.

    Args:
        models: The folder of each model, with its labels and contract.
        tests: By name of the model, the weeks whose tests it answers.
        history: The number of spans before the first week.
        photos: The number of photos in each test.
        seed: That of the drill; the tests have photos of their own all the same.
        out: The folder of the drill, which keeps the prepared tests for later weeks.

    Returns:
        The exit code of the process, always 0.
    """
    import numpy as np

    prepared = {}
    for week in sorted({week for weeks in tests.values() for week in weeks}):
        file = out / f"test-{week:02d}.npz"
        if not file.exists():
            contract = json.loads((next(iter(models.values())) / PREPROCESSING).read_bytes())
            test = render_hidden_test(history + week, photos, seed)
            inputs = np.concatenate([preprocess(photo, contract) for photo, _ in test])
            np.savez(file, inputs=inputs, shown=[label for _, label in test])
        with np.load(file) as loaded:
            prepared[week] = loaded["inputs"], loaded["shown"]
    scores: dict[str, dict[int, Score]] = {}
    for name, weeks in tests.items():
        [path] = models[name].glob("*.tflite")
        model = EdgeModel(path)
        labels = np.array(parse_labels((models[name] / LABELS).read_bytes(), LABELS, model.classes))
        for week in weeks:
            inputs, truth = prepared[week]
            answers = labels[model.predict(inputs).argmax(1)]
            total = Counter(truth.tolist())
            right = Counter(truth[answers == truth].tolist())
            scores.setdefault(name, {})[week] = Score({label: right[label] for label in total}, total)
    SCORES.write(out, scores)
    return 0
