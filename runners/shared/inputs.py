"""What a run depends on, as digests: the window of spans, settings, schema, code, lock, production."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from data.photos.labels_file import read_labels
from data.spans.layout import Span
from data.spans.window import window_digest
from release import store
from runners.shared.code import ROOT, digest

if TYPE_CHECKING:
    from pipeline.settings import Settings
    from pipeline.workloads import Workload

# The embedded sample: eight weeks, as many photos as train in a minute or two on two cores.
SAMPLE_WEEKS, SAMPLE_PHOTOS_PER_WEEK, SAMPLE_SEED = 8, 300, 20


def lock_digest() -> str:
    """SHA-256 over the lock files and the Python version, which together choose every library."""
    digest = hashlib.sha256(f"{sys.version_info[:2]}".encode())
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        digest.update(f"{path.name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def production_digest(push: str, model: str) -> str:
    """The digest of what is in production, or the empty text where nothing is."""
    release = store.current(push, model)
    return f"{release.version}-{release.manifest_sha256}" if release else ""


def digests(
    spans: tuple[Span, ...],
    cache: Path | None,
    workload: "Workload",
    settings: "Settings",
    push: str,
    code: Mapping[str, Mapping[str, str]],
) -> dict[str, str]:
    """The digest of each thing that a run depends on.

    Args:
        spans: The window.
        cache: Where digests of unchanged spans are kept.
        workload: Its schema counts, and its module's name.
        settings: All of them.
        push: Root of the release store, a folder or URL.
        code: Digests of the files that each step runs.
    """
    from pipeline import workloads

    own = {"name": workload.name, "module": workload.module, "settings": settings.recorded()}
    return {
        "window": window_digest(spans, cache),
        "settings": hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest(),
        "labels": digest(workloads.read_labels(workload)),
        "schema": hashlib.sha256(workload.schema.read_bytes()).hexdigest(),
        "code": digest(code),
        "lock": lock_digest(),
        "destination": push,
        "production": production_digest(push, workload.name),
    }


def same_inputs(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether two runs would do the same; what is in production does not count, a push itself changes it."""
    return {**one, "production": ""} == {**other, "production": ""}


def check_labels(spans: tuple[Span, ...]) -> None:
    """Reads every labels file of the window, a second's work, before TFX is imported for minutes of it.

    Raises:
        DataRefused: A file is missing, or is not what a labels file is.
    """
    for span in spans:
        read_labels(span)


def ensure_sample(
    workspace: Path,
    say: Callable[[str], None],
    weeks: int = SAMPLE_WEEKS,
    photos_per_week: int = SAMPLE_PHOTOS_PER_WEEK,
) -> Path:
    """The embedded sample of the workspace, rendered when it is not there yet.

    Args:
        workspace: Where it lies.
        say: Told that rendering starts.
        weeks: How many spans.
        photos_per_week: Photos a span.
    """
    sample = workspace / "sample"
    if not sample.is_dir():
        from data.shelf import renderer

        say(f"rendering the sample: {weeks} weeks of {photos_per_week} photos, into {sample}")
        # Renamed when it is whole, so that a killed rendering never looks like a smaller sample.
        scratch = workspace / "sample.rendering"
        shutil.rmtree(scratch, ignore_errors=True)
        renderer.generate(
            scratch,
            weeks=weeks,
            photos_per_week=photos_per_week,
            seed=SAMPLE_SEED,
            faults={},
            workers=len(os.sched_getaffinity(0)),
        )
        scratch.rename(sample)
    return sample
