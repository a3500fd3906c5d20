"""Evaluator: TFX's own, with an optional production model and a verdict in sentences.

TFMA computes the metrics by slice, the judges of `edgeline/gates/judges.py` judge them; the blessing is TFX's
standard artifact.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_model_analysis as tfma
from tfx.components.evaluator import constants
from tfx.components.evaluator.executor import Executor
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.types import Artifact, Channel, artifact_utils
from tfx.types import standard_artifacts as kinds
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import path_utils

from components import answers
from components.artifacts import Quarantine
from components.importance import measure_importance
from components.label_issues import Judged, find_cleared, write_label_issues
from components.photo_drift import write_photo_drift
from components.simple_models import SimpleModels
from edgeline.gates.answers import Answers, gather_answers
from edgeline.gates.evidence import Evidence
from edgeline.gates.figures import compute_metrics, estimate_accuracies, find_worst_groups
from edgeline.gates.judges import judge_model
from edgeline.gates.settings import ALARM_METRICS, EvaluationSettings, GateSettings
from edgeline.gates.simple import compare
from edgeline.records.edge import OUT_OF_FOLD
from edgeline.records.evaluation import EARLIER, METRICS, REVIEWED, Confusion, Metrics, PhotoDrift
from edgeline.records.ingest import TWINS
from edgeline.records.served import PUSHED, SERVED, SKEW, PushedVersion, Served, Skew
from edgeline.records.verdict import VERDICT, Verdict
from edgeline.records.workload import Workload
from edgeline.settings_group import Group

log = logging.getLogger("edgeline.evaluator")


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
    evaluation: Path  # the folder of the output
    workload: Workload
    settings: _Settings
    on_eval: Answers
    out_of_fold: Answers | None  # None if the Trainer made no folds
    distinct: Answers | None  # those without near twins of train, if there are too many of these
    simple: SimpleModels


class EvaluatorExecutor(Executor):
    """An executor that evaluates with TFMA, then judges."""

    def Do(
        self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]
    ) -> None:
        """Evaluates the candidate and the model in production, judges, and blesses."""
        inputs = {name: artifact_utils.get_single_instance(channel) for name, channel in input_dict.items()}
        workload = Workload.from_json(exec_properties["workload"])
        settings = _Settings.model_validate_json(exec_properties["settings"])
        evaluation = Path(artifact_utils.get_single_uri(output_dict["evaluation"]))

        own_flags = answers.make_beam_flags(str(evaluation), workload)
        self._beam_pipeline_args: list[str] = [*self._beam_pipeline_args, *own_flags]
        # TFX's executor knows no further inputs, and takes no artifact without a model.
        names = ["examples", "model"]
        if _is_comparable(inputs["baseline_model"]):
            names.append("baseline_model")
        properties = {**exec_properties, "custom_extractors": answers.EXTRACTORS}
        super().Do({name: input_dict[name] for name in names}, output_dict, properties)

        given = _gather(inputs, evaluation, workload, settings)
        metrics = _measure(given)
        METRICS.write(evaluation, metrics)
        EARLIER.write(evaluation, EARLIER.find(Path(given.baseline.uri)) or ())

        verdict = judge_model(_complete_evidence(given, metrics))
        for warning in verdict.warnings:
            log.warning(warning)
        _bless(artifact_utils.get_single_instance(output_dict["blessing"]), verdict)


class EvaluatorSpec(ComponentSpec):
    """The parameters, inputs and outputs of `Evaluator`."""

    PARAMETERS = {
        name: ExecutionParameter(type=str) for name in ("eval_config", "workload", "settings", "code")
    }
    INPUTS = {
        "examples": ChannelParameter(type=kinds.Examples),
        "model": ChannelParameter(type=kinds.Model),
        "model_run": ChannelParameter(type=kinds.ModelRun),
        "quarantine": ChannelParameter(type=Quarantine),
        "baseline_model": ChannelParameter(type=kinds.Model),
    }
    OUTPUTS = {
        "evaluation": ChannelParameter(type=kinds.ModelEvaluation),
        "blessing": ChannelParameter(type=kinds.ModelBlessing),
    }


class Evaluator(BaseBeamComponent):
    """A step that evaluates the candidate and the model in production on the split `eval`, and judges.

    `eval_config` is a `tfma.EvalConfig` as JSON. `model_run` may have answers out of fold, which are judged
    too, and `quarantine` near twins: if these are too many by the settings `gate`, the model is judged
    without them.
    """

    SPEC_CLASS = EvaluatorSpec
    EXECUTOR_SPEC = BeamExecutorSpec(EvaluatorExecutor)

    def __init__(self, **arguments: Any) -> None:
        evaluation, blessing = Channel(type=kinds.ModelEvaluation), Channel(type=kinds.ModelBlessing)
        super().__init__(EvaluatorSpec(**arguments, evaluation=evaluation, blessing=blessing))


def _gather(
    inputs: Mapping[str, Artifact], evaluation: Path, workload: Workload, settings: _Settings
) -> _Given:
    """Reads the answers that TFMA's pipeline wrote, and makes those of the simple models."""
    examples, quarantine = inputs["examples"], Path(inputs["quarantine"].uri)
    splits = {split: artifact_utils.get_split_uri([examples], split) for split in ("train", "eval")}
    on_eval = answers.read_answers(evaluation, workload)
    lines = list(OUT_OF_FOLD.read(Path(inputs["model_run"].uri)))
    return _Given(
        examples=examples,
        baseline=inputs["baseline_model"],
        saved_model=path_utils.serving_model_path(inputs["model"].uri),
        splits=splits,
        quarantine=quarantine,
        evaluation=evaluation,
        workload=workload,
        settings=settings,
        on_eval=on_eval,
        out_of_fold=gather_answers(lines, workload) if lines else None,
        distinct=_leave_out_twins(quarantine, evaluation, workload, settings.gate),
        simple=SimpleModels(splits, quarantine, workload, on_eval.ids),
    )


def _is_comparable(baseline: Artifact) -> bool:
    """Returns whether there is a model in production, and it can answer these examples."""
    has_model = baseline.get_int_custom_property("has_model") == 1
    return has_model and not baseline.get_string_custom_property("mismatch")


def _leave_out_twins(
    quarantine: Path, evaluation: Path, workload: Workload, gate: GateSettings
) -> Answers | None:
    """Reads the answers to examples without a near twin in train; None if there are few twins."""
    twins = TWINS.find(quarantine)
    if twins is None or gate.severity["twins"] == "off" or twins.share <= gate.max_twin_fraction:
        return None
    return answers.read_answers(evaluation, workload, without=[twin.example_id for twin in twins.found])


def _measure(given: _Given) -> Metrics:
    """Returns the metrics of both models, and what they are compared with."""
    workload, on_eval = given.workload, given.on_eval
    out_of_fold, distinct = given.out_of_fold, given.distinct
    group, rate = workload.group_noun, given.settings.evaluation.false_alarm_rate

    evaluation = str(given.evaluation)
    has_baseline = _is_comparable(given.baseline)
    # TFMA drops the name of a single model.
    candidate, confusion = read_metrics(evaluation, "candidate" if has_baseline else "", workload)

    return Metrics(
        candidate=candidate,
        baseline=read_metrics(evaluation, "baseline", workload)[0] if has_baseline else None,
        baseline_version=given.baseline.get_int_custom_property("version"),
        confusion=confusion,
        group=group,
        estimates=estimate_accuracies(on_eval),
        worst_groups=find_worst_groups(on_eval),
        simple_models=compare(on_eval, given.simple.answers),
        importance=measure_importance(given.saved_model, given.splits["eval"], workload),
        out_of_fold=compute_metrics(out_of_fold, group, rate) if out_of_fold else None,
        without_twins=compute_metrics(distinct, group, rate) if distinct and len(distinct.labels) else None,
    )


def _complete_evidence(given: _Given, metrics: Metrics) -> Evidence:
    """Returns the evidence of the judges; writes the records of suspect labels, of drift and of phones."""
    served, pushed, skews = _copy_served(given)
    return Evidence(
        metrics,
        given.settings.evaluation,
        given.on_eval,
        given.out_of_fold,
        given.distinct,
        gate=given.settings.gate,
        bad_spans=_find_label_issues(given),
        photo_drift=_measure_photo_drift(given),
        mismatch=given.baseline.get_string_custom_property("mismatch"),
        served=served,
        pushed=pushed,
        skews=skews,
    )


def _find_label_issues(given: _Given) -> Mapping[str, str]:
    """Writes the labels that look wrong; returns the spans with too many of them, a sentence each."""
    cleared = set(REVIEWED.find(given.quarantine) or ())
    unjudged = ""
    if given.out_of_fold is not None:
        judged = _divide_out_of_fold(given.out_of_fold, given.on_eval.ids)
    else:
        judged, unjudged = _judge_labels(given.on_eval, given.simple)
        for part in judged[1:]:
            cleared |= find_cleared(part, given.saved_model, given.splits["train"], given.workload)
    folder, examples = given.evaluation, given.examples
    return write_label_issues(folder, examples, judged, cleared, given.workload, unjudged)


def _measure_photo_drift(given: _Given) -> PhotoDrift | None:
    """Writes how far photos drifted, and returns it; None where there are too few to tell, or no photos."""
    if not given.simple.photos:
        return None
    return write_photo_drift(given.evaluation, given.examples, given.simple.photos, given.workload)


def _copy_served(given: _Given) -> tuple[Served | None, Mapping[int, PushedVersion], Sequence[Skew]]:
    """Copies the record of what phones answered beside the metrics, and returns it; empty without answers."""
    served = SERVED.find(given.quarantine)
    if not served:
        return None, {}, ()
    production = Path(given.baseline.uri)
    pushed = PUSHED.find(production) or {}
    skews = SKEW.find(production) or ()
    PUSHED.write(given.evaluation, pushed)
    SKEW.write(given.evaluation, skews)
    return served, pushed, skews


def _bless(blessing: Any, verdict: Verdict) -> None:
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
    accuracy = float(on_eval.find_right(on_eval.candidate).mean())
    of_train = simple.judge_train(on_eval.labels, accuracy)
    if isinstance(of_train, str):
        return [of_eval], of_train
    return [of_eval, of_train], ""


def _divide_out_of_fold(out_of_fold: Answers, eval_ids: Sequence[str]) -> list[Judged]:
    """Returns the examples of both splits with the answers of the folds, which did not learn from them."""
    ids, in_eval = np.array(out_of_fold.ids), np.isin(out_of_fold.ids, eval_ids)
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


def read_metrics(
    evaluation: str, model_name: str, workload: Workload
) -> tuple[dict[str, dict[str, dict[str, float]]], Confusion]:
    """Reads TFMA's metrics of one model, and adds those that follow from its confusion matrices.

    `evaluation` is the folder that TFMA wrote to; `model_name` is empty if only one model was evaluated. The
    workload has the labels by id: TFMA slices by the transformed label, which shadows the raw one.

    Returns:
        `{"overall": {"all": {"accuracy": 0.93, "loss": 0.2, "example_count": 480.0}}, "class": {"ok": ...},
            ...}`, by kind of slice and slice, and the confusion matrix over all eval examples.
    """
    result = tfma.load_eval_result(evaluation, model_name=model_name)
    matrices = {
        _parse_slice(key, workload): _read_matrix(plots, workload.labels) for key, plots in result.plots
    }
    metrics: dict[str, dict[str, dict[str, float]]] = {
        kind: {} for kind in ("overall", *workload.slice_features)
    }
    for key, by_output in result.slicing_metrics:
        (_, by_sub_key), *_ = by_output.items()
        kind, name = _parse_slice(key, workload)
        matrix = matrices[kind, name]
        values = {
            metric: float(value["doubleValue"])
            for of_key in by_sub_key.values()
            for metric, value in of_key.items()
            if "doubleValue" in value
        }
        sums = dict(zip(workload.labels, map(sum, matrix), strict=True))
        if not 0 < sums.get(workload.normal, 0) < sum(sums.values()):  # not both alarms and normal examples
            values = {metric: value for metric, value in values.items() if metric not in ALARM_METRICS}
        class_id = workload.labels.index(name) if kind == "class" else None
        of_classes = matrix if class_id is None else matrices["overall", "all"]
        metrics[kind][name] = values | average_by_class(of_classes, class_id)
    confusion = Confusion(workload.labels, tuple(map(tuple, matrices["overall", "all"])))
    return {kind: dict(sorted(slices.items())) for kind, slices in metrics.items()}, confusion


def average_by_class(matrix: Sequence[Sequence[int]], class_id: int | None) -> dict[str, float]:
    """Returns recall, precision and F1 of one class, or for None the means over the classes with examples.

    A number of the matrix is how often an example of the row's class was taken for the column's.
    """
    scores = []
    for number, row in enumerate(matrix):
        hits, actual, answered = row[number], sum(row), sum(other[number] for other in matrix)
        if actual and class_id in (None, number):
            precision = hits / answered if answered else 0.0
            scores.append((hits / actual, precision, 2 * hits / (actual + answered)))
    if not scores:
        return {}
    recall, precision, f1 = (sum(values) / len(scores) for values in zip(*scores, strict=True))
    return {"recall": recall, "precision": precision, "f1": f1}


def _parse_slice(key: Sequence[tuple[str, Any]], workload: Workload) -> tuple[str, str]:
    """Returns the kind and the name of a slice."""
    if not key:
        return "overall", "all"
    ((feature, value),) = key
    kind = next(kind for kind, name in workload.slice_features.items() if name == feature)
    return kind, workload.labels[int(value)] if kind == "class" else str(value)


def _read_matrix(by_output: Any, labels: Sequence[str]) -> list[list[int]]:
    rows = [[0] * len(labels) for _ in labels]
    (_, by_sub_key), *_ = by_output.items()
    # The config asks only for the threshold 0, which is the most probable class.
    (matrix,) = by_sub_key[""]["multiClassConfusionMatrixAtThresholds"]["matrices"]
    for entry in matrix["entries"]:
        # Protobuf's JSON leaves zeros out, so class 0 has no key.
        predicted = entry.get("predictedClassId", 0)
        if predicted >= 0:
            rows[entry.get("actualClassId", 0)][predicted] += round(entry["numWeightedExamples"])
    return rows
