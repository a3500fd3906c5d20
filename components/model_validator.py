"""ModelValidator: judges the trained model by the answers that the Evaluator kept; blesses it, or does not.

The judges are those of `edgeline/gates/judges.py`; the blessing is TFX's standard artifact.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tfx.components.evaluator import constants
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import Artifact, artifact_utils
from tfx.types.standard_artifacts import Examples, Model, ModelBlessing, ModelEvaluation, ModelRun
from tfx.utils import path_utils

from components.answers import read_answers
from components.artifacts import Quarantine
from components.importance import measure_importance
from components.label_issues import Judged, find_cleared, write_label_issues
from components.photo_drift import write_photo_drift
from components.simple_models import SimpleModels
from edgeline.gates.answers import Answers, gather_answers
from edgeline.gates.evidence import Evidence
from edgeline.gates.figures import compute_metrics
from edgeline.gates.judges import judge_model
from edgeline.gates.settings import EvaluationSettings, GateSettings
from edgeline.gates.simple import compare
from edgeline.records.edge import OUT_OF_FOLD
from edgeline.records.evaluation import EARLIER, METRICS, REVIEWED, Metrics, PhotoDrift
from edgeline.records.ingest import TWINS
from edgeline.records.served import PUSHED, SERVED, SKEW, PushedVersion, Served, Skew
from edgeline.records.verdict import VERDICT, Verdict
from edgeline.records.workload import Workload
from edgeline.settings_group import Group

log = logging.getLogger("edgeline.model_validator")


class _Settings(Group):
    evaluation: EvaluationSettings
    gate: GateSettings


@dataclass(frozen=True)
class _Given:
    """The inputs of the step, and what the models answered."""

    examples: Artifact
    baseline: Artifact  # the model in production, if there is one
    saved_model: str  # the candidate
    splits: Mapping[str, str]  # folders of the examples
    quarantine: Path
    folder: Path  # of the output
    workload: Workload
    evidence: Evidence  # as far as the answers give it
    simple: SimpleModels


@component
def ModelValidator(
    examples: InputArtifact[Examples],
    model: InputArtifact[Model],
    model_run: InputArtifact[ModelRun],
    quarantine: InputArtifact[Quarantine],
    baseline_model: InputArtifact[Model],
    measured: InputArtifact[ModelEvaluation],
    evaluation: OutputArtifact[ModelEvaluation],
    blessing: OutputArtifact[ModelBlessing],
    workload: Parameter[str],
    settings: Parameter[str],
    code: Parameter[str],
) -> None:
    """Judges a model by its answers to the split `eval` and those of the model in production.

    `measured` is the Evaluator's output, which has these answers. `model_run` may have answers out of fold,
    which are judged too, and `quarantine` near twins: if these are too many by the settings `gate`, the model
    is judged without them. `evaluation` has the metrics, suspect labels and drift, for the report.
    """
    own_settings = _Settings.model_validate_json(settings)
    inputs = {
        "examples": examples,
        "model": model,
        "model_run": model_run,
        "quarantine": quarantine,
        "baseline_model": baseline_model,
        "measured": measured,
    }
    given = _gather(inputs, Path(evaluation.uri), Workload.from_json(workload), own_settings)
    metrics = _measure(given)
    METRICS.write(given.folder, metrics)
    EARLIER.write(given.folder, EARLIER.find(Path(baseline_model.uri)) or ())

    verdict = judge_model(_complete_evidence(given, metrics))
    for warning in verdict.warnings:
        log.warning(warning)
    _bless(blessing, verdict)


def _gather(inputs: Mapping[str, Artifact], folder: Path, workload: Workload, settings: _Settings) -> _Given:
    """Reads the answers of the models, and makes those of the simple ones."""
    examples = inputs["examples"]
    quarantine = Path(inputs["quarantine"].uri)
    splits = {split: artifact_utils.get_split_uri([examples], split) for split in ("train", "eval")}
    measured = Path(inputs["measured"].uri)
    evidence = _weigh_answers(inputs, measured, workload, settings)

    return _Given(
        examples=examples,
        baseline=inputs["baseline_model"],
        saved_model=path_utils.serving_model_path(inputs["model"].uri),
        splits=splits,
        quarantine=quarantine,
        folder=folder,
        workload=workload,
        evidence=evidence,
        simple=SimpleModels(splits, quarantine, workload, evidence.judged.answers),
    )


def _weigh_answers(
    inputs: Mapping[str, Artifact], measured: Path, workload: Workload, settings: _Settings
) -> Evidence:
    """Returns the evidence that lies in the answers of both models."""
    on_eval = read_answers(measured, workload)
    baseline = inputs["baseline_model"]
    lines = list(OUT_OF_FOLD.read(Path(inputs["model_run"].uri)))
    out_of_fold = gather_answers(lines, workload) if lines else None
    distinct = _leave_out_twins(on_eval, Path(inputs["quarantine"].uri), settings.gate)

    group, rate = workload.group_noun, settings.evaluation.false_alarm_rate
    metrics = replace(
        compute_metrics(on_eval, group, rate),
        baseline_version=baseline.get_int_custom_property("version"),
        out_of_fold=compute_metrics(out_of_fold, group, rate) if out_of_fold else None,
        without_twins=compute_metrics(distinct, group, rate) if distinct and len(distinct.labels) else None,
    )
    return Evidence(
        metrics,
        settings.evaluation,
        on_eval,
        out_of_fold,
        distinct,
        gate=settings.gate,
        mismatch=baseline.get_string_custom_property("mismatch"),
        relabelled=baseline.get_string_custom_property("relabelled"),
    )


def _leave_out_twins(on_eval: Answers, quarantine: Path, gate: GateSettings) -> Answers | None:
    """Returns the answers to examples without a near twin in train; None if there are few twins."""
    twins = TWINS.find(quarantine)
    if twins is None or gate.severity["twins"] == "off" or twins.share <= gate.max_twin_fraction:
        return None
    names = [twin.example_id for twin in twins.found]
    return on_eval.take(np.flatnonzero(~np.isin(on_eval.ids, names)))


def _measure(given: _Given) -> Metrics:
    """Returns the metrics of both models, those of simple ones, and the columns that matter."""
    workload, simple = given.workload, given.simple
    return replace(
        given.evidence.metrics,
        simple_models=compare(simple.network, simple.answers, given.evidence.judged.examples),
        importance=measure_importance(given.saved_model, given.splits["eval"], workload),
    )


def _complete_evidence(given: _Given, metrics: Metrics) -> Evidence:
    """Returns the evidence of the judges; writes the records of suspect labels, of drift and of phones."""
    served, pushed, skews = _copy_served(given)
    return replace(
        given.evidence,
        metrics=metrics,
        bad_spans=_find_label_issues(given),
        photo_drift=_measure_photo_drift(given),
        served=served,
        pushed=pushed,
        skews=skews,
    )


def _find_label_issues(given: _Given) -> Mapping[str, str]:
    """Writes the labels that look wrong; returns the spans with too many of them, a sentence each."""
    cleared = set(REVIEWED.find(given.quarantine) or ())
    unjudged = ""
    on_eval, out_of_fold = given.evidence.answers, given.evidence.out_of_fold
    if out_of_fold is not None:
        judged = _divide_out_of_fold(out_of_fold, on_eval.ids)
    else:
        judged, unjudged = _judge_labels(on_eval, given.simple)
        for part in judged[1:]:
            cleared |= find_cleared(part, given.saved_model, given.splits["train"], given.workload)
    return write_label_issues(given.folder, given.examples, judged, cleared, given.workload, unjudged)


def _measure_photo_drift(given: _Given) -> PhotoDrift | None:
    """Writes how far photos drifted, and returns it; None where there are too few to tell, or no photos."""
    if not given.simple.photos:
        return None
    return write_photo_drift(given.folder, given.examples, given.simple.photos, given.workload)


def _copy_served(given: _Given) -> tuple[Served | None, Mapping[int, PushedVersion], Sequence[Skew]]:
    """Copies the record of what phones answered beside the metrics, and returns it; empty without answers."""
    served = SERVED.find(given.quarantine)
    production = Path(given.baseline.uri)
    pushed = PUSHED.find(production) or {}
    if not served:
        return None, pushed, ()
    skews = SKEW.find(production) or ()
    PUSHED.write(given.folder, pushed)
    SKEW.write(given.folder, skews)
    return served, pushed, skews


def _bless(blessing: Artifact, verdict: Verdict) -> None:
    """Writes the verdict into the artifact, and whether it blesses the model, as TFX's Evaluator does."""
    VERDICT.write(Path(blessing.uri), verdict)
    name, value = constants.NOT_BLESSED_FILE_NAME, constants.NOT_BLESSED_VALUE
    if verdict.passed:
        name, value = constants.BLESSED_FILE_NAME, constants.BLESSED_VALUE
    Path(blessing.uri, name).touch()
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, value)


def _judge_labels(on_eval: Answers, simple: SimpleModels) -> tuple[list[Judged], str]:
    """Returns the eval examples with the network's answers, and those of train with a simple model's.

    Where no simple model can judge train, a sentence says why.
    """
    of_eval = Judged("the network", "eval", on_eval.ids, on_eval.labels, on_eval.candidate)
    of_train = simple.judge_train()
    if isinstance(of_train, str):
        return [of_eval], of_train
    return [of_eval, of_train], ""


def _divide_out_of_fold(out_of_fold: Answers, eval_ids: Sequence[str]) -> list[Judged]:
    """Returns the examples of both splits with the answers of the folds, which did not learn from them."""
    ids = np.array(out_of_fold.ids)
    in_eval = np.isin(out_of_fold.ids, eval_ids)
    return [
        Judged(
            "models like the network that were not trained on them",
            split,
            ids[mask].tolist(),
            out_of_fold.labels[mask],
            out_of_fold.candidate[mask],
        )
        for split, mask in (("eval", in_eval), ("train", ~in_eval))
    ]
