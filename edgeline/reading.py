"""`edgeline.open`: runs, figures and models of a workspace or a release store, from Python."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from edgeline.bundle import Answer, Bundle, load_bundle
from edgeline.errors import EdgelineError, UsageError, suggest
from edgeline.failures import describe_error
from edgeline.labels import join_names
from edgeline.prediction.inputs import answer, check_kind, read_inputs
from edgeline.project import import_from_project
from edgeline.python_errors import speak_python
from edgeline.records.evaluation import LABEL_ISSUES_CSV, PROBABILITIES
from edgeline.records.rejection import Rejected
from edgeline.release import store
from edgeline.release.verify import foresee_phone
from edgeline.report.collect import read_answers, read_labels
from edgeline.report.decay import find_aged
from edgeline.report.facts import Facts, list_served
from edgeline.report.timelines import make_row
from edgeline.store.locations import is_url, locate_folder
from edgeline.tables.rows import read_rows
from edgeline.workspace.known_runs import KnownRun, find_known_run, find_known_runs, resolve_place
from edgeline.workspace.place import Place
from edgeline.workspace.runs import find_push

_LOG = logging.getLogger(__name__)
_in_python = speak_python(workload="model", workspace="place", store="place", set="settings")


def open(place: str | Path = "workspace", model: str | None = None) -> "History":
    """Opens a workspace, or the place that a cluster pushes to.

    Args:
        place: The folder of a workspace, or the folder or URL of a release store.
        model: The name of a model, or its workload.yaml; by default the only one.

    Raises:
        UsageError: The folder does not exist.
    """
    if is_url(str(place)):
        return History(Place(Path("workspace"), model, str(place)))
    folder = locate_folder(str(place)).expanduser()
    if not folder.is_dir():
        raise UsageError(
            f"There is no folder {folder}.",
            "Nothing was run or pushed there yet, or the name is wrong.",
            "Pass the folder of a workspace, or the folder or URL of a release store.",
        )
    is_store = (folder / "edge").is_dir() and not (folder / "push").is_dir()
    return History(Place(Path("workspace"), model, str(folder)) if is_store else Place(folder, model))


@dataclass(frozen=True)
class History:
    """The runs and releases of a workspace or a release store; `edgeline.open` returns it."""

    place: Place

    def __repr__(self) -> str:
        of_model = f" of {self.place.workload}" if self.place.workload else ""
        return f"<history{of_model} in {self.place.store or self.place.workspace}>"

    @_in_python
    def runs(self) -> "list[PastRun]":
        """Returns all runs of the model, newest first."""
        _, _, records = find_known_runs(self.place)
        return [PastRun(self, run) for run in reversed(records)]

    def decay(self) -> list[dict[str, Any]]:
        """Returns how releases did on newest spans that they had not seen, a dictionary a run and release.

        Keys: run, version, weeks (spans since the newest that it was trained on), examples, released and
        retrained, the accuracies of the two models on these, 0..1.
        """
        return [vars(aged) for aged in find_aged([make_row(run.facts, None) for run in self.runs()[::-1]])]

    @_in_python
    def run(self, name: str = "latest") -> "PastRun":
        """Returns the run of that id or of an unambiguous beginning of it, `latest` or `production`.

        Raises UsageError if there is no such run, or several.
        """
        return PastRun(self, find_known_run(self.place, name))

    @_in_python
    def model(self, version: int | None = None, variant: str | None = None) -> "Model":
        """Returns a release, by default that in production, which predicts as a phone does.

        A warning in the log says if phones refuse what is in production.

        Args:
            version: The version of a release.
            variant: One of its files, such as int8; by default the one that phones run.

        Raises:
            UsageError: There is no such version or variant.
            EdgelineError: The release is damaged.
        """
        _, root, name = resolve_place(self.place)
        release = store.get(root, name, version)
        outlook = foresee_phone(root, name)
        if outlook.does == "refuses":
            _LOG.warning("%s", outlook.sentence)
        return Model(load_bundle(release.manifest, release.read, variant))

    @_in_python
    def candidate(self, variant: str | None = None) -> "Model | None":
        """Returns the release that a share of phones tries, as `model` does; None if no canary is open."""
        rollout = store.find_rollout(*resolve_place(self.place)[1:])
        return self.model(rollout.versions[1], variant) if rollout else None


@dataclass(frozen=True)
class PastRun:
    """One run."""

    history: History
    known: KnownRun

    def __repr__(self) -> str:
        run = self.facts.run
        return f"<run {run.id} of {run.workload}: {run.outcome}>"

    @property
    def facts(self) -> Facts:
        """Returns all that its report shows, as typed values."""
        return self.known.facts

    @property
    def id(self) -> str:
        """Returns its id."""
        return self.facts.run.id

    @property
    def outcome(self) -> str:
        """Returns `pushed`, `unchanged`, `held`, `refused`, `failed`, or how else it ended."""
        return self.facts.run.outcome

    @property
    def settings(self) -> Mapping[str, Any]:
        """Returns its settings by dotted name, with those that a search found."""
        return self.facts.run.used_settings

    def metrics(self) -> list[dict[str, Any]]:
        """Returns the figures of each slice, a dictionary each: `pandas.DataFrame` takes the list.

        Keys: kind, slice, examples, groups (None where each example is one), accuracy, 0..1, with low and
        high, the ends of its 95 % interval, before, that of the model in production, and further metrics.
        """
        slices = self.facts.evaluation.slices if self.facts.evaluation else ()
        names = ("kind", "examples", "groups", "accuracy", "low", "high", "before")
        return [
            {"slice": part.name, **{k: getattr(part, k) for k in names}, **part.measures} for part in slices
        ]

    def served(self) -> list[dict[str, Any]]:
        """Returns what phones answered, a dictionary for each version, kind of slice and slice.

        Keys: version, kind, slice, answers, expected (accuracy by their scores alone, 0..1), drawn (at random
        for a check), checked (of these), groups, accuracy (of these, 0..1) with low and high, the ends of its
        95 % interval, on_eval, the accuracy when the version was pushed, doubted (checked because they looked
        wrong) and doubted_right. None stands for a figure that is not known.
        """
        return [
            {
                "version": item.version,
                "kind": item.drawn.kind,
                "slice": item.drawn.name,
                "answers": item.tally.answers,
                "expected": item.tally.expected,
                "drawn": item.tally.drawn,
                "checked": item.drawn.examples,
                "groups": item.drawn.groups,
                "accuracy": item.drawn.accuracy,
                "low": item.drawn.low,
                "high": item.drawn.high,
                "on_eval": item.drawn.before,
                "doubted": item.tally.doubted,
                "doubted_right": item.tally.doubted_right,
            }
            for item in list_served(self.facts.served, self.facts.pushed)
        ]

    def predictions(self) -> list[dict[str, Any]]:
        """Returns the SavedModel's answer to each eval example, a dictionary each.

        Keys: example, label, predicted, probability (of the predicted label, 0..1), group, span, the kinds of
        slices, and the probability of each label under its name, unless that is one of the keys before.
        Raises UsageError if its files are not on this machine.
        """
        sources = self.known.sources
        if sources.edge_verdict is None:
            raise self._make_missing_error("predictions", "EdgeValidator")
        labels = read_labels(sources)
        rows = []
        for line, probability, _ in read_answers(sources):
            predicted = labels[line.probabilities.index(probability)]
            row: dict[str, Any] = {
                "example": line.example_id,
                "label": line.label,
                "group": line.group,
                "span": line.span,
            }
            row |= {"predicted": predicted, "probability": probability}
            scores = dict(zip(labels, line.probabilities, strict=True))
            rows.append({**row, **line.slices, **scores, **line.slices, **row})
        return rows

    def label_issues(self) -> list[dict[str, Any]]:
        """Returns the rows of `label_issues.csv`, the surest first, a dictionary each.

        Keys: example, label, suggested, probability (of the suggested label, 0..1), probability_of_label, and
        corrected, which a person fills in. Raises UsageError if it is not on this machine.
        """
        folder = self.known.sources.evaluation
        if folder is None or not (folder / LABEL_ISSUES_CSV).is_file():
            raise self._make_missing_error("list of labels", "ModelValidator")
        items = read_rows(folder / LABEL_ISSUES_CSV, ())
        rows = [item[1] for item in items if not isinstance(item, Rejected)]
        return [{**row, **{name: float(row[name]) for name in PROBABILITIES}} for row in rows]

    def _make_missing_error(self, what: str, step: str) -> UsageError:
        return UsageError(
            f"Run {self.id} has no {what} here.",
            f"It did not get as far as {step}, its artifacts were removed, or it ran on a cluster.",
            "Choose another run, or run it again.",
        )

    def report(self) -> "Report":
        """Returns its page, which a notebook shows. Raises UsageError before it has one."""
        page = self.known.page
        if page is None:
            raise UsageError(
                f"Run {self.id} has no report here.",
                "It has not ended, or its page was removed.",
                f"Write it: `edgeline report {self.id}`.",
            )
        return Report(page)

    @_in_python
    def model(self, variant: str | None = None) -> "Model":
        """Returns the release that it pushed, which predicts as a phone does.

        Raises UsageError if there is none, or it is gone, and EdgelineError if it is damaged.
        """
        if self.outcome != "pushed":
            raise UsageError(
                f"Run {self.id} pushed no model: it was {self.outcome}.",
                "Only a pushed model has the files that a phone runs.",
                "Take the model in production: edgeline.open(...).model().",
            )
        run, place = self.facts.run, self.history.place
        release = store.get(place.store or find_push(run, place.workspace), run.workload, run.version)
        if release.manifest.run != run.id:
            raise UsageError(
                f"Version {run.version} of {run.workload} comes from run {release.manifest.run},"
                f" not from {run.id}.",
                "The release store has been emptied since.",
                "Take the model in production: edgeline.open(...).model().",
            )
        return Model(load_bundle(release.manifest, release.read, variant))

    def step(self, name: str) -> "PastStep":
        """Returns one of its steps. Raises UsageError if it had no such step."""
        steps = {step.name: step for step in self.facts.run.steps}
        if name not in steps:
            raise UsageError(
                f"Run {self.id} had no step {name!r}.",
                f"Its steps: {', '.join(steps)}.",
                suggest(name, steps) or "Name one of them.",
            )
        outputs = {item.output: item.uri for item in self.facts.run.artifacts if item.step == name}
        return PastStep(name, steps[name].state, steps[name].seconds, outputs, self)


@dataclass(frozen=True)
class PastStep:
    """One step of a run."""

    name: str
    state: str  # `done`, `cached`, `failed`, ...
    seconds: float | None
    artifacts: Mapping[str, str]  # folder or URL by name of the output
    run: PastRun

    def __repr__(self) -> str:
        return f"<step {self.name} of run {self.run.id}: {self.state}>"

    @_in_python
    def again(self, *settings: str, out: str | Path | None = None) -> "PastStep":
        """Runs the step again on the inputs that it had, in a folder of its own; records nothing.

        It belongs to the project around this package, like `edgeline.pipeline`.

        Args:
            *settings: The settings to change, `a.b=c` each.
            out: A folder that is empty or missing; by default `STEP-of-RUN` in the current folder.

        Raises:
            UsageError: Its inputs are not on this machine, the step would change production, or a setting is
                wrong.
            EdgelineError: The step failed.
        """
        one_step = import_from_project("runners.local.one_step", "PastStep.again")
        place = self.run.history.place
        if place.store is not None:
            raise UsageError(
                f"{place.store} does not have the inputs of {self.name} in run {self.run.id}.",
                "It has records and releases; the outputs of steps are in the workspace of the run.",
                "Open that workspace: edgeline.open(FOLDER).run(...).step(...).again(...).",
            )
        options = one_step.StepOptions(
            self.name, self.run.id, place.workspace, settings, out and Path(out).expanduser()
        )
        _, outputs, seconds = one_step.run_step(options)
        return PastStep(self.name, "done", seconds, outputs, self.run)

    @property
    def artifact(self) -> str:
        """Returns the folder or URL of its only output. Raises UsageError if it has none, or several."""
        if len(self.artifacts) != 1:
            raise UsageError(
                f"{self.name} has {len(self.artifacts)} outputs here: {', '.join(self.artifacts) or 'none'}.",
                "`artifact` is for a step with one.",
                "Take one of `artifacts`.",
            )
        return next(iter(self.artifacts.values()))


@dataclass(frozen=True)
class Report:
    """The page of a run."""

    path: Path

    def _repr_html_(self) -> str:
        page = escape(self.path.read_text(encoding="utf-8"), quote=True)
        return f'<iframe srcdoc="{page}" width="100%" height="800" frameborder="0"></iframe>'


@dataclass(frozen=True)
class Model:
    """A release that predicts as a phone does: through its preprocessing.json and a TFLite file."""

    bundle: Bundle

    def __repr__(self) -> str:
        labels = join_names(self.labels, 10)
        return f"<model {self.bundle.manifest.model} version {self.version}: {labels}>"

    @property
    def version(self) -> int:
        """Returns its version."""
        return self.bundle.manifest.version

    @property
    def labels(self) -> tuple[str, ...]:
        """Returns its labels in the order of its outputs."""
        return tuple(self.bundle.labels)

    def predict(self, example: bytes | str | Mapping[str, Any]) -> dict[str, Any]:
        """Returns the answer to one example, a dictionary.

        Keys: label, probabilities (of each label, 0..1, the highest first) and unlike (above 0.5 if the photo
        or row is unlike those of training; None where nothing says it).

        Args:
            example: The bytes of a photo, a text, or the cells of a row by column, also as pandas has them;
                a sequence of cells for each column where the model reads several rows.

        Raises:
            UsageError: The example is not one that the model reads, or the model is of a custom kind.
        """
        check_kind(self.bundle)
        if not isinstance(example, bytes | str) and hasattr(example, "keys"):  # pandas has no Mapping
            example = dict(example)
        try:
            return _describe(self.bundle.predict(example))
        except EdgelineError as error:
            raise UsageError(error.found, error.why, error.do) from error

    def predict_file(self, path: str | Path, encoding: str = "") -> Iterator[dict[str, Any]]:
        """Yields the answer to each example of a file: a photo, a text, or the rows of a table.

        Each is a dictionary as `predict` returns it, with the keys input, its place, and problem, which is
        None or says why there is no label. Raises an EdgelineError where `edgeline predict` ends with one. A
        file in neither UTF-8 nor Windows-1252 is read with the name of its encoding.
        """
        check_kind(self.bundle)
        try:
            for example in read_inputs(Path(path).expanduser(), self.bundle.contract, encoding):
                checked, answered = answer(example, self.bundle)
                yield {"input": checked.place, **_describe(answered), "problem": checked.problem or None}
        except OSError as error:
            raise EdgelineError.from_problem(describe_error(error)) from error


def _describe(answered: Answer | None) -> dict[str, Any]:
    """Returns an answer as a dictionary; None stands for an example that has none."""
    ranked = answered.ranked if answered else {}
    unlike = answered.unlike if answered else None
    return {"label": next(iter(ranked), None), "probabilities": ranked, "unlike": unlike}
