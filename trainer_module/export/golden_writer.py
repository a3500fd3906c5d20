"""Makes golden vectors: compares raw inputs with Transform, and chooses and writes a few of them."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeline.edge.golden import TOLERANCES, describe_mismatch, find_largest_difference, shorten
from edgeline.edge.interpreter import EdgeModel, measure_unlike, preprocess
from edgeline.records.columns import NUMBER
from edgeline.records.edge import GOLDEN, TENSORS, ContractCheck, Golden, GoldenExample

# Limit for all raw inputs and tensors; one of each class is kept even where that exceeds it.
_MOST_BYTES = 4 * 2**20
# Largest change of a probability when the contract makes the tensor; no user would notice it.
_ANSWERS_APART = 0.05
# Tolerances of a probability. Float kernels sum in another order on another processor. Integer ones may round
# each layer's output to the next step, 1/256 of its range ("quantization specification" of LiteRT).
_SCORE_TOLERANCES: Mapping[str, float] = {"fp32": 1e-3, "fp16": 1e-3, "dynamic": 0.05, "int8": 0.05}
_DIGITS = 6
# A number of a row that is unlike all of training is so many above its range there.
_DEVIATIONS_ABOVE = 9
_PNG = b"\x89PNG"
# Answers inputs, [n, ...], with probabilities, [n, classes].
Predict = Callable[[NDArray[Any]], NDArray[np.float32]]


@dataclass(frozen=True)
class RawExample:
    """An eval example: its raw input, its transformed tensor and the SavedModel's answer."""

    id: str
    label: str
    slices: Mapping[str, str]
    content: Any  # as `preprocess` takes it
    tensor: NDArray[Any]  # from Transform
    answer: NDArray[np.float32]  # probabilities of the SavedModel
    right: bool  # whether the most probable one is the label

    @property
    def size(self) -> int:
        """Returns the number of bytes that it takes in a bundle."""
        is_file = isinstance(self.content, bytes)
        return len(self.content if is_file else msgspec.json.encode(self.content)) + self.tensor.nbytes

    @property
    def facets(self) -> list[tuple[str, str]]:
        """Returns the groups that it belongs to as (kind, name), its class first."""
        result = "right" if self.right else "wrong"
        return [("class", self.label), *self.slices.items(), (result, self.label)]


def check_contract(
    examples: Sequence[RawExample], contract: Mapping[str, Any], predict: Predict
) -> ContractCheck:
    """Preprocesses raw inputs as a device does, and compares the tensors with those of Transform.

    Args:
        examples: Those of eval; without any, nothing is compared.
        contract: The content of preprocessing.json.
        predict: Runs the SavedModel, on the tensors of the contract.
    """
    if not examples:
        return ContractCheck(0, 0)
    tolerance = TOLERANCES[contract["kind"]]
    results = [(e.id, describe_mismatch(e.content, e.tensor, contract, tolerance)) for e in examples]
    if problems := [f"{id}: {problem}." for id, problem in results if problem]:
        summary = "preprocessing.json does not give the tensors that the model was trained on."
        return ContractCheck(
            len(examples), 0, problems=(" ".join((summary, *shorten(problems, "examples"))),)
        )
    actual = np.concatenate([preprocess(e.content, contract) for e in examples])
    answers = predict(actual)
    expected = np.stack([e.answer for e in examples])
    apart = np.abs(answers - expected).max(axis=1)
    worst = int(np.argmax(apart))
    if not apart[worst] <= _ANSWERS_APART:
        problems = [
            f"For {examples[worst].id} the SavedModel gives {np.round(answers[worst], 3)} with the tensor of"
            f" preprocessing.json, and {np.round(expected[worst], 3)} with the tensor of Transform;"
            f" the largest allowed difference is {_ANSWERS_APART:g}."
        ]
    tensors = np.stack([e.tensor for e in examples])
    return ContractCheck(
        compared=len(examples),
        shipped=0,
        largest_difference=find_largest_difference(actual, tensors),
        answer_difference=float(apart[worst]),
        problems=tuple(problems),
    )


def choose_examples(examples: Sequence[RawExample], count: int) -> list[RawExample]:
    """Chooses examples that cover many classes, slices, right and wrong answers, the rare ones first.

    The smallest example of each class is always chosen. More are added up to `count` examples and 4 MB.
    """
    support = Counter(facet for e in examples for facet in e.facets)
    classes = sorted({e.facets[0] for e in examples}, key=lambda facet: (support[facet], facet))
    chosen = [min((e for e in examples if e.facets[0] == name), key=lambda e: e.size) for name in classes]
    covered = Counter(f for e in chosen for f in e.facets)
    total = sum(e.size for e in chosen)
    while len(chosen) < count:
        ids = {e.id for e in chosen}
        remaining = [e for e in examples if e.id not in ids and total + e.size <= _MOST_BYTES]
        if not remaining:
            break
        chosen.append(
            max(remaining, key=lambda e: (sum(1 / support[f] / (1 + covered[f]) for f in e.facets), -e.size))
        )
        covered.update(chosen[-1].facets)
        total += chosen[-1].size
    return chosen


def make_unlike_example(
    example: RawExample, contract: Mapping[str, Any], predict: Predict
) -> RawExample | None:
    """Makes a row, or window, unlike all of training: each plain number is far above its range there.

    An eval example seldom is, and each reader of a contract has to tell one.

    Args:
        example: An eval example, of which the result has the label and all other cells.
        contract: The content of preprocessing.json, with the range of each number.
        predict: Runs the SavedModel, for the answer to the result.

    Returns:
        The row; None if the contract has no plain number.
    """
    cells = {
        column["name"]: f"{number['high'] + _DEVIATIONS_ABOVE * number['deviation']:.6f}"
        for number in contract.get("numbers", ())
        if (column := number["column"])["form"] == NUMBER
    }
    if not cells:
        return None
    if contract["readings"] > 1:
        cells = {name: (cell,) * contract["readings"] for name, cell in cells.items()}
    content = {**example.content, **cells}
    tensor = preprocess(content, contract)[0]
    return replace(example, content=content, tensor=tensor, answer=predict(tensor[np.newaxis])[0])


def write_vectors(
    folder: Path, examples: Sequence[RawExample], contract: Mapping[str, Any], models: Mapping[str, Path]
) -> None:
    """Writes golden vectors into a new folder, with the answers of `models`, the files that ship.

    Args:
        folder: Must not exist yet.
        examples: One at least; their order is that of the vectors.
        contract: The content of preprocessing.json.
        models: The file of each variant that ships, by the variant's name.
    """
    folder.mkdir(parents=True)
    tensors = np.stack([e.tensor for e in examples])
    answers = {name: EdgeModel(path).answer(tensors) for name, path in models.items()}
    golden_examples: list[GoldenExample] = []

    for number, item in enumerate(examples):
        file = ""
        if isinstance(item.content, bytes):
            file = f"{number + 1:02d}.{'png' if item.content.startswith(_PNG) else 'jpg'}"
            (folder / file).write_bytes(item.content)
        unlike_input = measure_unlike(item.content, contract)
        example = GoldenExample(
            label=item.label,
            saved_model=_round(item.answer),
            scores={name: _round(values[number]) for name, (values, _) in answers.items()},
            unlike={
                name: round(float(unlike[number]), _DIGITS)
                for name, (_, unlike) in answers.items()
                if unlike is not None
            },
            unlike_input=None if unlike_input is None else round(unlike_input, _DIGITS),
            slices=item.slices,
            content=None if file else item.content,
            file=file,
        )
        golden_examples.append(example)

    kind = contract["kind"]
    golden = Golden(
        kind=kind,
        contract_version=contract["version"],
        dtype=tensors.dtype.name,
        shape=tensors.shape[1:],
        tolerance=TOLERANCES[kind],
        score_tolerance={name: _SCORE_TOLERANCES[name] for name in models},
        examples=tuple(golden_examples),
    )
    (folder / TENSORS).write_bytes(tensors.astype(tensors.dtype.newbyteorder("<")).tobytes())
    GOLDEN.write(folder, golden)


def _round(scores: NDArray[np.float32]) -> tuple[float, ...]:
    return tuple(round(float(score), _DIGITS) for score in scores)
