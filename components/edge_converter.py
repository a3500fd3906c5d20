"""EdgeConverter: converts the SavedModel into files for a phone, one for each variant."""

import logging
from pathlib import Path

from tensorflow_transform import TFTransformOutput
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Examples, Model, TransformGraph
from tfx.utils import path_utils

from components.artifacts import EdgeModels
from components.transformed_examples import read_examples
from edgeline.edge.micro import write_c_array
from edgeline.edge.variants import ConversionSettings
from edgeline.labels import render_labels
from edgeline.records.edge import CONVERSIONS, LABELS_FILE_NAME, PREPROCESSING
from edgeline.records.workload import Workload
from edgeline.settings_group import Group
from trainer_module.export.convert import convert
from trainer_module.export.metadata import write_metadata
from trainer_module.settings import ModelSettings
from trainer_module.workload_module import load_workload_module, name_tensor_signature

log = logging.getLogger("edgeline.edge")


class _Settings(Group):
    model: ModelSettings
    edge: ConversionSettings


@component
def EdgeConverter(
    examples: InputArtifact[Examples],
    transform_graph: InputArtifact[TransformGraph],
    model: InputArtifact[Model],
    edge_models: OutputArtifact[EdgeModels],
    workload: Parameter[str],
    settings: Parameter[str],
    code: Parameter[str],
) -> None:
    """Converts each variant in a process of its own, int8 calibrated on real training examples.

    A variant that cannot be converted is recorded with its error, and the others are converted all the same;
    `EdgeValidator` decides whether these may ship.

    The labels and the preprocessing contract are written beside the files; for rows, which microcontrollers
    read too, int8 also as C source.

    Args:
        examples: Written by ExampleGen; int8 is calibrated on its split train.
        transform_graph: Written by Transform: it prepares the calibration, and gives the contract.
        model: The SavedModel, written by Trainer.
        edge_models: Read by EdgeValidator, Pusher and RunReport: the files, and how each was made.
        workload: JSON, read as `Workload`.
        settings: The settings `model` and `edge` as JSON, read as `_Settings`.
        code: Digests of the step's code and of the libraries; only a part of the cache key.
    """
    parsed = _Settings.model_validate_json(settings)
    folder = Path(edge_models.uri)
    folder.mkdir(parents=True, exist_ok=True)
    about = Workload.from_json(workload)
    signature = name_tensor_signature(about.module)
    # A rare label's activations count too: int8 would cut off those beyond the ranges that it is given.
    count = parsed.edge.calibration_examples
    sample = read_examples(examples, transform_graph.uri, "train", count, about, each_label=True)
    conversions = convert(
        saved_model=Path(path_utils.serving_model_path(model.uri)),
        signature=signature,
        variants=parsed.edge.variants,
        calibration=sample.inputs,
        output=folder,
        oldest_runtime=parsed.edge.oldest_runtime,
    )
    for item in conversions:
        if item.error:
            log.warning("The %s variant could not be converted: %s", item.variant, item.error)
    CONVERSIONS.write(folder, tuple(conversions))
    contract = load_workload_module(about.module).edge_contract(
        TFTransformOutput(transform_graph.uri), parsed.model, about
    )
    for item in conversions:
        if item.file:
            write_metadata(folder / item.file, signature, about, contract)
            if item.variant == "int8" and contract["kind"] == "row":
                write_c_array(folder / item.file, folder)
    PREPROCESSING.write(folder, contract)
    (folder / LABELS_FILE_NAME).write_bytes(render_labels(about.labels))
