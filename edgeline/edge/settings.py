"""Settings of the files that are made for phones."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edgeline.settings_group import Group

VariantName = Literal["fp32", "fp16", "int8", "dynamic"]


class ConversionSettings(Group):
    """The settings by which a model is converted."""

    variants: Annotated[tuple[VariantName, ...], Field(strict=False, min_length=1)] = ("fp16", "int8", "fp32")
    """Files to make of the model, in the preferred order: the first that passes becomes the default."""
    calibration_examples: int = Field(100, ge=1, le=10_000)
    """Number of examples of the train split that calibrate int8."""

    @model_validator(mode="after")
    def _check_duplicates(self) -> "ConversionSettings":
        if len(set(self.variants)) != len(self.variants):
            raise ValueError(f"variants lists one twice: {', '.join(self.variants)}")
        return self
