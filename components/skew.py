"""Computes served scores again, from the stored bundle of the version that gave them."""

import logging
import math
from collections.abc import Iterator
from pathlib import Path

from edgeline.bundle import load_bundle
from edgeline.errors import EdgelineError
from edgeline.labels import join_names
from edgeline.records.edge import ORIGINALS, ORIGINALS_FOLDER
from edgeline.records.served import ASKED, Answer, Skew
from edgeline.release.history import History, read_history
from edgeline.release.layout import PushFolder
from edgeline.release.releases import read_release
from edgeline.store.locations import locate

log = logging.getLogger("edgeline.production")


def measure_skew(push: str, model: str, ingested: Path) -> Iterator[Skew]:
    """Yields by how much served scores differ, by file and device; nothing for those of collected versions.

    Args:
        push: The root of the release store, or its URL.
        model: The name of the model in the store.
        ingested: The quarantine of ExampleGen: the chosen answers, and the raw inputs of their examples.
    """
    folder = ingested / ORIGINALS_FOLDER
    contents = {
        original.example_id: (folder / original.file).read_bytes() if original.file else original.content
        for original in ORIGINALS.read(folder)
    }
    by_file: dict[tuple[int, str], list[Answer]] = {}
    for answer in ASKED.find(ingested) or ():
        if answer.example in contents:
            by_file.setdefault((answer.version, answer.variant), []).append(answer)
    store = PushFolder(locate(push))
    history = read_history(store, model) if by_file else History()
    collected, digests = history.collected, history.manifests
    for (version, variant), answers in by_file.items():
        if version in collected:
            continue
        try:
            release = read_release(store, model, version, digests.get(version))
            bundle = load_bundle(release.manifest, release.read, variant)
            differences: dict[str, list[float]] = {}
            for answer in answers:
                score = bundle.predict(contents[answer.example]).ranked.get(answer.said, 0.0)
                difference = round(abs(answer.score - score), 6) if math.isfinite(score) else 1.0
                differences.setdefault(answer.device, []).append(difference)
        except EdgelineError as error:
            log.warning(
                "Served scores of %s of version %d, which %s sent, were not computed again: %s",
                variant,
                version,
                join_names(sorted({answer.device for answer in answers}), 3),
                error.found,
            )
            continue
        yield from (Skew(version, variant, device, tuple(values)) for device, values in differences.items())
