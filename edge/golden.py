"""Whether a contract makes the tensors that it should, and a bundle gives its golden vectors.

See `records/golden.py` for their files.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.runtime import EdgeModel, preprocess
from errors import EdgelineError
from locations import Location, read_bytes
from records.golden import GOLDEN, GOLDEN_FOLDER, TENSORS, Golden, Tolerance
from records.json_file import decode

# Of a photo, a sum between two levels may round to the other one, and decoders of JPEG may be a level apart;
# a wrong filter, order of colours or turn moves a tenth of the values and more. Z-scores are computed in
# float32 here and there, 1e-6 apart where they are clipped at 6. Words have a number or another one.
TOLERANCES: Mapping[str, Tolerance] = {
    "image": Tolerance(step=1, share=0.999, most=8),
    "row": Tolerance(step=1e-4, share=1, most=1e-4),
    "tokens": Tolerance(step=0, share=1, most=0),
}
_MOST_TOLD = 3


@dataclass(frozen=True)
class Vectors:
    """Golden vectors as they were read."""

    about: Golden
    contents: Sequence[Any]  # the raw inputs as `preprocess` takes them
    tensors: NDArray[Any]  # [n, ...]


def largest_difference(made: NDArray[Any], expected: NDArray[Any]) -> float:
    """By how much two tensors of one shape are apart where they are most."""
    return float(np.abs(made.astype(np.float64) - expected).max(initial=0))


def describe_difference(made: NDArray[Any], expected: NDArray[Any], tolerance: Tolerance) -> str:
    """Says how two tensors are further apart than the tolerance; empty where they are not."""
    if made.shape != expected.shape or made.dtype != expected.dtype:
        return f"it is {made.dtype} {list(made.shape)}, not {expected.dtype} {list(expected.shape)}"
    apart = np.abs(made.astype(np.float64) - expected)
    beyond = int((~(apart <= tolerance.step)).sum())
    if beyond <= round((1 - tolerance.share) * apart.size, 6) and np.max(apart, initial=0) <= tolerance.most:
        return ""
    place = np.unravel_index(int(np.argmax(np.nan_to_num(apart, nan=np.inf))), apart.shape)
    return (
        f"at {[int(index) for index in place]} it is {made[place]:.4g}, not {expected[place]:.4g};"
        f" {beyond:,} of {apart.size:,} values are more than {tolerance.step:g} apart"
    )


def read_vectors(bundle: Location) -> Vectors | None:
    """The golden vectors of a bundle; None where it was made before there were any.

    Raises:
        EdgelineError: A file of them is missing or is not what golden.json says.
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
        contents = [read_bytes(folder / each.file) if each.file else each.content for each in about.examples]
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise EdgelineError(
            f"{folder} cannot be read: {error}.",
            "Golden vectors are golden.json, and the tensors and photos that it names.",
            "Copy the bundle again.",
        ) from error
    return Vectors(about, contents, tensors.astype(np.dtype(about.dtype)))


def golden_problems(
    vectors: Vectors, contract: Mapping[str, Any], models: Mapping[str, EdgeModel]
) -> list[str]:
    """Where a bundle does not give its golden vectors, one sentence each; equal ones are counted.

    Args:
        vectors: Those of the bundle.
        contract: Its preprocessing.json.
        models: Its files by variant.
    """
    about = vectors.about
    is_now = (contract.get("kind", "image"), contract.get("version"))
    if is_now != (about.kind, about.contract_version):
        return [
            f"preprocessing.json is version {is_now[1]} of kind {is_now[0]}, and golden.json belongs to"
            f" version {about.contract_version} of kind {about.kind}: they are not of one bundle."
        ]
    problems = shortened(list(_tensor_problems(vectors, contract)), "golden vectors")
    for name, model in models.items():
        problems += shortened(list(_score_problems(vectors, name, model)), f"golden vectors of {name}")
    return problems


def _tensor_problems(vectors: Vectors, contract: Mapping[str, Any]) -> Iterator[str]:
    for number, (content, tensor) in enumerate(zip(vectors.contents, vectors.tensors, strict=True)):
        if wrong := contract_problem(content, tensor, contract, vectors.about.tolerance):
            yield f"{name_of(vectors.about, number)}: preprocessing.json makes another tensor of it: {wrong}."


def contract_problem(
    content: Any, tensor: NDArray[Any], contract: Mapping[str, Any], tolerance: Tolerance
) -> str:
    """Says how what a contract makes of a raw input is not the tensor; empty where it is."""
    try:
        made = preprocess(content, contract)[0]
    except (EdgelineError, ValueError, TypeError, LookupError) as error:
        found = error.found if isinstance(error, EdgelineError) else str(error)
        return f"it is refused: {found.rstrip('.')}"
    return describe_difference(made, tensor, tolerance)


def _score_problems(vectors: Vectors, name: str, model: EdgeModel) -> Iterator[str]:
    most = vectors.about.score_tolerance.get(name, 0)
    for number, example in enumerate(vectors.about.examples):
        expected = np.array(example.scores.get(name, ()))
        scores = model.predict(vectors.tensors[number : number + 1])[0]
        if scores.shape != expected.shape:
            yield f"{name_of(vectors.about, number)}: {name} gives {len(scores)} scores, not {len(expected)}."
            continue
        at = int(np.argmax(np.abs(scores - expected)))
        if not abs(scores[at] - expected[at]) <= most:
            yield (
                f"{name_of(vectors.about, number)}: {name} gives label {at} {scores[at]:.4f}, not"
                f" {expected[at]:.4f}; at most {most:g} apart are allowed."
            )


def name_of(about: Golden, number: int) -> str:
    """What an example is called: its file, or its number in golden.json."""
    return f"golden/{about.examples[number].file or f'golden.json, example {number + 1}'}"


def shortened(problems: Sequence[str], of_what: str) -> list[str]:
    """The first problems, and how many more there are."""
    more = len(problems) - _MOST_TOLD
    return [*problems[:_MOST_TOLD], *([f"So do {more} more {of_what}."] if more > 0 else [])]
