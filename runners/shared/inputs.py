"""Digests of all that a run depends on: spans, settings, schema, code, lock, weights, production."""

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data.spans.layout import Span
from data.spans.rules import check_columns
from data.spans.sample import load_sample
from data.spans.source import load_source
from data.spans.window import compute_span_digests, compute_window_digest
from edgeline.errors import UsageError
from edgeline.records.ingest import describe_spans
from edgeline.records.run import Run
from edgeline.records.verdict import VERDICT
from edgeline.release import store
from edgeline.release.acceptance import check_writer
from edgeline.store.objects import measure_file
from runners.shared.code import ROOT, digest, hash_files
from trainer_module import workload_module

if TYPE_CHECKING:
    from edgeline.records.workload import Workload
    from pipeline.settings import Settings

# The embedded sample has eight weeks; the workload says how many examples a week has.
SAMPLE_WEEKS, SAMPLE_SEED = 8, 20


def digest_lock() -> str:
    """Returns the SHA-256 of the lock files and the Python version, which together fix every library."""
    return hash_files(f"{sys.version_info[:2]}".encode(), sorted((ROOT / "requirements").glob("*.txt")))


def digest_inputs(
    spans: tuple[Span, ...],
    cache: Path | None,
    workload: "Workload",
    settings: "Settings",
    push: str,
    code: Mapping[str, Mapping[str, str]],
    earlier: Sequence[Run] = (),
) -> dict[str, str]:
    """Returns the digest of each thing that a run depends on.

    Args:
        spans: The window, oldest first; empty before there is any data.
        cache: A JSON file that keeps the digests of unchanged spans; None reads every span.
        workload: Its definition, labels and schema are digested; its name is the model's in the store.
        settings: Those of the run, with all layers.
        push: The root of the release store, which is read for what is in production.
        code: The digests of the files that each step runs.
        earlier: The model's runs, oldest first; the newest with a file that fell by times alone counts.
    """
    production = store.current(push, workload.name)
    canary = store.find_rollout(push, workload.name)
    contents = compute_span_digests(spans, cache)
    from edgeline.gates.data import select_spans  # imports pydantic, which a pod's light steps lack

    own = {"workload": workload.to_json(), "settings": settings.recorded()}
    return {
        "window": compute_window_digest(contents),
        "settings": digest(own),
        "workload": digest(workload.to_json()),
        "labels": digest(workload.labels),
        "schema": hashlib.sha256(Path(workload.schema).read_bytes()).hexdigest(),
        "code": digest(code),
        "lock": digest_lock(),
        "weights": _digest_file(Path(settings.model.weights)),
        "destination": push,
        "production": f"{production.version}-{production.manifest_sha256}" if production else "",
        "candidate": str(canary.versions[1]) if canary else "",
        "unjudged": describe_spans(
            select_spans(contents, production.manifest.data.spans if production else {})
        ),
        "slow": next((run.id for run in reversed(earlier) if _fell_by_time(run)), ""),
    }


def _fell_by_time(run: Run) -> bool:
    """Tells whether a file of a run fell by times alone."""
    places = (Path(artifact.uri) for artifact in run.artifacts if artifact.step == "EdgeValidator")
    return any((verdict := VERDICT.find_readable(place)) and verdict.fell_by_time for place in places)


def _digest_file(path: Path) -> str:
    """Returns the SHA-256 of a file; empty for a name, such as `imagenet`, or a file that is missing."""
    return measure_file(path)[1] if path.is_absolute() and path.is_file() else ""


def have_same_inputs(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Tells whether two runs would do the same; production does not count, since a push itself changes it."""
    ignored = {"production": "", "candidate": "", "unjudged": ""}
    return {**one, **ignored} == {**other, **ignored}


def check_settings(workload: "Workload", settings: "Settings") -> None:
    """Refuses what no data can mend, before any is made or imported.

    Raises UsageError if a module lacks a function, the key of releases cannot be read, or the schema has
    another number of readings.
    """
    from pipeline.own_steps import check_components

    workload_module.check_source(workload.module)
    load_source(workload.source)
    check_components(settings.steps)
    settings.push.load_keys()
    _check_readings(workload, settings.data.readings)


def check_inputs(spans: tuple[Span, ...], workload: "Workload", settings: "Settings", push: str) -> None:
    """Refuses a push that is bound to fail, and spans that cannot be read, before the training.

    Args:
        spans: The window; each of them is checked.
        workload: Says what an example has, and names the model in the store.
        settings: Their rules for pushes are checked, and the key is loaded.
        push: The root of the release store.

    Raises:
        UsageError: Phones would refuse the release.
        DataRefused: A span cannot be read.
    """
    rules = settings.push
    keys = settings.push.load_keys()
    store.check_push(push, workload.name, rules.rollback_epoch, keys["key"] is not None, rules.canary_percent)
    check_writer(push, workload.name, keys)
    check_spans(spans, workload)


def _check_readings(workload: "Workload", readings: int) -> None:
    """Refuses another number of readings than the numbers of a table's schema have. Raises UsageError."""
    from pipeline.workloads import read_kinds, read_schema

    if workload.source != read_kinds()["sensor"]["source"]:
        return
    numbers = (feature for feature in read_schema(workload).feature if feature.name in workload.numbers)
    sizes = {dim.size for feature in numbers for dim in feature.shape.dim}
    if sizes and sizes != {readings}:
        raise UsageError(
            f"data.readings is {readings}, and the numbers of {workload.schema} have the size"
            f" {', '.join(map(str, sorted(sizes)))}.",
            "The schema describes examples with that many readings.",
            f"Set data.readings to that, or import the tables into a new folder with --readings {readings}.",
        )


def check_spans(spans: tuple[Span, ...], workload: "Workload") -> None:
    """Checks every span of the window: a second's work, done before minutes of work in TFX.

    Raises:
        DataRefused: A span cannot be read.
        UsageError: A rule of the workload is about a column that no span has.
    """
    source = load_source(workload.source)
    for span in spans:
        source.check(span, workload)
    check_columns(spans, workload)


def locate_sample(workspace: Path, workload: "Workload") -> Path:
    """Returns the folder of a workload's embedded sample in a workspace.

    Raises UsageError if the workload has none.
    """
    if not workload.sample:
        raise UsageError(
            f"The workload {workload.name} has no sample, and --data is not given.",
            "There is nothing to train on.",
            "Pass the folder of its spans: --data DIR.",
        )
    return workspace / ("sample" if workload.name == "shelf" else f"sample-{workload.name}")


def ensure_sample(workspace: Path, workload: "Workload", say: Callable[[str], None]) -> Path:
    """Makes a workload's embedded sample if it is missing; returns its folder.

    Args:
        workspace: The folder of the sample is made in it.
        workload: Names the sample, and the number of examples in a week.
        say: Called with a sentence before the sample is made, which takes a while.

    Raises:
        UsageError: The workload has no sample, or its module cannot be imported.
    """
    sample = locate_sample(workspace, workload)
    if not sample.is_dir():
        per_week = workload.sample_size
        say(f"making the sample: {SAMPLE_WEEKS} weeks of {per_week:,} {workload.nouns}, into {sample}")
        # The folder is renamed once it is complete: an interrupted one never looks like a smaller sample.
        scratch = sample.with_name(f"{sample.name}.writing")
        shutil.rmtree(scratch, ignore_errors=True)
        load_sample(workload.sample).generate(
            scratch,
            weeks=SAMPLE_WEEKS,
            per_week=per_week,
            seed=SAMPLE_SEED,
            faults={},
            workers=len(os.sched_getaffinity(0)),
        )
        scratch.rename(sample)
    return sample
