"""EdgeConverter: the SavedModel becomes the files for a phone, one a variant."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import BaseChannel, Channel, artifact_utils
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.standard_artifacts import Examples, Model, TransformGraph
from tfx.utils import path_utils

from components.artifacts import EdgeModels
from components.transformed_photos import read_photos
from edge.convert import convert
from labels import render_labels

CONVERSION_FILE_NAME = "conversion.json"
CALIBRATION_FILE_NAME = "calibration.json"

log = logging.getLogger("edgeline.edge")


class EdgeConverterExecutor(BaseExecutor):
    """Converts each variant in a process of its own, int8 calibrated on real training photos."""

    def Do(
        self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]
    ) -> None:
        """See `EdgeConverter`."""
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        graph = artifact_utils.get_single_uri(input_dict["transform_graph"])
        model = artifact_utils.get_single_instance(input_dict["model"])
        folder = Path(artifact_utils.get_single_uri(output_dict["edge_models"]))
        folder.mkdir(parents=True, exist_ok=True)
        look = json.loads(exec_properties["look"])

        photos = read_photos(examples, graph, "train", exec_properties["calibration_photos"])
        conversions = convert(
            saved_model=Path(path_utils.serving_model_path(model.uri)),
            signature="serve_image",
            variants=json.loads(exec_properties["variants"]),
            calibration=photos.images,
            output=folder,
        )
        for conversion in conversions:
            if conversion.error:
                log.warning("The %s variant could not be made: %s", conversion.variant, conversion.error)
        records = [
            {**asdict(conversion), "file": conversion.file and conversion.file.name}
            for conversion in conversions
        ]
        _write_json(folder / CONVERSION_FILE_NAME, records)
        _write_json(folder / CALIBRATION_FILE_NAME, {"split": "train", "photos": photos.groups["photo_id"]})
        (folder / "labels.txt").write_bytes(render_labels(look["labels"]))
        _write_json(folder / "preprocessing.json", _preprocessing(look))


def _preprocessing(look: Mapping[str, Any]) -> dict[str, Any]:
    """How a phone has to prepare a photo; the Transform graph does the same."""
    return {
        "version": 1,
        "image_size": look["image_size"],
        "channels": look["channels"],
        "color": "luma" if look["channels"] == 1 else "rgb",
        "resize": "bilinear-antialias",
        "rounding": "nearest-uint8",
        "orientation": "upright",
        "input_dtype": "float32",
        "input_range": [0, 255],
    }


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False), encoding="utf-8")


class EdgeConverterSpec(ComponentSpec):
    """Parameters and channels of `EdgeConverter`."""

    PARAMETERS = {
        "look": ExecutionParameter(type=str),
        "variants": ExecutionParameter(type=str),
        "calibration_photos": ExecutionParameter(type=int),
    }
    INPUTS = {
        "examples": ChannelParameter(type=Examples),
        "transform_graph": ChannelParameter(type=TransformGraph),
        "model": ChannelParameter(type=Model),
    }
    OUTPUTS = {"edge_models": ChannelParameter(type=EdgeModels)}


class EdgeConverter(BaseComponent):
    """Converts a SavedModel to TFLite.

    A variant that cannot be made is recorded with its error, and the others are made all the same; whether
    what is left may ship is `EdgeValidator`'s to say.

    Args:
        examples: Raw examples; photos of `train` calibrate int8.
        transform_graph: How the model sees them.
        model: The trained model.
        look: `labels`, `image_size` and `channels` of the model.
        variants: Of `fp32`, `fp16`, `dynamic`, `int8`, in the preferred order.
        calibration_photos: How many training photos calibrate int8.
    """

    SPEC_CLASS = EdgeConverterSpec
    EXECUTOR_SPEC = ExecutorClassSpec(EdgeConverterExecutor)

    def __init__(
        self,
        examples: BaseChannel,
        transform_graph: BaseChannel,
        model: BaseChannel,
        look: Mapping[str, Any],
        variants: Sequence[str],
        calibration_photos: int,
    ) -> None:
        super().__init__(
            EdgeConverterSpec(
                examples=examples,
                transform_graph=transform_graph,
                model=model,
                look=json.dumps(dict(look), sort_keys=True),
                variants=json.dumps(list(variants)),
                calibration_photos=calibration_photos,
                edge_models=Channel(type=EdgeModels),
            )
        )
