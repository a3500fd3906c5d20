"""EdgeValidator: measures the files that would ship, and compares them with the SavedModel."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Examples, Model, TransformGraph
from tfx.utils import path_utils

from components import artifacts
from components.predictions import write_mistakes, write_predictions
from components.transformed_examples import TransformedExamples, read_examples
from edgeline.edge.golden import TOLERANCES
from edgeline.edge.inspect import inspect, problems
from edgeline.edge.measure import measure
from edgeline.gates.edge import judge
from edgeline.gates.settings import EdgeLimits
from edgeline.labels import parse_labels
from edgeline.records.edge import (
    CONVERSIONS,
    EDGE_FILES,
    GOLDEN_FOLDER,
    LABELS_FILE_NAME,
    ORIGINALS,
    ORIGINALS_FOLDER,
    PREPROCESSING,
    Conversion,
    EdgeFiles,
    Variant,
)
from edgeline.records.verdict import VERDICT, Verdict
from edgeline.records.workload import Workload
from edgeline.settings_group import Group
from trainer_module.export.golden_writer import RawExample, check_contract, choose_examples, write_vectors
from trainer_module.workload_module import tensor_signature

# The limit bounds memory and time on a large window: 5,000 photos of 128x128x1 are 80 MB, and a share of them
# is known to 0.7 points.
_MOST_EXAMPLES = 5_000
_BATCH = 64
_NOT_CHECKED = (
    "preprocessing.json was not compared with the model's training input: no raw input of an eval example"
    " was kept, or the contract is of a custom kind."
)

log = logging.getLogger("edgeline.edge")


class _Settings(Group):
    edge: EdgeLimits


@component
def EdgeValidator(
    examples: InputArtifact[Examples],
    transform_graph: InputArtifact[TransformGraph],
    model: InputArtifact[Model],
    edge_models: InputArtifact[artifacts.EdgeModels],
    verdict: OutputArtifact[artifacts.Verdict],
    workload: Parameter[str],
    settings: Parameter[str],
    code: Parameter[str],
) -> None:
    """Judges the files of `EdgeConverter`; the first that passes, in the preferred order, is the default.

    They are measured on the split `eval`. None passes if preprocessing.json makes another tensor of a raw
    input than Transform. Beside the verdict lie the measurements, the SavedModel's answer to each example,
    its worst mistakes, and the golden vectors of the bundle.

    Raises:
        EdgelineError: The labels are not those of the schema, one for each output of the model.
    """
    bundle, folder = Path(edge_models.uri), Path(verdict.uri)
    about = Workload.from_json(workload)
    sample = read_examples(examples, transform_graph.uri, "eval", _MOST_EXAMPLES, about)
    signature = tensor_signature(about.module)
    saved_model = _SavedModel(path_utils.serving_model_path(model.uri), signature)
    reference = saved_model.predict(sample.inputs)
    raw = (bundle / LABELS_FILE_NAME).read_bytes()
    names = parse_labels(raw, LABELS_FILE_NAME, reference.shape[1], about.labels)
    required = _Settings.model_validate_json(settings).edge
    variants = tuple(
        _validate_variant(bundle, conversion, sample, reference, required)
        for conversion in CONVERSIONS.read(bundle)
    )
    contract = PREPROCESSING.read(bundle)
    is_known = contract.get("kind", "image") in TOLERANCES
    raw_examples = _read_raw_examples(examples.uri, sample, reference, names) if is_known else []
    checked = check_contract(raw_examples, contract, saved_model.predict)
    passed = {v.name: bundle / v.file for v in variants if v.file and not v.reasons and not checked.problems}
    default = next(iter(passed), None)
    failures = tuple(f"{v.name}: {' '.join(v.reasons)}" for v in variants if v.reasons)
    outcome = Verdict("edge", "fail", (*checked.problems, *failures))
    if default is not None:
        if required.golden_examples and raw_examples:
            chosen = choose_examples(raw_examples, required.golden_examples)
            write_vectors(folder / GOLDEN_FOLDER, chosen, contract, passed)
            checked = replace(checked, shipped=len(chosen))
        unchecked = () if raw_examples else (_NOT_CHECKED,)
        outcome = Verdict("edge", "pass", (f"{default} is the default variant.",), (*failures, *unchecked))
    for warning in outcome.warnings:
        log.warning(warning)
    VERDICT.write(folder, outcome)
    EDGE_FILES.write(folder, EdgeFiles(default, len(sample.labels), variants, checked))
    write_predictions(folder, sample, reference, names)
    write_mistakes(folder, examples, sample, reference, about)
    verdict.set_int_custom_property("passed", int(outcome.passed))


class _SavedModel:
    """A SavedModel, served by its signature that takes tensors."""

    def __init__(self, folder: str, signature: str) -> None:
        import tensorflow as tf

        self._loaded = tf.saved_model.load(folder)  # the signatures alone do not keep the variables alive
        self._serve = self._loaded.signatures[signature]

    def predict(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Returns the model's probabilities, float32 [n, classes]."""
        import tensorflow as tf

        ((name, spec),) = self._serve.structured_input_signature[1].items()
        batches = (inputs[start : start + _BATCH] for start in range(0, len(inputs), _BATCH))
        answers = (self._serve(**{name: tf.cast(batch, spec.dtype)})["probabilities"] for batch in batches)
        return np.concatenate([answer.numpy() for answer in answers])


def _read_raw_examples(
    examples: str, sample: TransformedExamples, reference: NDArray[np.float32], labels: Sequence[str]
) -> list[RawExample]:
    """Reads the examples of a sample whose raw inputs lie in the folder of the Examples."""
    folder, numbers = Path(examples, ORIGINALS_FOLDER), {id: number for number, id in enumerate(sample.ids)}
    return [
        RawExample(
            id=original.example_id,
            label=labels[sample.labels[number]],
            slices={kind: names[number] for kind, names in sample.groups.items() if kind != "class"},
            content=(folder / original.file).read_bytes() if original.file else original.content,
            tensor=sample.inputs[number],
            answer=reference[number],
            right=bool(reference[number].argmax() == sample.labels[number]),
        )
        for original in ORIGINALS.read(folder)
        if (number := numbers.get(original.example_id)) is not None
    ]


def _validate_variant(
    bundle: Path,
    conversion: Conversion,
    sample: TransformedExamples,
    reference: NDArray[np.float32],
    limits: EdgeLimits,
) -> Variant:
    """Inspects and measures one variant, and judges it."""
    name = conversion.variant
    if conversion.file is None:
        return Variant(name, None, (f"It could not be converted: {conversion.error}",))
    path = bundle / conversion.file
    inspection = inspect(path)
    measurement = measure(path, sample.inputs, sample.labels, reference, sample.groups)
    reasons = (*problems(inspection, name), *judge(measurement, limits))
    return Variant(name, path.name, reasons, inspection, measurement)
