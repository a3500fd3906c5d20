"""Makes golden vectors: holds raw inputs against Transform, and chooses and writes a few of them."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.golden import TOLERANCES, contract_problem, largest_difference, shortened
from edge.runtime import EdgeModel, preprocess
from records.edge import ContractCheck
from records.golden import GOLDEN, TENSORS, Golden, GoldenExample

# Of all raw inputs and tensors, where one of each class leaves room.
_MOST_BYTES = 4 * 2**20
# Most that an answer may change by the tensor being the contract's: what no user would see.
_ANSWERS_APART = 0.05
# Of a probability. Float kernels sum in another order on another processor. Integer ones may round each
# layer's output to the next step, 1/256 of its range ("quantization specification" of LiteRT).
_SCORE_TOLERANCES: Mapping[str, float] = {"fp32": 1e-3, "fp16": 1e-3, "dynamic": 0.05, "int8": 0.05}
_DIGITS = 6
_PNG = b"\x89PNG"


@dataclass(frozen=True)
class RawExample:
    """An eval example with its raw input, and what training and SavedModel made of it."""

    id: str
    label: str
    slices: Mapping[str, str]
    content: Any  # as `preprocess` takes it
    tensor: NDArray[Any]  # that Transform made
    answer: NDArray[np.float32]  # probabilities of the SavedModel
    right: bool  # whether its first one is the label

    @property
    def size(self) -> int:
        """Its bytes in a bundle."""
        is_file = isinstance(self.content, bytes)
        return len(self.content if is_file else msgspec.json.encode(self.content)) + self.tensor.nbytes

    @property
    def facets(self) -> list[tuple[str, str]]:
        """What it is one of, its class first: (kind, name)."""
        answered = "right" if self.right else "wrong"
        return [("class", self.label), *self.slices.items(), (answered, self.label)]


def check_contract(
    examples: Sequence[RawExample],
    contract: Mapping[str, Any],
    predict: Callable[[NDArray[Any]], NDArray[np.float32]],
) -> ContractCheck:
    """Makes tensors of raw inputs as a device does, and compares them with those that Transform made.

    Args:
        examples: Of the split `eval`.
        contract: Content of preprocessing.json.
        predict: Asks the SavedModel, [n, ...] to [n, classes].
    """
    tolerance = TOLERANCES[contract.get("kind", "image")]
    wrong = [(each.id, contract_problem(each.content, each.tensor, contract, tolerance)) for each in examples]
    if problems := [f"Of {id}: {problem}." for id, problem in wrong if problem]:
        whole = "preprocessing.json does not make what the model was trained on."
        return ContractCheck(
            len(examples), 0, problems=(" ".join((whole, *shortened(problems, "examples"))),)
        )
    if not examples:
        return ContractCheck(0, 0)
    made = np.concatenate([preprocess(each.content, contract) for each in examples])
    answers, expected = predict(made), np.stack([each.answer for each in examples])
    apart = np.abs(answers - expected).max(axis=1)
    worst = int(np.argmax(apart))
    if not apart[worst] <= _ANSWERS_APART:
        problems = [
            f"The SavedModel answers {np.round(answers[worst], 3)} to what preprocessing.json makes of"
            f" {examples[worst].id}, and {np.round(expected[worst], 3)} to what Transform makes of it;"
            f" at most {_ANSWERS_APART:g} apart are allowed."
        ]
    tensors = np.stack([each.tensor for each in examples])
    return ContractCheck(
        compared=len(examples),
        shipped=0,
        largest_difference=largest_difference(made, tensors),
        answer_difference=float(apart[worst]),
        problems=tuple(problems),
    )


def choose_examples(examples: Sequence[RawExample], count: int) -> list[RawExample]:
    """Chooses examples of as many classes, slices, right and wrong answers as can be, the rare ones first.

    One of each class is chosen, the smallest, whatever `count` is. Then there are so many, and they have 4 MB
    at most.
    """
    support = Counter(facet for each in examples for facet in each.facets)
    classes = sorted({each.facets[0] for each in examples}, key=lambda facet: (support[facet], facet))
    chosen = [min((e for e in examples if e.facets[0] == of), key=lambda e: e.size) for of in classes]
    covered, total = Counter(f for each in chosen for f in each.facets), sum(each.size for each in chosen)
    while len(chosen) < count:
        known = {each.id for each in chosen}
        left = [e for e in examples if e.id not in known and total + e.size <= _MOST_BYTES]
        if not left:
            break
        chosen.append(
            max(left, key=lambda e: (sum(1 / support[f] / (1 + covered[f]) for f in e.facets), -e.size))
        )
        covered.update(chosen[-1].facets)
        total += chosen[-1].size
    return chosen


def write_vectors(
    folder: Path, examples: Sequence[RawExample], contract: Mapping[str, Any], models: Mapping[str, Path]
) -> None:
    """Writes golden vectors into a new folder.

    Args:
        folder: The one in the bundle.
        examples: Those that were chosen, one at least.
        contract: Content of preprocessing.json.
        models: The files that ship, by variant.
    """
    folder.mkdir(parents=True)
    tensors = np.stack([each.tensor for each in examples])
    scores = {name: EdgeModel(path).predict(tensors) for name, path in models.items()}
    listed = []
    for number, each in enumerate(examples):
        file = ""
        if isinstance(each.content, bytes):
            file = f"{number + 1:02d}.{'png' if each.content.startswith(_PNG) else 'jpg'}"
            (folder / file).write_bytes(each.content)
        example = GoldenExample(
            label=each.label,
            saved_model=_rounded(each.answer),
            scores={name: _rounded(of[number]) for name, of in scores.items()},
            slices=each.slices,
            content=None if file else each.content,
            file=file,
        )
        listed.append(example)
    kind = contract.get("kind", "image")
    golden = Golden(
        kind=kind,
        contract_version=contract["version"],
        dtype=tensors.dtype.name,
        shape=tensors.shape[1:],
        tolerance=TOLERANCES[kind],
        score_tolerance={name: _SCORE_TOLERANCES[name] for name in models},
        examples=tuple(listed),
    )
    (folder / TENSORS).write_bytes(tensors.astype(tensors.dtype.newbyteorder("<")).tobytes())
    GOLDEN.write(folder, golden)


def _rounded(scores: NDArray[np.float32]) -> tuple[float, ...]:
    return tuple(round(float(score), _DIGITS) for score in scores)
