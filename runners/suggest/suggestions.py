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
from edgeline.runtime import load_bundle
from edgeline.store.locations import locate
from edgeline.workspace.known_runs import Place, resolve_place
from runners.suggest.examples import Candidate, Pool, compute_features, read_candidates, read_labelled
from runners.suggest.gain import Gain, estimate_gain
from runners.suggest.strategy import ENOUGH_LABELS, choose, measure_margins


@dataclass(frozen=True)
class Suggestions:
    """Suggested examples, and the facts about them."""

    useful: Sequence[Candidate]
    drawn: Sequence[Candidate]  # at random
    pool: Pool
    few: bool  # whether the labels are too few for margins
    labelled: int  # labelled examples of the window
    gain: Gain | None  # None if these are too few to estimate it
    slice: str  # each value of this column gets its share; empty without a column
    workload: Workload
    version: int  # the release that answered
    variant: str

    @property
    def method(self) -> str:
        """Returns in words how the useful ones were chosen."""
        how = "those of each kind that the model doubts most"
        if self.few:
            how = "the most typical ones, by k-means"
        return f"{how}, by {self.slice}" if self.slice else how

    def make_document(self, listed: Path) -> dict[str, Any]:
        """Returns what was suggested and left out, for programs."""
        return {
            "list": str(listed),
            "candidates": len(self.pool.candidates),
            "useful": len(self.useful),
            "random": len(self.drawn),
            "labelled": self.labelled,
            "left_out": {"labelled": self.pool.labelled, "copies": self.pool.repeated},
            "problems": self.pool.problems,
            "gain": self.gain and asdict(self.gain),
        }

    def sentences(self, wanted: int, listed: Path, data: str) -> Iterator[str]:
        """Yields what was suggested and left out, for people, and what to do next."""
        nouns, pool, workload = self.workload.nouns, self.pool, self.workload
        count = len(self.useful) + len(self.drawn)
        columns = {name for item in (*self.useful, *self.drawn) for name in item.cells}
        yield f"{count:,} of {len(pool.candidates):,} {nouns} to label next: {listed}"
        if wanted > count:
            yield f"{wanted:,} were asked for; these are all."
        if pool.labelled or pool.repeated:
            yield f"Left out: {pool.labelled:,} labelled already, {pool.repeated:,} copies of others."
        if pool.problems:
            places = join_names(pool.problems, 3)
            yield f"Left out since they cannot be read: {len(pool.problems):,} ({places})."
        labels = f"{self.labelled:,} labelled {nouns}, {len(workload.labels)} labels"
        yield f"Useful: {len(self.useful):,}, {self.method} ({labels}). Drawn at random: {len(self.drawn):,}."
        few = f"The labelled {nouns} are too few to tell what suggestions are worth beside random ones."
        yield self.gain.sentence(nouns) if self.gain else few
        # Texts may stand alone, and new ones have no author yet.
        is_alone = "text" in workload.reads and workload.group_column not in columns
        options = {"group": "" if is_alone else workload.group_column, "time": workload.time_column}
        options |= {"text": next((name for name in (workload.text_column, "text") if name in columns), "")}
        options |= {"label": workload.label_column} if "photo" not in workload.reads else {}
        flags = "".join(f" --{option} {shlex.quote(name)}" for option, name in options.items() if name)
        place = f"{shlex.quote(str(listed))}{flags} --data {shlex.quote(data)}"
        yield f"Write the labels into its column {workload.label_column}, then: edgeline data import {place}"


def suggest(src: Path, count: int, place: Place, run: Run, workload: Workload) -> Suggestions:
    """Suggests `count` of the examples of a source, for the model in production and the data of a run.

    Raises:
        UsageError: `src` has no example of the model's kind, holds the workspace, or nothing was pushed.
        DataRefused: Every example is labelled already, or none can be read.
    """
    if src.resolve() in (place.workspace.resolve(), *place.workspace.resolve().parents):
        raise UsageError(
            f"{src} holds the workspace {place.workspace}.",
            "The photos and tables of runs would be suggested.",
            "Pass a folder or a file with examples to label.",
        )
    _, root, model = resolve_place(place)
    release = store.get(root, model)
    bundle = load_bundle(release.manifest, release.read)
    if (readings := bundle.contract.get("readings", 1)) > 1:
        raise UsageError(
            f"{model} reads windows of {readings} rows.",
            "A row has its label together with those before it, so single rows cannot be suggested.",
            "Label whole stretches of time: those where `edgeline predict` is not sure.",
        )
    data, settings = locate(run.data), DataSettings.model_validate(run.settings.get("data", {}))
    pool = read_candidates(src, bundle, workload, settings, find_usable_spans(data))
    candidates = pool.candidates
    if not candidates:
        raise _make_nothing_error(src, pool, workload.nouns)
    sliced = next((name for name in workload.slices.values() if name in candidates[0].cells), "")
    window = find_newest_spans(data, settings.window, settings.until)
    examples, labelled = read_labelled(window, workload, settings, bundle.contract, sliced)
    contents = [*(item.content for item in candidates), *(item.content for item in examples)]
    features = compute_features(bundle.contract, contents)
    few, count = labelled < ENOUGH_LABELS * len(bundle.labels), min(count, len(candidates))
    margins = measure_margins(np.array([[*item.answer.ranked.values()] for item in candidates]))
    # The same examples get the same suggestions.
    digest = hashlib.sha256("".join(item.digest for item in candidates).encode()).digest()
    random, slices = np.random.default_rng([*digest]), [item.cells.get(sliced, "") for item in candidates]
    useful, sample = choose(
        features[: len(candidates)], None if few else margins, np.array(slices), count, random
    )
    labels, groups, values = (
        np.array([getattr(item, name) for item in examples]) for name in ("label", "group", "slice")
    )
    return Suggestions(
        [candidates[number] for number in useful[np.argsort(margins[useful])]],
        [candidates[number] for number in sample],
        pool,
        few,
        labelled,
        estimate_gain(features[len(candidates) :], labels, groups, values, count, few) if examples else None,
        sliced,
        workload,
        release.version,
        next(iter(bundle.models)),
    )


def _make_nothing_error(src: Path, pool: Pool, nouns: str) -> DataRefused:
    if pool.labelled:
        return DataRefused(
            f"All {nouns} of {src} that can be read are labelled already ({pool.labelled:,}).",
            "There is nothing to suggest.",
            f"Pass a folder with new {nouns}.",
        )
    return DataRefused(
        f"None of the {nouns} of {src} can be read: {(*pool.problems, 'it is empty')[0].rstrip('.')}.",
        "There is nothing to suggest.",
        "Check that the files are complete, and of the kind that the model reads.",
    )
