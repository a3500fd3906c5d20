"""What preprocessing.json makes of raw inputs, held against Transform; and the golden vectors of a bundle."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.transformed_examples import TransformedExamples
from edge.golden import (
    SCORE_TOLERANCES,
    TOLERANCES,
    choose_examples,
    contract_problem,
    largest_difference,
    shortened,
)
from edge.runtime import EdgeModel, preprocess
from records.edge import ContractCheck
from records.golden import (
    GOLDEN,
    ORIGINALS,
    ORIGINALS_FOLDER,
    TENSORS,
    Golden,
    GoldenExample,
)

# Of all photos and tensors, where one of each class leaves room.
_MOST_BYTES = 4 * 2**20
# Most that an answer may change by the tensor being the contract's: what no user would see.
_ANSWERS_APART = 0.05
_DIGITS = 6
_PNG = b"\x89PNG"

Predict = Callable[[NDArray[Any]], NDArray[np.float32]]


@dataclass(frozen=True)
class RawExample:
    """An eval example whose raw input was kept."""

    position: int  # among the examples of the split
    content: Any  # as a device has it


def read_raw_examples(examples: Path, sample: TransformedExamples) -> list[RawExample]:
    """The examples of a sample whose raw inputs lie in the folder of the Examples."""
    folder, positions = examples / ORIGINALS_FOLDER, {id: n for n, id in enumerate(sample.ids)}
    return [
        RawExample(
            positions[each.example_id], (folder / each.file).read_bytes() if each.file else each.content
        )
        for each in ORIGINALS.read(folder)
        if each.example_id in positions
    ]


def check_contract(
    raw: Sequence[RawExample],
    contract: Mapping[str, Any],
    sample: TransformedExamples,
    reference: NDArray[np.float32],
    predict: Predict,
) -> ContractCheck:
    """Makes tensors of raw inputs as a device does, and compares them with those that Transform made.

    Args:
        raw: The raw inputs.
        contract: Content of preprocessing.json.
        sample: The examples as Transform made them.
        reference: What the SavedModel answers to them, float32 [n, classes].
        predict: Asks the SavedModel.
    """
    tolerance = TOLERANCES[contract.get("kind", "image")]
    problems = []
    for each in raw:
        if wrong := contract_problem(each.content, sample.inputs[each.position], contract, tolerance):
            problems.append(f"Of {sample.ids[each.position]}: {wrong}.")
    if problems:
        whole = "preprocessing.json does not make what the model was trained on."
        return ContractCheck(len(raw), 0, problems=(" ".join((whole, *shortened(problems, "examples"))),))
    if not raw:
        return ContractCheck(0, 0)
    positions = [each.position for each in raw]
    made = np.concatenate([preprocess(each.content, contract) for each in raw])
    answers = predict(made)
    apart = np.abs(answers - reference[positions]).max(axis=1)
    worst = int(np.argmax(apart))
    if not apart[worst] <= _ANSWERS_APART:
        problems = [
            f"The SavedModel answers {np.round(answers[worst], 3)} to what preprocessing.json makes of"
            f" {sample.ids[positions[worst]]}, and {np.round(reference[positions[worst]], 3)} to what"
            f" Transform makes of it; at most {_ANSWERS_APART:g} apart are allowed."
        ]
    return ContractCheck(
        compared=len(raw),
        shipped=0,
        largest_difference=largest_difference(made, sample.inputs[positions]),
        answer_difference=float(apart[worst]),
        problems=tuple(problems),
    )


def write_golden(
    folder: Path,
    raw: Sequence[RawExample],
    count: int,
    contract: Mapping[str, Any],
    sample: TransformedExamples,
    reference: NDArray[np.float32],
    labels: Sequence[str],
    models: Mapping[str, Path],
) -> int:
    """Writes the golden vectors of a bundle, and returns how many there are.

    Args:
        folder: A new one for them.
        raw: The raw inputs.
        count: How many of them are chosen, see `choose_examples`.
        contract: Content of preprocessing.json.
        sample: The examples as Transform made them.
        reference: What the SavedModel answers to them.
        labels: In the order of the model's outputs.
        models: The files that ship, by variant.
    """
    if not raw or not count:
        return 0
    said = reference.argmax(axis=1)
    facets, sizes = [], []
    for each in raw:
        label, right = (
            labels[sample.labels[each.position]],
            said[each.position] == sample.labels[each.position],
        )
        slices = [(kind, names[each.position]) for kind, names in sample.groups.items() if kind != "class"]
        facets.append([("class", label), *slices, ("right" if right else "wrong", label)])
        content = each.content if isinstance(each.content, bytes) else msgspec.json.encode(each.content)
        sizes.append(len(content) + sample.inputs[each.position].nbytes)
    chosen = choose_examples(facets, sizes, count, _MOST_BYTES)
    positions = [raw[n].position for n in chosen]
    tensors = sample.inputs[positions]
    scores = {name: EdgeModel(path).predict(tensors) for name, path in models.items()}
    folder.mkdir(parents=True)
    examples = []
    for number, (n, position) in enumerate(zip(chosen, positions, strict=True)):
        content, file = raw[n].content, ""
        if isinstance(content, bytes):
            file = f"{number + 1:02d}.{'png' if content.startswith(_PNG) else 'jpg'}"
            (folder / file).write_bytes(content)
        example = GoldenExample(
            label=labels[sample.labels[position]],
            saved_model=_rounded(reference[position]),
            scores={name: _rounded(of[number]) for name, of in scores.items()},
            slices={kind: names[position] for kind, names in sample.groups.items() if kind != "class"},
            content=None if file else content,
            file=file,
        )
        examples.append(example)
    kind = contract.get("kind", "image")
    golden = Golden(
        kind=kind,
        contract_version=contract["version"],
        dtype=tensors.dtype.name,
        shape=tensors.shape[1:],
        tolerance=TOLERANCES[kind],
        score_tolerance={name: SCORE_TOLERANCES[name] for name in models},
        examples=tuple(examples),
    )
    (folder / TENSORS).write_bytes(tensors.astype(tensors.dtype.newbyteorder("<")).tobytes())
    GOLDEN.write(folder, golden)
    return len(chosen)


def _rounded(scores: NDArray[np.float32]) -> tuple[float, ...]:
    return tuple(round(float(score), _DIGITS) for score in scores)
