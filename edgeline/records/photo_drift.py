"""The photos of the newest span that are unlike those of earlier spans."""

from dataclasses import dataclass

from edgeline.records.json_file import JsonFile

# The photos have drifted if surely more than this share is unlike earlier ones, three times that by chance.
_MOST_UNLIKE = 0.03


@dataclass(frozen=True)
class UnlikePhoto:
    """A photo that is unlike earlier ones; `file` is a preview beside the record."""

    example: str
    file: str


@dataclass(frozen=True)
class PhotoDrift:
    """The share of a span's photos that are farther from all earlier ones than 99 % of these, 0..1."""

    span: str  # the newest
    photos: int  # number of its photos that were compared
    share: float
    low: float  # ends of the 95 % interval, which allows for sessions
    high: float
    unlike: tuple[UnlikePhoto, ...] = ()  # the first of these photos, the farthest first

    @property
    def has_drifted(self) -> bool:
        """True if more photos are unlike earlier ones than chance explains."""
        return self.low > _MOST_UNLIKE

    @property
    def sentence(self) -> str:
        """The result in words."""
        return (
            f"{100 * self.share:.1f} % of {self.photos:,} photos of {self.span} are unlike all earlier photos"
            f" (95 % CI {100 * self.low:.1f} to {100 * self.high:.1f} %; 1 % are by chance)."
        )


PHOTO_DRIFT = JsonFile[PhotoDrift]("photo_drift.json", PhotoDrift)
