"""The edge files that one SavedModel is converted to, the dtypes that each must have, and their settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from edgeline.settings_group import Group


@dataclass(frozen=True)
class Variant:
    """One way of quantising a model."""

    name: str  # in settings, manifests and file names
    io_dtype: str  # of the file's inputs and outputs
    weight_dtype: str
    # Least share of the weight bytes that must have `weight_dtype`; below 1, as the converter leaves small
    # tensors alone: biases and per-channel scales stay float32 in `dynamic`, which only quantises
    # tensors of 1,024 elements and more (https://ai.google.dev/edge/litert/models/post_training_quantization),
    # and int8 files keep biases as int32.
    min_weight_share: float
    integer_only: bool = False  # no float tensors: for integer-only accelerators and microcontrollers

    @property
    def file_name(self) -> str:
        """Returns the name of the variant's file in a bundle, such as `model_fp16.tflite`."""
        return f"model_{self.name}.tflite"


VARIANTS: Mapping[str, Variant] = {
    variant.name: variant
    for variant in (
        Variant("fp32", io_dtype="float32", weight_dtype="float32", min_weight_share=0.9),
        Variant("fp16", io_dtype="float32", weight_dtype="float16", min_weight_share=0.9),
        Variant("dynamic", io_dtype="float32", weight_dtype="int8", min_weight_share=0.5),
        Variant("int8", io_dtype="int8", weight_dtype="int8", min_weight_share=0.5, integer_only=True),
    )
}


VariantName = Literal["int8", "dynamic", "fp16", "fp32"]


class RuntimeSettings(Group):
    """The runtime that has to run the files."""

    oldest_runtime: Annotated[str, Field(pattern=r"^[0-9]{1,3}\.[0-9]{1,3}(\.[0-9]{1,3})?$")] | None = None
    """Oldest TFLite that has to run the files, such as `2.14`: a file that needs a newer one is refused, and
    dense layers are quantised with one scale each, not one for each output, which older ones cannot read.
    Null for no limit."""


class ConversionSettings(RuntimeSettings):
    """The settings by which a model is converted."""

    variants: Annotated[tuple[VariantName, ...], Field(strict=False, min_length=1)] = get_args(VariantName)
    """Files to make of the model, in the preferred order: the first that passes becomes the default."""
    calibration_examples: int = Field(100, ge=1, le=10_000)
    """Number of examples of the train split that calibrate int8."""

    @model_validator(mode="after")
    def _check_duplicates(self) -> "ConversionSettings":
        if len(set(self.variants)) != len(self.variants):
            raise ValueError(f"variants lists one twice: {', '.join(self.variants)}")
        return self
