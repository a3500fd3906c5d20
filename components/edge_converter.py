"""EdgeConverter: the SavedModel becomes the files for a phone, one a variant."""

import json
import logging
from pathlib import Path

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Examples, Model, TransformGraph
from tfx.utils import path_utils

from components.artifacts import EdgeModels
from components.transformed_photos import read_photos
from edge.convert import convert
from edge.settings import ConversionSettings
from labels import render_labels
from records.edge import (
    CALIBRATION,
    CONVERSIONS,
    LABELS_FILE_NAME,
    PREPROCESSING,
    Calibration,
    Preprocessing,
)
from trainer_module.settings import ModelSettings

log = logging.getLogger("edgeline.edge")


@component
def EdgeConverter(
    examples: InputArtifact[Examples],
    transform_graph: InputArtifact[TransformGraph],
    model: InputArtifact[Model],
    edge_models: OutputArtifact[EdgeModels],
    labels: Parameter[str],
    look: Parameter[str],
    settings: Parameter[str],
    code: Parameter[str],
) -> None:
    """Converts each variant in a process of its own, int8 calibrated on real training photos.

    A variant that cannot be made is recorded with its error, and the others are made all the same; whether
    what is left may ship is `EdgeValidator`'s to say.

    Args:
        examples: Raw examples; photos of `train` calibrate int8.
        transform_graph: How the model sees them.
        model: The trained model.
        edge_models: The files, with labels and the preprocessing contract.
        labels: Class names, in the order of the schema's domain, as JSON.
        look: `ModelSettings` as JSON.
        settings: `ConversionSettings` as JSON.
        code: Digest of the code that this runs, which keys the cache.
    """
    conversion = ConversionSettings.model_validate_json(settings)
    folder = Path(edge_models.uri)
    folder.mkdir(parents=True, exist_ok=True)
    photos = read_photos(examples, transform_graph.uri, "train", conversion.calibration_photos)
    conversions = convert(
        saved_model=Path(path_utils.serving_model_path(model.uri)),
        signature="serve_image",
        variants=conversion.variants,
        calibration=photos.images,
        output=folder,
    )
    for item in conversions:
        if item.error:
            log.warning("The %s variant could not be made: %s", item.variant, item.error)
    CONVERSIONS.write(folder, tuple(conversions))
    CALIBRATION.write(folder, Calibration("train", tuple(photos.groups["photo_id"])))
    PREPROCESSING.write(folder, _preprocessing(ModelSettings.model_validate_json(look)))
    (folder / LABELS_FILE_NAME).write_bytes(render_labels(json.loads(labels)))


def _preprocessing(look: ModelSettings) -> Preprocessing:
    """How a phone has to prepare a photo; the Transform graph does the same."""
    return Preprocessing(
        version=1,
        image_size=look.image_size,
        channels=look.channels,
        color="luma" if look.channels == 1 else "rgb",
        resize="bilinear-antialias",
        rounding="nearest-uint8",
        orientation="upright",
        input_dtype="float32",
        input_range=(0, 255),
    )
