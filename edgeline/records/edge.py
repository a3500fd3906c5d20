"""Records of the files for phones: their conversion, content, measurements and golden vectors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import Struct, field

from edgeline.records.json_file import JsonFile, JsonLines

LABELS_FILE_NAME = "labels.txt"
# The output that says how unlike a photo is to those of training: 0 to 1, above 0.5 for 5 % of eval.
UNLIKE = "unlike"
UNLIKE_FROM = 0.5


@dataclass(frozen=True)
class Conversion:
    """The result of converting one variant: the name of its file, or the error."""

    variant: str
    file: str | None
    error: str | None = None  # with the last lines of the converter's log


@dataclass(frozen=True)
class TensorContract:
    """An input or output tensor of a file; scale and zero point are None in float tensors."""

    name: str  # in the file's signature
    shape: tuple[int, ...]  # -1 where the file leaves a size open
    dtype: str  # as numpy spells it
    scale: float | None  # real size of one quantisation step
    zero_point: int | None  # quantised value that stands for 0.0


@dataclass(frozen=True)
class FileReport:
    """The ops and tensors of an edge file."""

    ops: Mapping[str, int]  # count by name in the TFLite schema; custom ops by their own name
    custom_ops: tuple[str, ...]  # ops outside of TFLite's own, without Flex ops
    flex_ops: tuple[str, ...]  # TensorFlow ops, which would need the Flex delegate
    inputs: tuple[TensorContract, ...]
    outputs: tuple[TensorContract, ...]
    weight_dtypes: Mapping[str, float]  # share of each dtype in the bytes of all constants, 0..1
    tensor_dtypes: Mapping[str, int]  # count of tensors of each dtype, constants and activations
    op_versions: Mapping[str, int] = field(default_factory=dict)  # highest version of each builtin op
    least_runtime: str | None = None  # oldest TFLite that has these, such as `2.17`; None if not known


@dataclass(frozen=True)
class GroupAccuracy:
    """Accuracy on the examples of one group, 0..1, with their number."""

    support: int
    accuracy: float
    reference_accuracy: float  # the SavedModel's


@dataclass(frozen=True)
class Latency:
    """CPU time of one example, input and output quantisation included, in milliseconds."""

    p50_ms: float
    p99_ms: float
    runs: int
    p90_ms: float | None = None  # None in older records


@dataclass(frozen=True)
class Machine:
    """The machine and runtime on which the latency was measured."""

    cpu: str
    runtime: str


class Speed(Struct, frozen=True):
    """The time and memory that one edge file takes on one machine; None where it was not measured."""

    latency: Latency  # in one thread
    two_threads: Latency | None = None
    cold_start_ms: float | None = None  # from the file to the first answer, in a process that has LiteRT
    peak_memory_bytes: int | None = None  # at the first answer, above what that process had before
    preparation_ms: Mapping[str, float] = {}  # medians of what comes before inference: decode, resize
    under_load: bool = False  # other processes held the machine, which makes CPU time longer by a part

    @property
    def timings(self) -> dict[str, float]:
        """The times that `edge.max_ms` bounds, by its names, as far as they were measured."""
        one, two = self.latency, self.two_threads
        times = {"p90": one.p90_ms, "p99": one.p99_ms, "cold_start": self.cold_start_ms}
        if two is not None:
            times |= {f"{name}_two_threads": getattr(two, f"{name}_ms") for name in ("p50", "p90", "p99")}
        return {name: ms for name, ms in (times | dict(self.preparation_ms)).items() if ms is not None}


class Benchmark(Struct, frozen=True):
    """The speed of the files of a release on one machine."""

    model: str
    version: int
    at: str  # UTC, ISO 8601
    machine: Machine
    files: Mapping[str, Speed]  # by variant


class Measurement(Speed, frozen=True, kw_only=True):
    """Size, accuracy and speed of one edge file on real examples; accuracies are top-1 shares, 0..1."""

    file: str
    size_bytes: int
    examples: int = field(name="photos")  # their number
    agreement: float  # share of examples with the SavedModel's top-1 label, 0..1
    max_difference: float | None  # largest absolute difference of a probability; None where one is NaN
    accuracy: float
    reference_accuracy: float  # the SavedModel's, on the same examples
    groups: Mapping[str, Mapping[str, GroupAccuracy]]  # such as `groups["lane"]["lane-07"]`
    finite: bool  # all probabilities are finite numbers
    machine: Machine
    # Shares of the values at an end of the quantised range, 0..1; None of a tensor that is not quantised.
    input_saturation: float | None = None
    output_saturation: float | None = None
    # Mean absolute difference of `unlike` from the SavedModel's; None where the file has no such output.
    unlike_difference: float | None = None

    def worst(self) -> tuple[str, GroupAccuracy] | None:
        """Returns the group with the lowest accuracy; of the classes only where there is no other kind."""
        groups = next((groups for kind, groups in self.groups.items() if kind != "class"), None)
        if groups is None:
            groups = self.groups.get("class", {})
        return min(groups.items(), key=lambda group: (group[1].accuracy, group[0]), default=None)


class ReleasedFile(Measurement, frozen=True, kw_only=True):
    """One edge file of a release, with what an app has to know of it, and its measurement."""

    name: str  # of its variant
    inputs: tuple[TensorContract, ...]
    outputs: tuple[TensorContract, ...]
    ops: Mapping[str, int]  # as in `FileReport`, and so are these
    op_versions: Mapping[str, int] = field(default_factory=dict)
    least_runtime: str | None = None


@dataclass(frozen=True)
class Variant:
    """One edge file and its verdict; it passed where `reasons` is empty."""

    name: str
    file: str | None = None  # None where the conversion failed; nothing was inspected or measured then
    reasons: tuple[str, ...] = ()  # reasons against shipping it
    inspected: FileReport | None = None
    measured: Measurement | None = None


@dataclass(frozen=True)
class ContractCheck:
    """A comparison of tensors by preprocessing.json with those by Transform, for the same examples."""

    compared: int  # number of eval examples whose raw input ingest kept
    shipped: int  # number of these in the bundle
    largest_difference: float = 0.0  # between two values of a tensor
    answer_difference: float = 0.0  # between two probabilities of the SavedModel, one by each tensor
    problems: tuple[str, ...] = ()  # reasons against shipping any file

    @property
    def summary(self) -> str:
        """The result as two sentences."""
        agree = "agree" if not self.problems else "do not all agree"
        return (
            f"Device and Transform {agree} on {self.compared} raw inputs: tensors differ by up to"
            f" {self.largest_difference:.2g}, answers by up to {self.answer_difference:.2g}."
            f" Golden vectors in the bundle: {self.shipped}."
        )


class EdgeFiles(Struct, frozen=True):
    """The files that could ship, in the order of preference."""

    default_variant: str | None = None  # the first that passed
    eval_examples: int = 0  # number measured on
    variants: tuple[Variant, ...] = ()
    contract: ContractCheck | None = None
    production: str = ""  # a sentence: how the default file compares with that in production

    def __post_init__(self) -> None:
        if self.default_variant is not None and self.default_variant not in {v.name for v in self.variants}:
            raise ValueError(f"the default {self.default_variant} is not one of the files")

    @property
    def default_measured(self) -> Measurement | None:
        """The measurement of the default variant; None where no variant passed."""
        return next((v.measured for v in self.variants if v.name == self.default_variant), None)


class Prediction(Struct, frozen=True):
    """The SavedModel's prediction for one eval example; a probability that is NaN is None."""

    example_id: str
    label: str
    probabilities: tuple[float | None, ...]
    slices: Mapping[str, str] = field(default_factory=dict)
    span: int | None = None
    group: str = ""  # the session, machine or author; empty where the example is alone


class Mistake(Struct, frozen=True):
    """A confident wrong prediction, with a `text` or a thumbnail, `file`, which lies beside the list."""

    file: str
    example_id: str
    label: str
    predicted: str
    probability: float
    probability_of_label: float = 0.0
    slices: Mapping[str, str] = field(default_factory=dict)
    text: str = ""


CONVERSIONS = JsonFile[tuple[Conversion, ...]]("conversion.json", tuple[Conversion, ...])
# The preprocessing that a device does; `kind` names the module of `edgeline/edge/contracts/` that implements
# it.
PREPROCESSING = JsonFile[Mapping[str, Any]]("preprocessing.json", Mapping[str, Any])
EDGE_FILES = JsonFile[EdgeFiles]("edge.json", EdgeFiles)
PREDICTIONS = JsonLines[Prediction]("predictions.jsonl", Prediction)
# Predictions of cross-validation: the models had not seen the groups of these examples.
OUT_OF_FOLD = JsonLines[Prediction]("out_of_fold.jsonl", Prediction)
MISTAKES = JsonFile[tuple[Mistake, ...]]("mistakes.json", tuple[Mistake, ...])


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
    unlike: Mapping[str, float] = field(default_factory=dict)  # by variant, of files that have this output
    unlike_input: float | None = None  # of a row, by preprocessing.json
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
    # By variant: the largest difference of a probability; `unlike` may differ by four times as much.
    score_tolerance: Mapping[str, float]
    examples: tuple[GoldenExample, ...]
    version: int = 1


class Original(Struct, frozen=True):
    """The raw input of an eval example; ingest keeps a few of them. `file` lies beside the list."""

    example_id: str
    content: Content | None = None
    file: str = ""


GOLDEN = JsonFile[Golden]("golden.json", Golden)
ORIGINALS = JsonLines[Original]("originals.jsonl", Original)
