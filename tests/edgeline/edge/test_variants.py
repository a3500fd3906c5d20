from edgeline.edge.variants import VARIANTS


def test_each_variant_has_a_file_of_its_own_name():
    assert [variant.file_name for variant in VARIANTS.values()] == [
        "model_fp32.tflite",
        "model_fp16.tflite",
        "model_dynamic.tflite",
        "model_int8.tflite",
    ]
