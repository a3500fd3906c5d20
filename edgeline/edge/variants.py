"""The edge files that one SavedModel is converted to, and the dtypes that each must have."""

from collections.abc import Mapping
from dataclasses import dataclass


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
