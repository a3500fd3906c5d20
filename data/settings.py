"""Settings of the spans that are read, and of the examples made from them."""

from pydantic import Field, model_validator

from settings_group import Group


class DataSettings(Group):
    """Settings of the spans that are read, and of the examples made from them."""

    window: int = Field(8, ge=1, le=1000)  # how many of the newest spans are read
    # Share of the groups (not of the examples) that goes to the eval split, where the data does not say it;
    # an import of photos says it, so that eval has this share of each class.
    eval_fraction: float = Field(0.2, ge=0.01, le=0.9)
    max_megapixels: float = Field(40.0, gt=0, le=1000)  # a larger photo is quarantined before it is decoded
    min_side: int = Field(16, ge=1, le=4096)  # a photo with a shorter side, in pixels, is quarantined
    max_side: int = Field(
        512, ge=16, le=8192
    )  # a photo with a longer one is scaled down to it first, by a phone too
    # For tables: how many rows of one group, up to the row that is judged, make an example.
    readings: int = Field(1, ge=1, le=4096)
    # With more readings than one: every how many rows of a group an example ends, and the time of a group
    # that is split as one; no example reaches over its end.
    stride: int = Field(1, ge=1, le=4096)
    block_hours: int = Field(24, ge=1, le=8760)
    max_characters: int = Field(10_000, ge=1, le=1_000_000)  # a longer text is quarantined

    @model_validator(mode="after")
    def _check_sides(self) -> "DataSettings":
        if self.min_side > self.max_side:
            raise ValueError(f"min_side ({self.min_side}) is larger than max_side ({self.max_side})")
        return self
