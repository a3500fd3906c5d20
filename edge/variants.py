"""The edge files that one SavedModel is converted to, and what each must hold."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Variant:
    """One way of quantising a model."""

    name: str  # as settings, manifests and file names spell it
    io_dtype: str  # of the file's inputs and outputs
    weight_dtype: str
    # Least share of the weight bytes that must have `weight_dtype`. It is below 1 where the converter leaves
    # small things as they were: biases and per-channel scales stay float32 in `dynamic`, which only quantises
    # tensors of 1,024 elements and more (https://ai.google.dev/edge/litert/models/post_training_quantization),
    # and int8 files keep biases as int32.
    min_weight_share: float
    integer_only: bool = False  # no tensor may be a float, as for integer-only accelerators, microcontrollers

    @property
    def file_name(self) -> str:
        """Name of the variant's file in a bundle, such as `model_fp16.tflite`."""
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
