"""Checks the tensors that a contract makes, and the golden vectors of a bundle.

`edgeline/records/edge.py` describes their files.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeline.edge.interpreter import EdgeModel, measure_unlike, preprocess
from edgeline.errors import EdgelineError
from edgeline.records.edge import GOLDEN, GOLDEN_FOLDER, TENSORS, Golden, Tolerance
from edgeline.records.json_file import decode
from edgeline.store.locations import Location, read_bytes

# In a photo, a sum between two levels may round to either one, and JPEG decoders may differ by a level; a
# wrong filter, colour order or rotation changes at least a tenth of the values. Z-scores are float32 on both
# sides, 1e-6 apart where they are clipped at 6. Word ids are either equal or wrong.
TOLERANCES: Mapping[str, Tolerance] = {
    "image": Tolerance(step=1, share=0.999, most=8),
    "row": Tolerance(step=1e-4, share=1, most=1e-4),
    "tokens": Tolerance(step=0, share=1, most=0),
}
# Clients compute `unlike_input` from the same cells, in float32 or float64.
UNLIKE_TOLERANCE = 1e-4
_MOST_LISTED = 3


@dataclass(frozen=True)
class Vectors:
    """Golden vectors read from a bundle."""

    about: Golden
    contents: Sequence[Any]  # the raw inputs as `preprocess` takes them
    tensors: NDArray[Any]  # [n, ...]


def find_largest_difference(actual: NDArray[Any], expected: NDArray[Any]) -> float:
    """Returns the largest absolute difference between two tensors of one shape."""
    return float(np.abs(actual.astype(np.float64) - expected).max(initial=0))


def describe_difference(actual: NDArray[Any], expected: NDArray[Any], tolerance: Tolerance) -> str:
    """Describes how two tensors differ by more than the tolerance; empty if they do not.

    Args:
        actual: A tensor of any shape; another shape or dtype than that of `expected` is a difference.
        expected: The one of the golden vectors.
        tolerance: A share of the values has to be within its step, and all within its `most`.
    """
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        return f"it is {actual.dtype} {list(actual.shape)}, not {expected.dtype} {list(expected.shape)}"
    differences = np.abs(actual.astype(np.float64) - expected)
    beyond = int((~(differences <= tolerance.step)).sum())
    if (
        beyond <= round((1 - tolerance.share) * differences.size, 6)
        and np.max(differences, initial=0) <= tolerance.most
    ):
        return ""
    place = np.unravel_index(int(np.argmax(np.nan_to_num(differences, nan=np.inf))), differences.shape)
    return (
        f"at {[int(index) for index in place]} it is {actual[place]:.4g}, not {expected[place]:.4g};"
        f" {beyond:,} of {differences.size:,} values differ by more than {tolerance.step:g}"
    )


def read_vectors(bundle: Location) -> Vectors | None:
    """Reads the golden vectors of a bundle; None if it has none.

    Raises EdgelineError if a file is missing or does not match golden.json.
    """
    folder = bundle / GOLDEN_FOLDER
    try:
        raw = read_bytes(folder / GOLDEN.name)
    except FileNotFoundError:
        return None
    try:
        about: Golden = decode(raw, Golden)
        shape = (len(about.examples), *about.shape)
        dtype = np.dtype(about.dtype).newbyteorder("<")
        tensors = np.frombuffer(read_bytes(folder / TENSORS), dtype).reshape(shape)
        contents = [read_bytes(folder / e.file) if e.file else e.content for e in about.examples]
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise EdgelineError(
            f"{folder} cannot be read: {error}.",
            "Golden vectors consist of golden.json and the tensors and photos that it lists.",
            "Copy the bundle again.",
        ) from error
    return Vectors(about, contents, tensors.astype(np.dtype(about.dtype)))


def find_golden_problems(
    vectors: Vectors, contract: Mapping[str, Any], models: Mapping[str, EdgeModel]
) -> list[str]:
    """Lists the golden vectors that a bundle's contract and files, by variant, do not reproduce.

    Each is a sentence; long lists are cut.

    Args:
        vectors: Those of the bundle; they have the tolerances, too.
        contract: The content of its preprocessing.json.
        models: Its files, loaded, by variant; empty checks the tensors alone.
    """
    about = vectors.about
    actual = (contract.get("kind", "image"), contract.get("version"))
    if actual != (about.kind, about.contract_version):
        return [
            f"preprocessing.json is version {actual[1]} of kind {actual[0]}, but golden.json belongs to"
            f" version {about.contract_version} of kind {about.kind}: they come from different bundles."
        ]
    problems = shorten(list(_find_tensor_problems(vectors, contract)), "golden vectors")
    for name, model in models.items():
        problems += shorten(list(_find_score_problems(vectors, name, model)), f"golden vectors of {name}")
    return problems


def _find_tensor_problems(vectors: Vectors, contract: Mapping[str, Any]) -> Iterator[str]:
    for number, (content, tensor) in enumerate(zip(vectors.contents, vectors.tensors, strict=True)):
        name = name_example(vectors.about, number)
        if mismatch := describe_mismatch(content, tensor, contract, vectors.about.tolerance):
            yield f"{name}: preprocessing.json gives a different tensor: {mismatch}."
            continue

        expected = vectors.about.examples[number].unlike_input
        unlike = measure_unlike(content, contract)
        # Bundles of earlier versions do not say it.
        if expected is not None and not (unlike is not None and abs(unlike - expected) <= UNLIKE_TOLERANCE):
            yield f"{name}: preprocessing.json gives unlike {unlike}, not {expected}."


def describe_mismatch(
    content: Any, tensor: NDArray[Any], contract: Mapping[str, Any], tolerance: Tolerance
) -> str:
    """Describes how the contract's tensor for a raw input differs from the expected one; empty if equal.

    Args:
        content: The raw input as `preprocess` takes it.
        tensor: The expected one, without the batch's dimension.
        contract: The content of preprocessing.json.
        tolerance: As for `describe_difference`.
    """
    try:
        actual = preprocess(content, contract)[0]
    except (EdgelineError, ValueError, TypeError, LookupError) as error:
        reason = error.found if isinstance(error, EdgelineError) else str(error)
        return f"the input is refused: {reason.rstrip('.')}"
    return describe_difference(actual, tensor, tolerance)


def _find_score_problems(vectors: Vectors, name: str, model: EdgeModel) -> Iterator[str]:
    most = vectors.about.score_tolerance.get(name, 0)
    for number, example in enumerate(vectors.about.examples):
        place = name_example(vectors.about, number)
        expected = np.array(example.scores.get(name, ()))
        (scores,), unlike = model.answer(vectors.tensors[number : number + 1])
        if scores.shape != expected.shape:
            yield f"{place}: {name} gives {len(scores)} scores, not {len(expected)}."
            continue
        at = int(np.argmax(np.abs(scores - expected)))
        if not abs(scores[at] - expected[at]) <= most:
            yield (
                f"{place}: {name} gives label {at} the score {scores[at]:.4f}, not {expected[at]:.4f};"
                f" the largest allowed difference is {most:g}."
            )
        if unlike is not None and not abs(unlike[0] - example.unlike.get(name, np.nan)) <= 4 * most:
            yield f"{place}: {name} gives unlike {unlike[0]:.4f}, not {example.unlike.get(name)}."


def name_example(about: Golden, number: int) -> str:
    """Returns the name of an example: its file, or its number in golden.json."""
    return f"golden/{about.examples[number].file or f'golden.json, example {number + 1}'}"


def shorten(problems: Sequence[str], of_what: str) -> list[str]:
    """Returns the first problems, and a sentence that counts the others."""
    more = len(problems) - _MOST_LISTED
    return [*problems[:_MOST_LISTED], f"{more:,} more {of_what} differ."] if more > 0 else list(problems)
