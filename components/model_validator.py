"""ModelValidator: judges the trained model by the answers that the Evaluator kept; blesses it, or does not.

The judges are those of `edgeline/gates/judges.py`; the blessing is TFX's standard artifact.
"""

import logging
from dataclasses import replace
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
from edgeline.records.evaluation import EARLIER, METRICS, REVIEWED
from edgeline.records.ingest import TWINS
from edgeline.records.served import PUSHED, SERVED, SKEW
from edgeline.records.verdict import VERDICT, Verdict
from edgeline.records.workload import Workload
from edgeline.settings_group import Group

log = logging.getLogger("edgeline.model_validator")


class _Settings(Group):
    evaluation: EvaluationSettings
    gate: GateSettings


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

    Args:
        examples: Written by ExampleGen; simple models learn from its split train; suspect labels are of both.
        model: The SavedModel, written by Trainer.
        model_run: Written by Trainer; it may have answers out of fold, which are judged too.
        quarantine: Written by ExampleGen: near twins, reviewed labels, and what phones answered. If twins are
            too many by the settings `gate`, the model is judged without them.
        baseline_model: Written by ProductionModel: the properties of its model, and figures of releases.
        measured: Written by Evaluator: the answers of both models to the split `eval`.
        evaluation: Read by Pusher and RunReport: the metrics, suspect labels and drift.
        blessing: Read by Pusher and RunReport: the verdict, and TFX's mark of a blessing.
        workload: JSON, read as `Workload`.
        settings: The settings `evaluation` and `gate` as JSON, read as `_Settings`.
        code: Digests of the step's code and of the libraries; only a part of the cache key.
    """
    about = Workload.from_json(workload)
    folder = Path(evaluation.uri)
    ingested, production = Path(quarantine.uri), Path(baseline_model.uri)
    saved_model = path_utils.serving_model_path(model.uri)
    splits = {split: artifact_utils.get_split_uri([examples], split) for split in ("train", "eval")}
    evidence = replace(
        _weigh_answers(Path(measured.uri), Path(model_run.uri), ingested, about, settings),
        mismatch=baseline_model.get_string_custom_property("mismatch"),
        relabelled=baseline_model.get_string_custom_property("relabelled"),
    )
    simple = SimpleModels(splits, ingested, about, evidence.judged.answers)
    metrics = replace(
        evidence.metrics,
        baseline_version=baseline_model.get_int_custom_property("version"),
        simple_models=compare(simple.network, simple.answers, evidence.judged.examples),
        importance=measure_importance(saved_model, splits["eval"], about),
    )
    METRICS.write(folder, metrics)
    EARLIER.write(folder, EARLIER.find(production) or ())

    judged, unjudged = _list_judged(evidence, simple)
    cleared = set(REVIEWED.find(ingested) or ())
    if evidence.out_of_fold is None:
        for part in judged[1:]:
            cleared |= find_cleared(part, saved_model, splits["train"], about)
    served = SERVED.find(ingested)
    pushed = PUSHED.find(production) or {}
    skews = (SKEW.find(production) or ()) if served else ()
    if served:
        PUSHED.write(folder, pushed)
        SKEW.write(folder, skews)

    evidence = replace(
        evidence,
        metrics=metrics,
        bad_spans=write_label_issues(folder, examples, judged, cleared, about, unjudged),
        photo_drift=write_photo_drift(folder, examples, simple.photos, about) if simple.photos else None,
        served=served,
        pushed=pushed,
        skews=skews,
    )
    verdict = judge_model(evidence)
    for warning in verdict.warnings:
        log.warning(warning)
    _bless(blessing, verdict)


def _weigh_answers(
    measured: Path, model_run: Path, quarantine: Path, workload: Workload, settings: str
) -> Evidence:
    """Returns the evidence that lies in the answers of both models."""
    own = _Settings.model_validate_json(settings)
    on_eval = read_answers(measured, workload)
    lines = list(OUT_OF_FOLD.read(model_run))
    out_of_fold = gather_answers(lines, workload) if lines else None
    distinct = _leave_out_twins(on_eval, quarantine, own.gate)

    group, rate = workload.group_noun, own.evaluation.false_alarm_rate
    metrics = replace(
        compute_metrics(on_eval, group, rate),
        out_of_fold=compute_metrics(out_of_fold, group, rate) if out_of_fold else None,
        without_twins=compute_metrics(distinct, group, rate) if distinct and len(distinct.labels) else None,
    )
    return Evidence(metrics, own.evaluation, on_eval, out_of_fold, distinct, gate=own.gate)


def _leave_out_twins(on_eval: Answers, quarantine: Path, gate: GateSettings) -> Answers | None:
    """Returns the answers to examples without a near twin in train; None if there are few twins."""
    twins = TWINS.find(quarantine)
    if twins is None or gate.severity["twins"] == "off" or twins.share <= gate.max_twin_fraction:
        return None
    names = [twin.example_id for twin in twins.found]
    return on_eval.take(np.flatnonzero(~np.isin(on_eval.ids, names)))


def _bless(blessing: Artifact, verdict: Verdict) -> None:
    """Writes the verdict into the artifact, and whether it blesses the model, as TFX's Evaluator does."""
    VERDICT.write(Path(blessing.uri), verdict)
    name, value = constants.NOT_BLESSED_FILE_NAME, constants.NOT_BLESSED_VALUE
    if verdict.passed:
        name, value = constants.BLESSED_FILE_NAME, constants.BLESSED_VALUE
    Path(blessing.uri, name).touch()
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, value)


def _list_judged(evidence: Evidence, simple: SimpleModels) -> tuple[list[Judged], str]:
    """Returns the examples with answers of models that did not learn from them, those of eval first.

    Without answers out of fold, a simple model judges train; where none can, a sentence says why.
    """
    on_eval, out_of_fold = evidence.answers, evidence.out_of_fold
    if out_of_fold is None:
        of_eval = Judged("the network", "eval", on_eval.ids, on_eval.labels, on_eval.candidate)
        of_train = simple.judge_train()
        return ([of_eval], of_train) if isinstance(of_train, str) else ([of_eval, of_train], "")

    ids = np.array(out_of_fold.ids)
    judge = "models like the network that were not trained on them"
    in_eval = np.isin(ids, on_eval.ids)
    return [
        Judged(judge, split, ids[mask].tolist(), out_of_fold.labels[mask], out_of_fold.candidate[mask])
        for split, mask in (("eval", in_eval), ("train", ~in_eval))
    ], ""
