"""Golden vectors: a few examples by which any implementation of a bundle can be checked, number by number.

golden/golden.json    what follows; a text or the cells of a row are in it as a person has them
golden/01.jpg         the first example's photo, freed of what says who took it where
golden/tensors.bin    what the model reads of each example, one after the other: little-endian, row-major

An implementation is right where it makes of each raw input the example's tensor, within `tolerance`, and
where a file of the bundle makes of that tensor the example's scores, within `score_tolerance`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import Struct, field

from records.json_file import JsonFile, JsonLines

GOLDEN_FOLDER, TENSORS = "golden", "tensors.bin"
ORIGINALS_FOLDER = "originals"
# The cells of a row by column, and of a window those of each reading, the oldest first; or a text.
Content = str | Mapping[str, str | tuple[str, ...]]


@dataclass(frozen=True)
class Tolerance:
    """How far two tensors may be apart that are made of the same raw input."""

    step: float  # most that `share` of the values may differ by
    share: float  # 0..1
    most: float  # that any value may differ by


class GoldenExample(Struct, frozen=True, omit_defaults=True):
    """One example; its raw input is `content`, or of a photo the file of that name beside golden.json."""

    label: str
    saved_model: tuple[float, ...]  # its probabilities, in the order of labels.txt
    scores: Mapping[str, tuple[float, ...]]  # those of each file, by the name of its variant
    slices: Mapping[str, str] = field(default_factory=dict)
    content: Content | None = None
    file: str = ""


class Golden(Struct, frozen=True):
    """The content of golden.json."""

    kind: str  # of preprocessing.json
    contract_version: int  # of the preprocessing.json that the tensors belong to
    dtype: str  # of the tensors, as numpy spells it
    shape: tuple[int, ...]  # of one tensor, without the batch
    tolerance: Tolerance
    score_tolerance: Mapping[str, float]  # by variant: the largest difference of a probability
    examples: tuple[GoldenExample, ...]
    version: int = 1


class Original(Struct, frozen=True):
    """The raw input of an eval example, which ingest keeps of a few; `file` lies beside the list."""

    example_id: str
    content: Content | None = None
    file: str = ""


GOLDEN = JsonFile[Golden]("golden.json", Golden)
ORIGINALS = JsonLines[Original]("originals.jsonl", Original)
