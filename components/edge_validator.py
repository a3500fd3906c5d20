"""EdgeValidator: measures the very files that would ship, next to the SavedModel that they were made from."""

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
from edge.golden import TOLERANCES
from edge.golden_writer import RawExample, check_contract, choose_examples, write_vectors
from edge.inspect import inspect, problems
from edge.measure import measure
from gates.edge import judge
from gates.settings import EdgeLimits
from labels import parse_labels
from records.edge import (
    CONVERSIONS,
    EDGE_FILES,
    LABELS_FILE_NAME,
    PREPROCESSING,
    Conversion,
    EdgeFiles,
    Variant,
)
from records.golden import GOLDEN_FOLDER, ORIGINALS, ORIGINALS_FOLDER
from records.verdict import VERDICT, Verdict
from records.workload import Workload
from trainer_module.workload_module import tensor_signature

# Bounds memory and time on a large window: 5,000 photos of 128x128x1 are 80 MB, and a share of them is known
# to 0.7 points.
_MOST_EXAMPLES = 5_000
_BATCH = 64
_NOT_CHECKED = (
    "preprocessing.json was not held against what the model was trained on: no raw input of an eval example"
    " was kept, or it is of a kind of its own."
)

log = logging.getLogger("edgeline.edge")


@component
def EdgeValidator(
    examples: InputArtifact[Examples],
    transform_graph: InputArtifact[TransformGraph],
    model: InputArtifact[Model],
    edge_models: InputArtifact[artifacts.EdgeModels],
    verdict: OutputArtifact[artifacts.Verdict],
    workload: Parameter[str],
    limits: Parameter[str],
    code: Parameter[str],
) -> None:
    """Judges the files of `EdgeConverter`; the first that passes, in the preferred order, is the default.

    Measured on the split `eval`. None passes where preprocessing.json makes another tensor of a raw input
    than Transform. Beside the verdict lie the measurements, what the SavedModel said of each example, its
    worst mistakes, and the golden vectors of the bundle. `limits` is `EdgeLimits` as JSON.

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
    required = EdgeLimits.model_validate_json(limits)
    variants = tuple(
        _validate(bundle, conversion, sample, reference, required) for conversion in CONVERSIONS.read(bundle)
    )
    contract = PREPROCESSING.read(bundle)
    known = contract.get("kind", "image") in TOLERANCES
    raw_examples = _raw_examples(examples.uri, sample, reference, names) if known else []
    checked = check_contract(raw_examples, contract, saved_model.predict)
    passed = {v.name: bundle / v.file for v in variants if v.file and not v.reasons and not checked.problems}
    default = next(iter(passed), None)
    failures = tuple(f"{v.name}: {' '.join(v.reasons)}" for v in variants if v.reasons)
    found = Verdict("edge", "fail", (*checked.problems, *failures))
    if default is not None:
        if required.golden_examples and raw_examples:
            chosen = choose_examples(raw_examples, required.golden_examples)
            write_vectors(folder / GOLDEN_FOLDER, chosen, contract, passed)
            checked = replace(checked, shipped=len(chosen))
        unchecked = () if raw_examples else (_NOT_CHECKED,)
        found = Verdict("edge", "pass", (f"{default} is the default variant.",), (*failures, *unchecked))
    for warning in found.warnings:
        log.warning(warning)
    VERDICT.write(folder, found)
    EDGE_FILES.write(folder, EdgeFiles(default, len(sample.labels), variants, checked))
    write_predictions(folder, sample, reference, names)
    write_mistakes(folder, examples, sample, reference, about)
    verdict.set_int_custom_property("passed", int(found.passed))


class _SavedModel:
    """The signature of a SavedModel that takes tensors."""

    def __init__(self, folder: str, signature: str) -> None:
        import tensorflow as tf

        self._loaded = tf.saved_model.load(folder)  # its signatures do not keep its variables
        self._serve = self._loaded.signatures[signature]

    def predict(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Its probabilities, float32 [n, classes]."""
        import tensorflow as tf

        ((name, spec),) = self._serve.structured_input_signature[1].items()
        batches = (inputs[start : start + _BATCH] for start in range(0, len(inputs), _BATCH))
        answers = (self._serve(**{name: tf.cast(batch, spec.dtype)})["probabilities"] for batch in batches)
        return np.concatenate([answer.numpy() for answer in answers])


def _raw_examples(
    examples: str, sample: TransformedExamples, reference: NDArray[np.float32], labels: Sequence[str]
) -> list[RawExample]:
    """The examples of a sample whose raw inputs lie in the folder of the Examples."""
    folder, numbers = Path(examples, ORIGINALS_FOLDER), {id: number for number, id in enumerate(sample.ids)}
    return [
        RawExample(
            id=each.example_id,
            label=labels[sample.labels[number]],
            slices={kind: names[number] for kind, names in sample.groups.items() if kind != "class"},
            content=(folder / each.file).read_bytes() if each.file else each.content,
            tensor=sample.inputs[number],
            answer=reference[number],
            right=bool(reference[number].argmax() == sample.labels[number]),
        )
        for each in ORIGINALS.read(folder)
        if (number := numbers.get(each.example_id)) is not None
    ]


def _validate(
    bundle: Path,
    conversion: Conversion,
    sample: TransformedExamples,
    reference: NDArray[np.float32],
    limits: EdgeLimits,
) -> Variant:
    """Everything that is known of one variant."""
    name = conversion.variant
    if conversion.file is None:
        return Variant(name, None, (f"It could not be converted: {conversion.error}",))
    path = bundle / conversion.file
    inspected = inspect(path)
    measured = measure(path, sample.inputs, sample.labels, reference, sample.groups)
    reasons = (*problems(inspected, name), *judge(measured, limits))
    return Variant(name, path.name, reasons, inspected, measured)
