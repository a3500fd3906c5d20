"""Suggests which of many unlabelled examples to label next."""

import hashlib
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.settings import DataSettings
from data.spans.layout import find_newest_spans, find_usable_spans
from edgeline.errors import DataRefused, UsageError
from edgeline.labels import join_names
from edgeline.records.run import Run
from edgeline.records.workload import Workload
from edgeline.release import store
from edgeline.release.layout import PushFolder
from edgeline.release.verify import nothing_of
from edgeline.runtime import load_bundle
from edgeline.store.locations import locate
from edgeline.workspace.known_runs import Place, resolve_place
from runners.suggest.examples import Candidate, Features, Labelled, Pool, read_candidates, read_labelled
from runners.suggest.gain import Gain, estimate_gain
from runners.suggest.strategy import ENOUGH_LABELS, Chosen, Floats, choose

LIST, PAGE = "suggestions.csv", "suggestions.html"


@dataclass(frozen=True)
class Suggestions:
    """Suggested examples, the useful ones first, and what is known of them."""

    useful: Sequence[Candidate]
    drawn: Sequence[Candidate]  # at random
    pool: Pool
    few: bool  # whether the labels are too few for margins
    labelled: int  # labelled examples of the window
    gain: Gain | None  # None if there are too few labelled ones to estimate it
    slice: str  # the column by which they were divided; empty if there is none
    text: str  # the column of texts; empty if there is none
    workload: Workload
    data: str  # the place of the spans
    version: int  # the release that answered
    variant: str

    @property
    def method(self) -> str:
        """Returns in words how the useful ones were chosen."""
        by = (
            "the most typical ones, by k-means"
            if self.few
            else "those of each kind that the model doubts most"
        )
        return by + (f"; each {self.slice} gets its share" if self.slice else "")

    def sentences(self, asked: int, out: Path) -> Iterator[str]:
        """Yields what was done and found, for people, and what to do next."""
        nouns, pool, workload = self.workload.nouns, self.pool, self.workload
        count = len(self.useful) + len(self.drawn)
        places = f"{out / LIST}, shown in {out / PAGE}"
        yield f"{count:,} of {len(pool.candidates):,} {nouns} to label next: {places}"
        if asked > count:
            yield f"{asked:,} were asked for; these are all."
        left_out = ((pool.labelled, "are labelled already"), (pool.repeated, "are copies of others"))
        if parts := [f"{number:,} {why}" for number, why in left_out if number]:
            yield f"Left out: {', '.join(parts)}."
        if pool.problems:
            places = join_names(pool.problems, 3)
            yield f"Left out since they cannot be read: {len(pool.problems):,} ({places})."
        labels = f"{self.labelled:,} labelled {nouns}, {len(workload.labels)} labels"
        yield f"{len(self.useful):,} are {self.method} ({labels}); {len(self.drawn):,} are drawn at random."
        few = f"The labelled {nouns} are too few to tell what suggestions are worth beside random ones."
        yield self.gain.sentence(nouns) if self.gain else few
        columns = {"text": self.text} if self.text else {}
        columns |= {"label": workload.label_column} if workload.source != "data.photos.source" else {}
        columns |= {"group": workload.group_column} if workload.group_column else {}
        columns |= {"time": workload.time_column} if workload.time_column else {}
        options = "".join(f" --{option} {shlex.quote(name)}" for option, name in columns.items())
        yield (
            f"Write the labels into its column {workload.label_column}, then:"
            f" edgeline data import {shlex.quote(str(out / LIST))}{options} --data {shlex.quote(self.data)}"
        )

    def summary(self, out: Path) -> dict[str, Any]:
        """Returns the same for programs."""
        return {
            "list": str(out / LIST),
            "page": str(out / PAGE),
            "useful": [candidate.place for candidate in self.useful],
            "random": [candidate.place for candidate in self.drawn],
            "by": "k-means" if self.few else "margin",
            "labelled": self.pool.labelled,
            "repeated": self.pool.repeated,
            "problems": self.pool.problems,
            "gain": asdict(self.gain) if self.gain else None,
        }


def suggest(src: Path, count: int, place: Place, run: Run, workload: Workload) -> Suggestions:
    """Suggests `count` of the examples of a source, for the model in production and the data of a run.

    Raises:
        UsageError: `src` has no example of the model's kind, holds the workspace, or nothing was pushed.
        DataRefused: Every example is labelled already, or none can be read.
    """
    if src.resolve() in (place.workspace.resolve(), *place.workspace.resolve().parents):
        raise UsageError(
            f"{src} holds the workspace {place.workspace}.",
            "Its photos and tables belong to runs, and would be suggested.",
            "Pass a folder or a file with examples to label.",
        )
    _, root, model = resolve_place(place)
    if (release := store.current(root, model)) is None:
        raise nothing_of(PushFolder(locate(root)), model)
    bundle = load_bundle(release.manifest, release.read)
    if (readings := bundle.contract.get("readings", 1)) > 1:
        raise UsageError(
            f"{model} answers to windows of {readings} rows.",
            "A row is labelled together with those before it, so single rows cannot be suggested.",
            "Label whole stretches of time, such as the ones around what `edgeline predict` doubts.",
        )
    settings = DataSettings.model_validate(run.settings.get("data", {}))
    data, features = locate(run.data), Features(bundle.contract.get("kind", "image"))
    pool = read_candidates(src, bundle, workload, find_usable_spans(data), features)
    if not pool.candidates:
        raise _make_nothing_error(src, pool, workload.nouns)
    columns = {name for candidate in pool.candidates for name in candidate.cells}
    sliced = next((name for name in workload.slices.values() if name in columns), "")
    # The column of texts has one name in spans, and another in the file that they were imported from.
    texts = [name for name in map(bundle.contract.get, ("column", "input")) if name in columns]
    window = find_newest_spans(data, settings.window)
    labelled = read_labelled(window, workload, settings, bundle.contract, features, sliced)
    reduced = features.reduce()
    few = labelled.total < ENOUGH_LABELS * len(bundle.labels)
    slices = [candidate.cells.get(sliced, "") for candidate in pool.candidates]
    margins = None if few else np.array([candidate.margin for candidate in pool.candidates])
    digests = "".join(sorted(candidate.digest for candidate in pool.candidates))
    random = np.random.default_rng(list(hashlib.sha256(digests.encode()).digest()))
    count = min(count, len(pool.candidates))
    chosen = choose(reduced[: len(slices)], margins, slices, count, random)
    return Suggestions(
        *_order(pool.candidates, chosen),
        pool=pool,
        few=few,
        labelled=labelled.total,
        gain=_estimate(reduced[len(slices) :], labelled, count, few),
        slice=sliced,
        text=texts[0] if texts else "",
        workload=workload,
        data=run.data,
        version=release.version,
        variant=next(iter(bundle.models)),
    )


def _estimate(features: Floats, labelled: Labelled, count: int, few: bool) -> Gain | None:
    labels, groups = np.array(labelled.labels), np.array(labelled.groups)
    return estimate_gain(features, labels, groups, labelled.slices, count, few) if labelled.labels else None


def _order(candidates: Sequence[Candidate], chosen: Chosen) -> tuple[list[Candidate], list[Candidate]]:
    useful = sorted((candidates[place] for place in chosen.useful), key=lambda candidate: candidate.margin)
    return useful, [candidates[place] for place in chosen.drawn]


def _make_nothing_error(src: Path, pool: Pool, nouns: str) -> DataRefused:
    if pool.found:
        return DataRefused(
            f"All {nouns} of {src} that can be read are labelled already ({pool.found:,}).",
            "There is nothing to suggest.",
            f"Pass a folder with new {nouns}.",
        )
    return DataRefused(
        f"None of the {nouns} of {src} can be read: {pool.problems[0] if pool.problems else 'it is empty'}.",
        "There is nothing to suggest.",
        "Check that the files are complete, and of the kind that the model reads.",
    )
