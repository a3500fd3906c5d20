"""The processes beside the runs of a drill: a phone that follows the pointer, and scores of hidden tests."""

import json
import select
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from msgspec import Struct

from edgeline.edge.interpreter import EdgeModel, preprocess
from edgeline.labels import parse_labels
from edgeline.records.json_file import JsonFile
from edgeline.release.history import read_history
from edgeline.release.layout import LABELS, MANIFEST, PREPROCESSING, PushFolder, sha256_of_bytes
from edgeline.runtime import Phone, Refused
from edgeline.store.locations import locate
from runners.drill.photos import render_hidden_test
from runners.drill.record import Score

_POLL_S = 0.2


class Seen(Struct, frozen=True):
    """The record of a phone that followed a pointer."""

    ran: tuple[int, ...]  # versions, in their order
    refused: Mapping[str, int]  # updates that it refused, by reason
    wrong: tuple[str, ...]  # a sentence for each thing that no phone may do


SEEN = JsonFile[Seen]("phone.json", Seen)
Scores = Mapping[str, Mapping[int, Score]]  # by model and week of the test
SCORES = JsonFile[Scores]("scores.json", Scores)


def follow(push: Path, model: str, keep: Path, out: Path) -> int:
    """Updates a phone from a store until the standard input is closed; writes what it did into `out`."""
    phone, refused = Phone(str(push / "edge" / model), model, keep), Counter[str]()
    ran: list[int] = []
    wrong: list[str] = []
    while True:
        is_over = bool(select.select([0], [], [], _POLL_S)[0])
        try:
            if phone.update(datetime.now(timezone.utc)):
                assert phone.bundle is not None
                ran.append(phone.bundle.manifest.version)
                wrong += _find_torn_parts(push, model, keep)
        except Refused as refusal:
            refused[refusal.reason] += 1
        except Exception as error:
            wrong.append(f"The phone failed: {type(error).__name__}: {error}")
        if is_over:
            SEEN.write(out, Seen(tuple(ran), refused, tuple(dict.fromkeys(wrong))))
            return 0


def _find_torn_parts(push: Path, model: str, keep: Path) -> list[str]:
    """Returns what of the kept bundle was never released, by the store's own list of releases."""
    [kept] = (folder for folder in keep.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    raw = (kept / MANIFEST).read_bytes()
    manifest = json.loads(raw)
    version = manifest["version"]
    if read_history(PushFolder(locate(push)), model).manifests.get(version) != sha256_of_bytes(raw):
        return [f"The phone runs a version {version} that the store never released."]
    home = f"edge/{model}/{version}/"
    released = {entry["path"].removeprefix(home): entry["sha256"] for entry in manifest["files"]}
    files = [path for path in kept.rglob("*") if path.is_file() and path.name != MANIFEST]
    return [
        f"The phone's {path.relative_to(kept)} is not that of version {version}."
        for path in files
        if released.get(path.relative_to(kept).as_posix()) != sha256_of_bytes(path.read_bytes())
    ]


def score_models(
    models: Mapping[str, Path], tests: Mapping[str, list[int]], photos: int, seed: int, out: Path
) -> int:
    """Scores models on hidden tests; writes right answers by class into `out`.

    Args:
        models: The folder of each model: its file, labels and contract.
        tests: The weeks whose hidden tests each model answers.
        photos: The number of photos of a test.
        seed: The seed of the drill.
        out: The folder for `SCORES`, which keeps the prepared tests too.
    """
    import numpy as np

    prepared = {}
    for week in sorted({week for weeks in tests.values() for week in weeks}):
        file = out / f"test-{week:02d}.npz"
        if not file.exists():
            contract = json.loads((next(iter(models.values())) / PREPROCESSING).read_bytes())
            test = render_hidden_test(week, photos, seed)
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
            inputs, shown = prepared[week]
            answers = labels[model.predict(inputs).argmax(1)]
            total = Counter(shown.tolist())
            right = Counter(shown[answers == shown].tolist())
            scores.setdefault(name, {})[week] = Score({label: right[label] for label in total}, total)
    SCORES.write(out, scores)
    return 0
