"""Golden vectors: their choice, their files, and the problems of contracts and models that they show."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from edgeline.edge.golden import (
    TOLERANCES,
    describe_difference,
    describe_mismatch,
    find_golden_problems,
    read_vectors,
)
from edgeline.edge.interpreter import EdgeModel, preprocess
from edgeline.errors import EdgelineError
from edgeline.records.edge import GOLDEN
from tests.edgeline.edge.contracts.test_image import contract as image_contract
from tests.edgeline.edge.contracts.test_image import jpeg
from trainer_module.export.golden_writer import (
    RawExample,
    check_contract,
    choose_examples,
    make_unlike_example,
    write_vectors,
)

WIDE = {"low": -1e6, "high": 1e6}
ROW = {
    "version": 3,
    "kind": "row",
    "readings": 2,
    "channels": 8,
    "clip": 6.0,
    "missing": ["", "na"],
    "numbers": [
        {"name": "load", "mean": 20, "deviation": 10, "column": {"name": "load", "form": "number"}, **WIDE},
        {"name": "heat", "mean": 1.5, "deviation": 0.1, "column": {"name": "heat", "form": "number"}, **WIDE},
    ],
    "categories": [{"name": "machine", "vocabulary": ["m-01", "m-02", "m-03"]}],
    "vocabulary_size": 3,
}
CELLS = {"load": ("21.5", ""), "heat": ("1.45", "1.9"), "machine": ("m-02", "m-02")}
IMAGE = image_contract(image_size=32, channels=3, color="rgb")


def make_example(contract: dict[str, Any], content: Any, number: int = 0, **changes: Any) -> RawExample:
    """Makes an example with the tensor of the contract."""
    answer = np.array([0.75, 0.25], np.float32)
    example = RawExample(f"span/{number}", "ok", {}, content, preprocess(content, contract)[0], answer, True)
    return replace(example, **changes)


def predict(tensors: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.tile(np.array([0.75, 0.25], np.float32), (len(tensors), 1))


def change_row(path: str, value: Any) -> dict[str, Any]:
    """Returns the contract of rows with another value at a path such as `numbers/0/mean`."""
    changed = json.loads(json.dumps(ROW))
    *parts, last = (int(part) if part.isdecimal() else part for part in path.split("/"))
    place = changed
    for part in parts:
        place = place[part]
    place[last] = value
    return changed


def test_a_contract_that_says_what_was_trained_on_passes_with_its_largest_difference():
    example = make_example(ROW, CELLS)
    result = check_contract([replace(example, tensor=example.tensor + np.float32(1e-6))], ROW, predict)
    assert result.problems == () and result.compared == 1
    assert result.largest_difference == pytest.approx(1e-6, rel=0.2)
    assert "agree on 1 raw inputs" in result.summary


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("numbers/1/mean", 1.515, "at [0, 1] it is -0.65, not -0.5; 2 of 16 values differ by more"),
        ("numbers/0/deviation", 10.1, "1 of 16 values"),
        ("categories/0/vocabulary", ["m-02", "m-01", "m-03"], "it is 1, not 0; 4 of 16 values"),
        ("missing", ["na"], "the input is refused: load: '' is not a number."),
        ("readings", 1, "the input is refused: The column 'load' has 2 readings."),
        ("version", 5, "the input is refused: The preprocessing contract is not supported: version is 5"),
    ],
)
def test_a_contract_of_rows_that_was_changed_fails_by_example_place_and_values(path, value, found):
    changed = change_row(path, value)
    (problem,) = check_contract([make_example(ROW, CELLS)], changed, predict).problems
    assert problem.startswith("preprocessing.json does not give the tensors ")
    assert found in problem.partition(" span/0: ")[2]


def test_a_contract_of_another_kind_is_not_checked():
    assert check_contract([], {"kind": "gesture"}, predict).compared == 0


def test_equal_problems_are_listed_three_times_and_counted():
    examples = [make_example(ROW, CELLS, number) for number in range(20)]
    (problem,) = check_contract(examples, change_row("numbers/1/mean", 1.515), predict).problems
    assert problem.count(" span/") == 3 and " 17 more " in problem


def test_another_order_of_colours_and_a_photo_that_was_not_turned_are_found():
    content = jpeg(64, 64)
    tensor = preprocess(content, IMAGE)[0]
    for other in (tensor[..., ::-1], tensor[::-1], np.roll(tensor, 1, axis=0)):
        assert "values differ by more than 1" in describe_mismatch(content, other, IMAGE, TOLERANCES["image"])
    assert "it is uint8 [32, 32, 3], not uint8 [32, 32, 1]" in describe_mismatch(
        content, tensor[..., :1], IMAGE, TOLERANCES["image"]
    )


def test_one_value_in_a_thousand_of_a_photo_may_be_off_by_a_few_levels():
    tensor = np.full((100, 100, 1), 100, np.uint8)
    for off, count, passes in [(1, 10_000, True), (3, 10, True), (3, 11, False), (9, 1, False)]:
        other = tensor.copy()
        other.reshape(-1)[:count] += np.uint8(off)
        assert (describe_difference(other, tensor, TOLERANCES["image"]) == "") is passes, (off, count)


def test_words_have_to_be_the_same_and_nan_is_no_agreement():
    ids = np.array([3, 4, 0], np.int32)
    assert describe_difference(ids, ids, TOLERANCES["tokens"]) == ""
    other = np.array([4, 4, 0], np.int32)
    assert describe_difference(other, ids, TOLERANCES["tokens"]).startswith("at [0] it is 4, not 3; 1 of 3")
    values = np.array([np.nan], np.float32)
    assert describe_difference(values, np.zeros(1, np.float32), TOLERANCES["row"]).startswith(
        "at [0] it is nan"
    )


def test_an_answer_that_the_model_does_not_give_is_found():
    example = make_example(ROW, CELLS, answer=np.array([0.6, 0.4], np.float32))
    (problem,) = check_contract([example], ROW, predict).problems
    assert problem.startswith("For span/0 ") and " [0.6 0.4] " in problem and problem.endswith(" 0.05.")


def test_examples_are_of_each_class_each_slice_and_right_and_wrong():
    examples = [
        make_example(
            ROW,
            CELLS,
            n,
            label="rare" if n == 77 else ("ok", "bad")[n % 2],
            slices={"lane": f"lane-{n % 30}"},
            right=n % 9 > 0,
        )
        for n in range(200)
    ]
    choice = choose_examples(examples, 20)
    assert [each.id for each in choose_examples(examples, 20)] == [each.id for each in choice]
    assert len({each.id for each in choice}) == len(choice) == 20
    assert choice[0].label == "rare" and {each.label for each in choice} == {"rare", "ok", "bad"}
    assert len({each.slices["lane"] for each in choice}) == 20
    assert {each.right for each in choice if each.label == "ok"} == {True, False}
    assert len(choose_examples(examples, 1)) == 3


def test_photos_have_four_megabytes_but_for_the_smallest_of_each_class():
    def photo(n: int, size: int, label: str) -> RawExample:
        return replace(make_example(ROW, CELLS, n, label=label), content=bytes(size))

    huge = [photo(n, 3_000_000 + n, label) for n, label in enumerate(("ok", "bad", "ok", "bad"))]
    assert [each.id for each in choose_examples(huge, 20)] == ["span/1", "span/0"]
    small = [photo(n, 100_000, "ok") for n in range(4, 40)]
    choice = choose_examples([*huge[:1], *small], 100)
    assert len(choice) > 30 and sum(each.size for each in choice) <= 4 * 2**20


def write(folder: Path, contract: dict[str, Any], contents: list[Any], models: dict[str, Path]) -> Path:
    examples = [make_example(contract, content, n) for n, content in enumerate(contents)]
    write_vectors(folder / "golden", examples, contract, models)
    return folder


def test_files_are_read_as_they_were_written(tmp_path: Path):
    write(tmp_path / "row", ROW, [CELLS], {})
    assert sorted(path.name for path in (tmp_path / "row/golden").iterdir()) == ["golden.json", "tensors.bin"]
    vectors = read_vectors(tmp_path / "row")
    assert vectors is not None and vectors.contents == [CELLS]
    np.testing.assert_array_equal(vectors.tensors, preprocess(CELLS, ROW))
    assert find_golden_problems(vectors, ROW, {}) == []
    photo = jpeg(64, 64)
    write(tmp_path / "image", IMAGE, [photo], {})
    assert (tmp_path / "image/golden/01.jpg").read_bytes() == photo
    raw = (tmp_path / "image/golden/tensors.bin").read_bytes()
    assert np.frombuffer(raw, np.uint8).reshape(1, 32, 32, 3).tolist() == preprocess(photo, IMAGE).tolist()
    assert read_vectors(tmp_path) is None


@pytest.mark.parametrize("name", ["tensors.bin", "01.jpg", "golden.json"])
def test_files_that_are_missing_or_cut_are_an_error(tmp_path: Path, name: str):
    file = write(tmp_path, IMAGE, [jpeg(64, 64)], {}) / "golden" / name
    content = file.read_bytes()
    if name != "01.jpg":
        file.write_bytes(content[:-5])
        with pytest.raises(EdgelineError, match="cannot be read"):
            read_vectors(tmp_path)
    if name != "golden.json":
        file.unlink()
        with pytest.raises(EdgelineError, match="cannot be read"):
            read_vectors(tmp_path)


def test_a_changed_contract_is_found_by_the_vectors_of_its_bundle(tmp_path: Path):
    vectors = read_vectors(write(tmp_path, ROW, [CELLS] * 5, {}))
    assert vectors is not None
    *first, more = find_golden_problems(vectors, change_row("numbers/1/mean", 1.515), {})
    assert first[0].startswith("golden/golden.json, example 1: preprocessing.json gives ")
    assert len(first) == 3 and more.startswith("2 more ")


def test_a_row_unlike_all_of_training_is_made_and_a_changed_range_is_found_by_it(tmp_path: Path):
    narrow = json.loads(json.dumps(ROW))
    narrow["numbers"][0] |= {"low": 0.0, "high": 50.0}
    example = make_unlike_example(make_example(narrow, CELLS), narrow, predict)
    assert example is not None and example.content["load"] == ("140.000000", "140.000000")
    assert example.tensor[:, 0].tolist() == [3.0, 3.0]  # clipped to 50
    examples = [make_example(narrow, CELLS), example]
    write_vectors(tmp_path / "golden", examples, narrow, {})
    vectors = read_vectors(tmp_path)
    assert vectors is not None
    assert [each.unlike_input for each in vectors.about.examples] == pytest.approx([0.0, 0.9])
    assert find_golden_problems(vectors, narrow, {}) == []
    narrow["numbers"][1]["low"] = 1.6  # the first example is clipped there
    assert len(find_golden_problems(vectors, narrow, {})) == 1
    narrow["numbers"][1] |= {"low": -1e6, "high": 1e5}  # only the second is beyond, and stays clipped
    (problem,) = find_golden_problems(vectors, narrow, {})
    assert "example 2: preprocessing.json gives unlike 0.99" in problem and problem.endswith(", not 0.9.")


def test_a_contract_without_plain_numbers_has_no_row_unlike_all_of_training():
    column = {"name": "load", "form": "number with decimal comma"}
    contract = {**ROW, "numbers": [{**ROW["numbers"][0], "column": column}], "channels": 6}
    example = make_example(contract, {**CELLS, "load": ("21,5", "")})
    assert make_unlike_example(example, contract, predict) is None


@pytest.mark.e2e
def test_scores_that_a_file_does_not_give_are_found(tmp_path: Path, files: dict[str, Path]):
    contract = image_contract(image_size=32)
    models = {name: files[name] for name in ("fp32", "int8")}
    write(tmp_path, contract, [jpeg(64, 64), jpeg(48, 96)], models)
    loaded = {name: EdgeModel(path) for name, path in models.items()}
    vectors = read_vectors(tmp_path)
    assert vectors is not None and find_golden_problems(vectors, contract, loaded) == []
    about = GOLDEN.read(tmp_path / "golden")
    first, second = about.examples
    scores = first.scores["fp32"]
    off = {**first.scores, "fp32": (scores[0] + 0.002, *scores[1:])}
    changed = replace(
        vectors, about=structs.replace(about, examples=(structs.replace(first, scores=off), second))
    )
    (problem,) = find_golden_problems(changed, contract, loaded)
    assert problem.startswith("golden/01.jpg: fp32 gives label 0 ") and problem.endswith(" 0.001.")
