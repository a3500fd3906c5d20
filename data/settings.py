"""Settings of the spans that are read, and of the examples made from them."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from edgeline.records.ingest import SPAN_NAME
from edgeline.settings_group import Group


def _check_span(name: object) -> object:
    if name is not None and not SPAN_NAME.fullmatch(str(name)):
        raise ValueError(f"{name!r:.100} is not the name of a span, such as span-00012")
    return name


def _check_levels(levels: tuple[int, ...]) -> tuple[int, ...]:
    if levels and (len(levels) != 2 or not 0 <= levels[0] < levels[1] <= 65535):
        raise ValueError(f"{list(levels)} are not a lower and a higher level of 0 to 65535")
    return levels


class DataSettings(Group):
    """Settings of the spans that are read, and of the examples made from them."""

    window: int = Field(8, ge=1, le=1000)
    """Number of the newest spans that are read."""
    until: Annotated[str | None, BeforeValidator(_check_span)] = None
    """Last span that is read, such as span-00012: a run as on the day when it was the newest. Null for no
    limit."""
    eval_fraction: float = Field(0.2, ge=0.01, le=0.9)
    """Share of the groups (not of the examples) that goes to the eval split, where the data does not name the
    split itself. An import of photos names it, so that eval has this share of each class."""
    max_megapixels: float = Field(40.0, gt=0, le=1000)
    """Largest photo in megapixels; a larger one is quarantined before it is decoded."""
    min_side: int = Field(16, ge=1, le=4096)
    """Shortest side of a photo in pixels; a photo with a shorter one is quarantined."""
    max_side: int = Field(512, ge=16, le=6000)
    """Longest side of a photo in pixels; a larger photo is first scaled down to it, on a phone too."""
    levels: Annotated[tuple[int, ...], Field(strict=False), AfterValidator(_check_levels)] = ()
    """Levels, of 0 to 65535, of photos of 16 bits that become 0 and 255, such as [26500, 27500] of a thermal
    camera, on a phone too. Those beyond are clipped. The first import sets it. Empty for all levels."""
    readings: int = Field(1, ge=1, le=4096)
    """Tables: number of rows of one group, up to the row that is judged, that make an example."""
    stride: int = Field(1, ge=1, le=4096)
    """Tables with more than one reading: rows of a group from the end of one example to that of the next."""
    window_label: Literal["newest", "commonest", "event"] = "newest"
    """Label of an example of more than one reading: that of the newest; the commonest, of two the newer one;
    or, for short events, the newest that is not the workload's `normal`, where the window has one."""
    block_hours: int = Field(24, ge=1, le=87_600)
    """Tables with more than one reading: length in hours of the blocks into which the time of a group is
    divided. A block goes to one split as a whole, and no example crosses its end. In a table with times
    and without groups, such blocks are the groups, also with one reading."""
    max_characters: int = Field(10_000, ge=1, le=1_000_000)
    """Largest number of characters of a text; a longer text is quarantined."""

    @model_validator(mode="after")
    def _check_sides(self) -> "DataSettings":
        if self.min_side > self.max_side:
            raise ValueError(f"min_side ({self.min_side}) is larger than max_side ({self.max_side})")
        return self
