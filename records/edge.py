"""The files for a phone: how they were made, what they hold, and what they do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import Struct, field

from records.json_file import JsonFile, JsonLines

LABELS_FILE_NAME = "labels.txt"


@dataclass(frozen=True)
class Conversion:
    """What became of one variant: the name of its file, or why there is none."""

    variant: str
    file: str | None
    error: str | None = None  # with the last lines of the converter's log


@dataclass(frozen=True)
class TensorContract:
    """What goes into or comes out of a file; scale and zero point are None in float tensors."""

    name: str  # in the file's signature
    shape: tuple[int, ...]  # -1 where the file leaves a size open
    dtype: str  # as numpy spells it
    scale: float | None  # real value of one quantisation step
    zero_point: int | None  # quantised value that stands for 0.0


@dataclass(frozen=True)
class FileReport:
    """What an edge file holds."""

    ops: Mapping[str, int]  # count by name in the schema; custom ones by their own
    custom_ops: tuple[str, ...]  # that are not TFLite's own, Flex ones left out
    flex_ops: tuple[str, ...]  # TensorFlow's, which would need the Flex delegate
    inputs: tuple[TensorContract, ...]
    outputs: tuple[TensorContract, ...]
    weight_dtypes: Mapping[str, float]  # share of each in the bytes of all constants, 0..1
    tensor_dtypes: Mapping[str, int]  # count of tensors of each, constants and activations


@dataclass(frozen=True)
class GroupAccuracy:
    """Accuracy on the examples of one group, 0..1, with their number."""

    support: int
    accuracy: float
    reference_accuracy: float  # the SavedModel's


@dataclass(frozen=True)
class Latency:
    """Time of one example in one thread, input and output quantisation included, in milliseconds."""

    p50_ms: float
    p99_ms: float
    runs: int


@dataclass(frozen=True)
class Machine:
    """Where the latency was measured."""

    cpu: str
    runtime: str


class Measurement(Struct, frozen=True):
    """What one edge file does on real examples; accuracies are shares of the right top-1 label, 0..1."""

    file: str
    size_bytes: int
    examples: int = field(name="photos")  # how many
    agreement: float  # share of examples with the SavedModel's top-1 label, 0..1
    max_difference: float | None  # largest absolute difference of a probability; None where one is no number
    accuracy: float
    reference_accuracy: float  # the SavedModel's, on the same examples
    groups: Mapping[str, Mapping[str, GroupAccuracy]]  # such as `groups["lane"]["lane-07"]`
    finite: bool  # whether every probability is a finite number
    latency: Latency
    machine: Machine

    def worst(self) -> tuple[str, GroupAccuracy] | None:
        """The group with the lowest accuracy, with its name; a class only where nothing else is grouped."""
        of = next((groups for kind, groups in self.groups.items() if kind != "class"), None)
        of = of if of is not None else self.groups.get("class", {})
        return min(of.items(), key=lambda group: (group[1].accuracy, group[0]), default=None)


@dataclass(frozen=True)
class Variant:
    """One edge file and the judgement on it; it passed where `reasons` is empty."""

    name: str
    file: str | None = None  # None where it could not be made; nothing was inspected or measured then
    reasons: tuple[str, ...] = ()  # why it may not ship
    inspected: FileReport | None = None
    measured: Measurement | None = None


@dataclass(frozen=True)
class ContractCheck:
    """What preprocessing.json makes of raw inputs, beside what Transform made of the same examples."""

    compared: int  # eval examples whose raw input ingest kept
    shipped: int  # those of them in the bundle
    largest_difference: float = 0.0  # of a value of a tensor
    answer_difference: float = 0.0  # of a probability of the SavedModel, by which tensor it was asked
    problems: tuple[str, ...] = ()  # why no file may ship

    @property
    def summary(self) -> str:
        """What came of it, a sentence."""
        agree = "agree" if not self.problems else "do not all agree"
        return (
            f"{self.compared} raw inputs and what the model was trained on {agree}: tensors differ by up to"
            f" {self.largest_difference:.2g}, answers by up to {self.answer_difference:.2g}."
            f" {self.shipped} are golden vectors of the bundle."
        )


class EdgeFiles(Struct, frozen=True):
    """The files that would ship, in the preferred order."""

    default_variant: str | None = None  # the first that passed
    eval_examples: int = field(name="eval_photos", default=0)  # that they were measured on
    variants: tuple[Variant, ...] = ()
    contract: ContractCheck | None = None  # None in records from before there was one

    def __post_init__(self) -> None:
        if self.default_variant is not None and self.default_variant not in {v.name for v in self.variants}:
            raise ValueError(f"the default {self.default_variant} is none of the files")

    @property
    def default_measured(self) -> Measurement | None:
        """What the default does; None where none passed."""
        return next((v.measured for v in self.variants if v.name == self.default_variant), None)


class Prediction(Struct, frozen=True):
    """What the SavedModel said of one eval example; a probability that is no number is None."""

    example_id: str = field(name="photo_id")
    label: str
    probabilities: tuple[float | None, ...]
    slices: Mapping[str, str] = field(default_factory=dict)
    span: int | None = None
    group: str = ""  # the session, machine or author; empty where the example is alone


class Mistake(Struct, frozen=True):
    """A wrong answer that the model was sure of, with a thumbnail beside the list, `file`, or a `text`."""

    file: str
    example_id: str = field(name="photo_id")
    label: str
    predicted: str
    probability: float
    probability_of_label: float = 0.0
    slices: Mapping[str, str] = field(default_factory=dict)
    text: str = ""


CONVERSIONS = JsonFile[tuple[Conversion, ...]]("conversion.json", tuple[Conversion, ...])
# How a device makes what the model reads; `kind` names the module of `edge/contracts/` that does it.
PREPROCESSING = JsonFile[Mapping[str, Any]]("preprocessing.json", Mapping[str, Any])
EDGE_FILES = JsonFile[EdgeFiles]("edge.json", EdgeFiles)
PREDICTIONS = JsonLines[Prediction]("predictions.jsonl", Prediction)
# What models of the same kind said of examples of groups that they had not seen.
OUT_OF_FOLD = JsonLines[Prediction]("out_of_fold.jsonl", Prediction)
MISTAKES = JsonFile[tuple[Mistake, ...]]("mistakes.json", tuple[Mistake, ...])
