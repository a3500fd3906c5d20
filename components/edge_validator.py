"""EdgeValidator: measures the files that would ship, and compares them with SavedModel and production."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import Artifact, artifact_utils
from tfx.types.standard_artifacts import Examples, Model, TransformGraph
from tfx.utils import path_utils

from components import artifacts
from components.predictions import list_predictions, write_mistakes
from components.serving import ServedModel, explain_mismatch
from components.transformed_examples import TransformedExamples, open_records, read_examples
from edgeline.edge.golden import TOLERANCES
from edgeline.edge.inspect import find_problems, find_runtime_problems, inspect
from edgeline.edge.interpreter import EdgeModel
from edgeline.edge.measure import measure
from edgeline.edge.variants import RuntimeSettings
from edgeline.errors import EdgelineError
from edgeline.gates.answers import Answers, gather_answers
from edgeline.gates.edge import judge_edge_file, rest_on_time
from edgeline.gates.evidence import Evidence
from edgeline.gates.judges import judge_file
from edgeline.gates.settings import EdgeLimits, EvaluationSettings
from edgeline.labels import parse_labels
from edgeline.records.edge import (
    CONVERSIONS,
    EDGE_FILES,
    GOLDEN_FOLDER,
    LABELS_FILE_NAME,
    ORIGINALS,
    ORIGINALS_FOLDER,
    PREDICTIONS,
    PREPROCESSING,
    UNLIKE,
    ContractCheck,
    Conversion,
    EdgeFiles,
    Variant,
)
from edgeline.records.evaluation import Metrics
from edgeline.records.verdict import VERDICT, Finding, Verdict, join_findings
from edgeline.records.workload import Workload
from edgeline.settings_group import Group
from trainer_module.export.golden_writer import (
    RawExample,
    check_contract,
    choose_examples,
    make_unlike_example,
    write_vectors,
)
from trainer_module.workload_module import LABEL, name_tensor_signature

# The limit bounds memory and time on a large window: 5,000 photos of 128x128x1 are 80 MB, and a share of them
# is known to 0.7 points.
_MOST_EXAMPLES = 5_000
_BATCH = 64
_NOT_CHECKED = (
    "preprocessing.json was not compared with the model's training input: no raw input of an eval example"
    " was kept, or the contract is of a custom kind."
)

log = logging.getLogger("edgeline.edge")


class _EdgeSettings(EdgeLimits, RuntimeSettings):
    pass


class _Settings(Group):
    edge: _EdgeSettings
    evaluation: EvaluationSettings


@dataclass(frozen=True)
class _Reference:
    """The SavedModel on the eval examples, which files are measured against, and what came before it."""

    workload: Workload
    sample: TransformedExamples
    labels: Sequence[str]
    probabilities: NDArray[np.float32]  # [n, classes]
    unlike: NDArray[np.float32] | None  # how unlike each example is to those of training
    contract: Mapping[str, Any]  # the content of preprocessing.json
    raw_examples: Sequence[RawExample]  # those whose raw input was kept
    checked: ContractCheck
    settings: _Settings
    predict: Callable[[NDArray[Any]], NDArray[np.float32]]  # the probabilities of the SavedModel

    def gather(self, probabilities: NDArray[np.float32]) -> Answers:
        """Returns the answers of a file to the sample."""
        return gather_answers(list_predictions(self.sample, probabilities, self.labels), self.workload)

    def gather_evidence(self, probabilities: NDArray[np.float32]) -> Evidence:
        """Returns the answers of a file beside those of the SavedModel."""
        answers = replace(self.gather(probabilities), baseline=self.gather(self.probabilities).candidate)
        metrics = Metrics({}, group=self.workload.group_noun)
        return Evidence(metrics, self.settings.evaluation, answers, subject="file")


@dataclass(frozen=True)
class _Production:
    """The default file in production."""

    name: str = ""
    answers: Answers | None = None  # None if it was not run
    lacks: str = ""  # why it was not run
    has_model: bool = False


@dataclass(frozen=True)
class _Judged:
    """A file with what keeps it from shipping, and for one that may ship what is to say of it."""

    variant: Variant
    failures: Sequence[Finding]
    compared: str = ""  # how it compares with the file in production
    warnings: Sequence[Finding] = ()


@component
def EdgeValidator(
    examples: InputArtifact[Examples],
    transform_graph: InputArtifact[TransformGraph],
    model: InputArtifact[Model],
    edge_models: InputArtifact[artifacts.EdgeModels],
    production_model: InputArtifact[Model],
    verdict: OutputArtifact[artifacts.Verdict],
    slow: Parameter[str],
    workload: Parameter[str],
    settings: Parameter[str],
    code: Parameter[str],
) -> None:
    """Judges the files of `EdgeConverter`; the first that passes, in the preferred order, is the default.

    They are measured on the split `eval`. None passes if preprocessing.json makes another tensor of a raw
    input than Transform. A file becomes the default only if it keeps the drops that the bounds of
    `evaluation` allow below the default file in production, by slice, on the same examples.

    Args:
        examples: Written by ExampleGen, with the raw inputs of a few eval examples.
        transform_graph: Written by Transform.
        model: The SavedModel, written by Trainer, which the files are compared with.
        edge_models: Written by EdgeConverter: the files, labels and preprocessing.json.
        production_model: Written by ProductionModel, with the default file in production, if there is one.
        verdict: Read by Pusher and RunReport: the verdict, the measurements, the SavedModel's answer to each
            example, its worst mistakes, and the golden vectors of the bundle.
        slow: The id of the newest run where a file fell by times alone; only a part of the cache key, so that
            such a verdict is not taken from the cache. Empty if there is none.
        workload: JSON, read as `Workload`.
        settings: The settings `edge` and `evaluation` as JSON, read as `_Settings`.
        code: Digests of the step's code and of the libraries; only a part of the cache key.

    Raises:
        EdgelineError: The labels are not those of the schema, one for each output of the model; or a file
            is damaged.
    """
    folder, bundle = Path(verdict.uri), Path(edge_models.uri)
    reference = _run_saved_model(
        examples, transform_graph.uri, model.uri, bundle, Workload.from_json(workload), settings
    )
    production = _Production()
    if not reference.checked.problems:
        production = _run_production(production_model, examples, reference)

    judged: list[_Judged] = []
    default: _Judged | None = None
    for conversion in CONVERSIONS.read(bundle):
        # Later files are for those who ask for them: only the default takes the place of that in production.
        judged.append(_judge_file(conversion, bundle, reference, None if default else production))
        if default is None and not judged[-1].failures and not reference.checked.problems:
            default = judged[-1]

    checked = reference.checked
    if default is not None:
        checked = _write_golden_vectors(folder / GOLDEN_FOLDER, bundle, judged, reference)
    outcome = _conclude(default, judged, reference, production)
    for warning in outcome.warnings:
        log.warning(warning)
    VERDICT.write(folder, outcome)
    compared = production.lacks or (default.compared if default else "")
    name = default.variant.name if default else None
    variants = tuple(each.variant for each in judged)
    EDGE_FILES.write(folder, EdgeFiles(name, len(reference.sample.labels), variants, checked, compared))
    predictions = list_predictions(reference.sample, reference.probabilities, reference.labels)
    PREDICTIONS.write(folder, predictions)
    write_mistakes(folder, examples, reference.sample, reference.probabilities, reference.workload)
    verdict.set_int_custom_property("passed", int(outcome.passed))


def _run_saved_model(
    examples: Artifact, transform_graph: str, model: str, bundle: Path, workload: Workload, settings: str
) -> _Reference:
    """Answers the eval examples, and checks preprocessing.json on those whose raw input was kept."""
    sample = read_examples(examples, transform_graph, "eval", _MOST_EXAMPLES, workload)
    signature = name_tensor_signature(workload.module)
    saved_model = ServedModel(path_utils.serving_model_path(model), signature)
    outputs = saved_model.answer(sample.inputs)
    probabilities = outputs["probabilities"]
    raw = (bundle / LABELS_FILE_NAME).read_bytes()
    labels = parse_labels(raw, LABELS_FILE_NAME, probabilities.shape[1], workload.labels)

    contract = PREPROCESSING.read(bundle)
    raw_examples: list[RawExample] = []
    if contract["kind"] in TOLERANCES:
        raw_examples = _read_raw_examples(examples.uri, sample, probabilities, labels)
    return _Reference(
        workload=workload,
        sample=sample,
        labels=labels,
        probabilities=probabilities,
        unlike=outputs[UNLIKE][:, 0] if UNLIKE in outputs else None,
        contract=contract,
        raw_examples=raw_examples,
        checked=check_contract(raw_examples, contract, saved_model.predict),
        predict=saved_model.predict,
        settings=_Settings.model_validate_json(settings),
    )


def _judge_file(
    conversion: Conversion, bundle: Path, reference: _Reference, production: _Production | None
) -> _Judged:
    """Measures a file, and judges it by the limits and, if one is given, by the file in production."""
    if conversion.file is None:
        failures = [Finding(f"It could not be converted: {conversion.error}", code="conversion")]
        return _Judged(Variant(conversion.variant, reasons=join_findings(failures)), failures)

    file, sample, limits = bundle / conversion.file, reference.sample, reference.settings.edge
    inspection = inspect(file)
    measurement, probabilities = measure(
        file,
        sample.inputs,
        sample.labels,
        reference.probabilities,
        sample.groups,
        [] if reference.checked.problems else [example.content for example in reference.raw_examples],
        reference.contract,
        reference.unlike,
    )
    evidence = reference.gather_evidence(probabilities)
    too_new = find_runtime_problems(inspection, limits.oldest_runtime)
    findings = [
        *(Finding(sentence, code="format") for sentence in find_problems(inspection, conversion.variant)),
        *(Finding(sentence, "edge.oldest_runtime=null", code="runtime") for sentence in too_new),
        *judge_edge_file(measurement, limits, evidence),
    ]

    compared = ""
    # Beside a limit too, so that all that would hold the file is said at once.
    if measurement.finite and production is not None and production.answers is not None:
        against = replace(evidence.answers, baseline=production.answers.candidate)
        findings += judge_file(against, evidence.settings, evidence.metrics.group)
        compared = _compare(conversion.variant, against, production.name, production.answers)
    failures = [finding for finding in findings if finding.severity == "block"]
    warnings = [finding for finding in findings if finding.severity == "warn"]
    reasons = join_findings(failures)
    variant = Variant(conversion.variant, conversion.file, reasons, inspection, measurement)
    return _Judged(variant, failures, compared, warnings)


def _write_golden_vectors(
    folder: Path, bundle: Path, judged: Sequence[_Judged], reference: _Reference
) -> ContractCheck:
    """Writes examples with the answers of each file that passed; returns the check with their number."""
    most = reference.settings.edge.golden_examples
    if not most or not reference.raw_examples:
        return reference.checked
    variants = [each.variant for each in judged if not each.failures]
    passed = {variant.name: bundle / variant.file for variant in variants if variant.file}
    chosen = choose_examples(reference.raw_examples, most)
    if unlike := make_unlike_example(chosen[0], reference.contract, reference.predict):
        chosen.append(unlike)
    write_vectors(folder, chosen, reference.contract, passed)
    return replace(reference.checked, shipped=len(chosen))


def _conclude(
    default: _Judged | None, judged: Sequence[_Judged], reference: _Reference, production: _Production
) -> Verdict:
    """Returns the verdict on all files; it passes if one of them can be the default."""
    findings = [replace(finding, file=each.variant.name) for each in judged for finding in each.failures]
    fell_by_time = any(rest_on_time(each.failures) for each in judged)
    if default is None:
        problems = [Finding(problem, code="contract") for problem in reference.checked.problems]
        return replace(Verdict.of("edge", (*problems, *findings)), fell_by_time=fell_by_time)
    reasons = [f"{default.variant.name} is the default variant."]
    if default.compared:
        reasons.append(default.compared)
    # A file that fell ships with none of them, and stops nothing.
    warnings = [replace(finding, severity="warn") for finding in findings]
    for each in judged:
        if not each.failures:
            warnings += [replace(finding, file=each.variant.name) for finding in each.warnings]
    if not reference.raw_examples:
        warnings.append(Finding(_NOT_CHECKED, code="not_checked", severity="warn"))
    if production.has_model and production.lacks:
        warnings.append(Finding(production.lacks, code="not_comparable", severity="warn"))
    return replace(Verdict.of("edge", warnings, lambda: reasons), fell_by_time=fell_by_time)


def _compare(variant: str, now: Answers, production: str, then: Answers) -> str:
    """Returns a sentence on the accuracies of a file and of the one in production on the same examples."""
    right, right_before = (float(side.find_right(side.candidate).mean()) for side in (now, then))
    return (
        f"On the same {len(now.labels):,} eval examples {variant} was right on {right:.3f}, and {production}"
        f" on {right_before:.3f}."
    )


def _run_production(production: Artifact, examples: Artifact, reference: _Reference) -> _Production:
    """Runs the default file in production on the eval examples, which its own Transform graph prepares."""
    version = production.get_int_custom_property("version")
    if not production.get_int_custom_property("has_model"):
        why = "Nothing was in production before, so there was no file to compare with."
        return _Production(lacks=why)
    file = production.get_string_custom_property("edge_file")
    none = f"The files were not compared with the file in production, of version {version}"
    if not file:
        why = f"{none}: its bundle cannot be read; see `edgeline verify {version}`."
        return _Production(lacks=why, has_model=True)
    try:
        probabilities = _predict(production, file, examples, reference.labels)
    except EdgelineError as error:
        return _Production(lacks=f"{none}: {error.found} {error.why}", has_model=True)
    except (tf.errors.OpError, KeyError, ValueError) as error:
        reason = explain_mismatch(error).rstrip(".")
        why = f"{none}: its SavedModel cannot read the examples of today ({reason})."
        return _Production(lacks=why, has_model=True)
    return _Production(f"{file} of version {version}", reference.gather(probabilities), has_model=True)


def _predict(
    production: Artifact, file: str, examples: Artifact, labels: Sequence[str]
) -> NDArray[np.float32]:
    """Returns the probabilities of a file in production, float32 [n, classes]."""
    bundle = Path(production.uri, artifacts.PRODUCTION_EDGE)
    model = EdgeModel(bundle / file)
    parse_labels((bundle / LABELS_FILE_NAME).read_bytes(), LABELS_FILE_NAME, model.classes, labels)
    loaded = tf.saved_model.load(path_utils.serving_model_path(production.uri))
    transform = loaded.signatures["transform_features"]
    rows = []
    records = open_records(artifact_utils.get_split_uri([examples], "eval"))
    for batch in records.take(_MOST_EXAMPLES).batch(_BATCH):
        features = transform(examples=batch)
        (inputs,) = (tensor for feature, tensor in features.items() if feature != LABEL)
        rows.append(model.predict(inputs.numpy()))
    return np.concatenate(rows)


def _read_raw_examples(
    examples: str, sample: TransformedExamples, reference: NDArray[np.float32], labels: Sequence[str]
) -> list[RawExample]:
    """Reads the examples of a sample whose raw inputs lie in the folder of the Examples."""
    folder = Path(examples, ORIGINALS_FOLDER)
    numbers = {id: number for number, id in enumerate(sample.ids)}
    return [
        RawExample(
            id=original.example_id,
            label=labels[sample.labels[number]],
            slices=sample.get_slices(number),
            content=(folder / original.file).read_bytes() if original.file else original.content,
            tensor=sample.inputs[number],
            answer=reference[number],
            right=bool(reference[number].argmax() == sample.labels[number]),
        )
        for original in ORIGINALS.read(folder)
        if (number := numbers.get(original.example_id)) is not None
    ]
