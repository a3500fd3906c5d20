"""EdgeValidator: measures the very files that would ship, next to the SavedModel that they were made from."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import BaseChannel, Channel, artifact_utils
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.standard_artifacts import Examples, Model, TransformGraph
from tfx.utils import path_utils

from components.artifacts import EdgeModels, Verdict
from components.edge_converter import CONVERSION_FILE_NAME
from components.predictions import write_mistakes, write_predictions
from components.transformed_photos import TransformedPhotos, read_photos
from components.verdict import VerdictRecord, write_verdict
from edge.inspect import inspect, problems
from edge.measure import EdgeLimits, judge, measure
from labels import parse_labels

MEASURED_FILE_NAME = "edge.json"

# Bounds memory and time on a large window: 5,000 photos of 128x128x1 are 80 MB, and their share is known to
# 0.7 points.
_MOST_PHOTOS = 5_000
_BATCH = 64

log = logging.getLogger("edgeline.edge")


class EdgeValidatorExecutor(BaseExecutor):
    """Inspects and measures each variant, picks the default, and keeps what the SavedModel said."""

    def Do(
        self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]
    ) -> None:
        """See `EdgeValidator`.

        Raises:
            EdgelineError: The labels are not those of the schema, one for each output of the model.
        """
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        graph = artifact_utils.get_single_uri(input_dict["transform_graph"])
        model = artifact_utils.get_single_instance(input_dict["model"])
        bundle = Path(artifact_utils.get_single_uri(input_dict["edge_models"]))
        artifact = artifact_utils.get_single_instance(output_dict["verdict"])
        limits = EdgeLimits(**json.loads(exec_properties["limits"]))
        schema = json.loads(exec_properties["labels"])

        photos = read_photos(examples, graph, "eval", _MOST_PHOTOS)
        reference = _probabilities(path_utils.serving_model_path(model.uri), photos.images)
        file = bundle / "labels.txt"
        labels = parse_labels(file.read_bytes(), file.name, reference.shape[1], schema)
        variants = [
            _validate(bundle, conversion, photos, reference, limits)
            for conversion in json.loads((bundle / CONVERSION_FILE_NAME).read_text(encoding="utf-8"))
        ]
        default = next((variant["name"] for variant in variants if not variant["reasons"]), None)
        verdict = _verdict(variants, default)
        for warning in verdict.warnings:
            log.warning(warning)
        write_verdict(artifact.uri, verdict)
        measured = {"default_variant": default, "eval_photos": len(photos.labels), "variants": variants}
        folder = Path(artifact.uri)
        (folder / MEASURED_FILE_NAME).write_text(json.dumps(measured, indent=1), encoding="utf-8")
        write_predictions(folder, photos, reference, labels)
        write_mistakes(folder, examples, photos, reference, labels)
        artifact.set_int_custom_property("passed", int(verdict.passed))


def _probabilities(saved_model: str, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The SavedModel's probabilities, float32 [n, classes]."""
    import tensorflow as tf

    serve = tf.saved_model.load(saved_model).signatures["serve_image"]
    batches = (images[start : start + _BATCH].astype(np.float32) for start in range(0, len(images), _BATCH))
    return np.concatenate([serve(image=tf.constant(batch))["probabilities"].numpy() for batch in batches])


def _validate(
    bundle: Path,
    conversion: Mapping[str, Any],
    photos: TransformedPhotos,
    reference: NDArray[np.float32],
    limits: EdgeLimits,
) -> dict[str, Any]:
    """Everything that is known of one variant; it passed where `reasons` is empty."""
    name = conversion["variant"]
    if conversion["error"]:
        return {"name": name, "file": None, "reasons": [f"It could not be converted: {conversion['error']}"]}
    path = bundle / conversion["file"]
    report = inspect(path)
    groups = {"class": photos.groups["label"], "lane": photos.groups["lane_id"]}
    measurement = measure(path, name, photos.images, photos.labels, reference, groups)
    return {
        "name": name,
        "file": path.name,
        "reasons": [*problems(report, name), *judge(measurement, report, limits)],
        "inspected": asdict(report),
        "measured": asdict(measurement),
    }


def _verdict(variants: Sequence[Mapping[str, Any]], default: str | None) -> VerdictRecord:
    failures = tuple(f"{v['name']}: {' '.join(v['reasons'])}" for v in variants if v["reasons"])
    if default is None:
        return VerdictRecord("edge", "fail", failures)
    return VerdictRecord("edge", "pass", (f"{default} is the default variant.",), failures)


class EdgeValidatorSpec(ComponentSpec):
    """Parameters and channels of `EdgeValidator`."""

    PARAMETERS = {"labels": ExecutionParameter(type=str), "limits": ExecutionParameter(type=str)}
    INPUTS = {
        "examples": ChannelParameter(type=Examples),
        "transform_graph": ChannelParameter(type=TransformGraph),
        "model": ChannelParameter(type=Model),
        "edge_models": ChannelParameter(type=EdgeModels),
    }
    OUTPUTS = {"verdict": ChannelParameter(type=Verdict)}


class EdgeValidator(BaseComponent):
    """Judges the files of `EdgeConverter`; the first that passes, in the preferred order, is the default.

    Args:
        examples: Raw examples; the split `eval` is used.
        transform_graph: How the model sees them.
        model: The SavedModel that the files were made from.
        edge_models: The files.
        labels: Class names, in the order of the schema's domain.
        limits: The fields of `EdgeLimits`, as in the settings.
    """

    SPEC_CLASS = EdgeValidatorSpec
    EXECUTOR_SPEC = ExecutorClassSpec(EdgeValidatorExecutor)

    def __init__(
        self,
        examples: BaseChannel,
        transform_graph: BaseChannel,
        model: BaseChannel,
        edge_models: BaseChannel,
        labels: Sequence[str],
        limits: Mapping[str, Any],
    ) -> None:
        super().__init__(
            EdgeValidatorSpec(
                examples=examples,
                transform_graph=transform_graph,
                model=model,
                edge_models=edge_models,
                labels=json.dumps(list(labels)),
                limits=json.dumps(dict(limits), sort_keys=True),
                verdict=Channel(type=Verdict),
            )
        )
