"""EdgeValidator: measures the files that would ship, and compares them with SavedModel and production."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils
from tfx.types.standard_artifacts import Examples, Model, TransformGraph
from tfx.utils import path_utils

from components import artifacts
from components.predictions import list_predictions, write_mistakes
from components.serving import ServedModel
from components.transformed_examples import TransformedExamples, open_records, read_examples
from edgeline.edge.golden import TOLERANCES
from edgeline.edge.inspect import find_problems, find_runtime_problems, inspect
from edgeline.edge.interpreter import EdgeModel
from edgeline.edge.measure import measure
from edgeline.edge.variants import RuntimeSettings
from edgeline.errors import EdgelineError
from edgeline.gates.answers import Answers, gather_answers
from edgeline.gates.bounds import judge_file
from edgeline.gates.edge import judge, rest_on_time, warn_of_latency
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
    EdgeFiles,
    FileReport,
    Measurement,
    Variant,
)
from edgeline.records.verdict import VERDICT, Finding, Verdict, join_findings
from edgeline.records.workload import Workload
from edgeline.settings_group import Group
from trainer_module.export.golden_writer import RawExample, check_contract, choose_examples, write_vectors
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
    input than Transform. A file becomes the default only if it keeps the drops that the Evaluator's bounds
    allow below the default file in production, by slice, on the same examples. Beside the verdict lie the
    measurements, the SavedModel's answer to each example, its worst mistakes, and the golden vectors of the
    bundle. A verdict where a file fell by times alone is not taken from the cache: `slow`, the newest run
    with one, is a part of the key.

    Raises:
        EdgelineError: The labels are not those of the schema, one for each output of the model; or a file
            is damaged.
    """
    bundle, folder = Path(edge_models.uri), Path(verdict.uri)
    about = Workload.from_json(workload)
    sample = read_examples(examples, transform_graph.uri, "eval", _MOST_EXAMPLES, about)
    signature = name_tensor_signature(about.module)
    saved_model = ServedModel(path_utils.serving_model_path(model.uri), signature)
    outputs = saved_model.answer(sample.inputs)
    reference = outputs["probabilities"]
    unlike = outputs[UNLIKE][:, 0] if UNLIKE in outputs else None
    raw = (bundle / LABELS_FILE_NAME).read_bytes()
    names = parse_labels(raw, LABELS_FILE_NAME, reference.shape[1], about.labels)
    parsed = _Settings.model_validate_json(settings)
    contract = PREPROCESSING.read(bundle)
    is_known = contract["kind"] in TOLERANCES
    raw_examples = _read_raw_examples(examples.uri, sample, reference, names) if is_known else []
    checked = check_contract(
        raw_examples, contract, lambda inputs: saved_model.answer(inputs)["probabilities"]
    )
    contents = [] if checked.problems else [example.content for example in raw_examples]

    before: NDArray[np.float32] | None = None
    production = ""
    if not checked.problems:
        before, production = _predict_with_production(production_model, examples, names)
    then = None if before is None else gather_answers(list_predictions(sample, before, names), about)
    # Without a comparison, a sentence says why; it is a warning where there is something to compare with.
    has_production = bool(production_model.get_int_custom_property("has_model"))
    warnings: tuple[str, ...] = (production,) if production and has_production and before is None else ()
    default, compared, fell_by_time, unlimited = None, "", False, list[str]()
    variants: list[Variant] = []
    findings: list[Finding] = []

    for conversion in CONVERSIONS.read(bundle):
        inspection = measurement = None
        failures = [Finding(f"It could not be converted: {conversion.error}")]
        if conversion.file is not None:
            file = bundle / conversion.file
            inspection = inspect(file)
            measurement, answers = measure(
                file, sample.inputs, sample.labels, reference, sample.groups, contents, contract, unlike
            )
            failures = _find_failures(inspection, measurement, conversion.variant, parsed.edge)
            # Beside a limit too, so that all that would hold the file is said at once.
            if measurement.finite and default is None and then is not None:
                now = gather_answers(list_predictions(sample, answers, names), about)
                gates = judge_file(replace(now, baseline=then.candidate), parsed.evaluation, about.group_noun)
                failures += gates.findings
                if not failures:
                    warnings = gates.warnings
                    compared = _compare(conversion.variant, now, production, then)
            if not failures and default is None and not checked.problems:
                default = conversion.variant
                unlimited = warn_of_latency(measurement, parsed.edge)
        findings += (replace(finding, file=conversion.variant) for finding in failures)
        fell_by_time |= rest_on_time(failures)
        reasons = join_findings(failures)
        variants.append(Variant(conversion.variant, conversion.file, reasons, inspection, measurement))

    if before is None:
        compared = production
    passed = {v.name: bundle / v.file for v in variants if default and v.file and not v.reasons}
    outcome = Verdict.fail("edge", (*map(Finding, checked.problems), *findings))
    if default is not None:
        if parsed.edge.golden_examples and raw_examples:
            chosen = choose_examples(raw_examples, parsed.edge.golden_examples)
            write_vectors(folder / GOLDEN_FOLDER, chosen, contract, passed)
            checked = replace(checked, shipped=len(chosen))
        unchecked = () if raw_examples else (_NOT_CHECKED,)
        reasons = (
            f"{default} is the default variant.",
            *([compared] if has_production and compared not in warnings else []),
        )
        warnings = (*join_findings(findings), *unchecked, *unlimited, *warnings)
        outcome = Verdict("edge", "pass", reasons, warnings)
    outcome = replace(outcome, fell_by_time=fell_by_time)

    for warning in outcome.warnings:
        log.warning(warning)
    VERDICT.write(folder, outcome)
    EDGE_FILES.write(folder, EdgeFiles(default, len(sample.labels), tuple(variants), checked, compared))
    PREDICTIONS.write(folder, list_predictions(sample, reference, names))
    write_mistakes(folder, examples, sample, reference, about)
    verdict.set_int_custom_property("passed", int(outcome.passed))


def _find_failures(
    inspection: FileReport, measurement: Measurement, variant: str, limits: _EdgeSettings
) -> list[Finding]:
    """Returns what keeps a file from shipping, whatever is in production."""
    too_new = find_runtime_problems(inspection, limits.oldest_runtime)
    return [
        *map(Finding, find_problems(inspection, variant)),
        *(Finding(sentence, "edge.oldest_runtime=null") for sentence in too_new),
        *judge(measurement, limits),
    ]


def _compare(variant: str, now: Answers, production: str, then: Answers) -> str:
    """Returns a sentence on the accuracies of a file and of the one in production on the same examples."""
    right, right_before = (float(side.find_right(side.candidate).mean()) for side in (now, then))
    return (
        f"On the same {len(now.labels):,} eval examples {variant} was right on {right:.3f}, and {production}"
        f" on {right_before:.3f}."
    )


def _predict_with_production(
    production: Any, examples: Any, labels: Sequence[str]
) -> tuple[NDArray[np.float32] | None, str]:
    """Runs the default file in production on the eval examples, which its own Transform graph prepares.

    Returns:
        Its probabilities, float32 [n, classes], and its name; or None, and why there are none.
    """
    import tensorflow as tf

    version = production.get_int_custom_property("version")
    if not production.get_int_custom_property("has_model"):
        return None, "Nothing was in production before, so there was no file to compare with."
    file = production.get_string_custom_property("edge_file")
    none = f"The files were not compared with the file in production, of version {version}"
    if not file:
        return None, f"{none}: its bundle cannot be read; see `edgeline verify {version}`."
    name, bundle = f"{file} of version {version}", Path(production.uri, artifacts.PRODUCTION_EDGE)
    try:
        model = EdgeModel(bundle / file)
        parse_labels((bundle / LABELS_FILE_NAME).read_bytes(), LABELS_FILE_NAME, model.classes, labels)
        loaded = tf.saved_model.load(path_utils.serving_model_path(production.uri))
        transform, rows = loaded.signatures["transform_features"], []
        records = open_records(artifact_utils.get_split_uri([examples], "eval"))
        for batch in records.take(_MOST_EXAMPLES).batch(_BATCH):
            features = transform(examples=batch)
            (inputs,) = (tensor for feature, tensor in features.items() if feature != LABEL)
            rows.append(model.predict(inputs.numpy()))
    except EdgelineError as error:
        return None, f"{none}: {error.found} {error.why}"
    except (tf.errors.OpError, KeyError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        return None, f"{none}: its SavedModel cannot read the examples of today ({reason})."
    return np.concatenate(rows), name


def _read_raw_examples(
    examples: str, sample: TransformedExamples, reference: NDArray[np.float32], labels: Sequence[str]
) -> list[RawExample]:
    """Reads the examples of a sample whose raw inputs lie in the folder of the Examples."""
    folder, numbers = Path(examples, ORIGINALS_FOLDER), {id: number for number, id in enumerate(sample.ids)}
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
