import pytest

from edge.variants import VARIANTS, parse_variants
from errors import UsageError


def test_each_variant_has_a_file_of_its_own_name():
    assert [variant.file_name for variant in VARIANTS.values()] == [
        "model_fp32.tflite",
        "model_fp16.tflite",
        "model_dynamic.tflite",
        "model_int8.tflite",
    ]


def test_parsing_keeps_the_preferred_order():
    assert [variant.name for variant in parse_variants(["int8", "fp32"])] == ["int8", "fp32"]


def test_an_unknown_variant_names_the_nearest_one():
    with pytest.raises(UsageError, match=r"'int16'.*fp32, fp16, dynamic, int8.*'int8'"):
        parse_variants(["fp32", "int16"])


@pytest.mark.parametrize("names", [[], ["fp16", "fp16"]])
def test_no_variant_and_a_variant_twice_are_refused(names: list[str]):
    with pytest.raises(UsageError, match="once"):
        parse_variants(names)
