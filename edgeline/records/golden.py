"""Golden vectors: a few examples with which any implementation of a bundle can be checked number by number.

golden/golden.json    a `Golden`; it holds texts and the cells of rows as people write them
golden/01.jpg         the photo of the first example, without metadata about who took it and where
golden/tensors.bin    the input tensors of all examples, one after the other: little-endian, row-major

An implementation is right if it turns each raw input into the example's tensor, within `tolerance`, and if
a file of the bundle turns that tensor into the example's scores, within `score_tolerance`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import Struct, field

from edgeline.records.json_file import JsonFile, JsonLines

GOLDEN_FOLDER, TENSORS = "golden", "tensors.bin"
ORIGINALS_FOLDER = "originals"
# A text, or the cells of a row by column; a window has the cells of each reading, the oldest first.
Content = str | Mapping[str, str | tuple[str, ...]]


@dataclass(frozen=True)
class Tolerance:
    """The allowed difference between two tensors made from the same raw input."""

    step: float  # allowed difference of at least `share` of the values
    share: float  # 0..1
    most: float  # allowed difference of any value


class GoldenExample(Struct, frozen=True, omit_defaults=True):
    """One example; its raw input is `content`, or the photo `file` beside golden.json."""

    label: str
    saved_model: tuple[float, ...]  # its probabilities, in the order of labels.txt
    scores: Mapping[str, tuple[float, ...]]  # the scores of each file, by the name of its variant
    slices: Mapping[str, str] = field(default_factory=dict)
    content: Content | None = None
    file: str = ""


class Golden(Struct, frozen=True):
    """The content of golden.json."""

    kind: str  # the one in preprocessing.json
    contract_version: int  # version of the preprocessing.json that made the tensors
    dtype: str  # dtype of the tensors, as numpy spells it
    shape: tuple[int, ...]  # shape of one tensor, without the batch
    tolerance: Tolerance
    score_tolerance: Mapping[str, float]  # by variant: the largest difference of a probability
    examples: tuple[GoldenExample, ...]
    version: int = 1


class Original(Struct, frozen=True):
    """The raw input of an eval example; ingest keeps a few of them. `file` lies beside the list."""

    example_id: str
    content: Content | None = None
    file: str = ""


GOLDEN = JsonFile[Golden]("golden.json", Golden)
ORIGINALS = JsonLines[Original]("originals.jsonl", Original)
