import numpy as np
import pytest
import tensorflow as tf

from tests.trainer_module.samples import LABELS, SIZE, example, render
from trainer_module import backbones
from trainer_module.settings import ModelSettings

pytestmark = pytest.mark.e2e

TOLERANCE = 1e-6  # What is promised between any signature and the Keras model.


def answers(served, name: str, **inputs) -> np.ndarray:
    return served.signatures[name](**inputs)["probabilities"].numpy()


@pytest.fixture(scope="module")
def records(examples) -> list[bytes]:
    return examples["eval"][:7]


@pytest.fixture(scope="module")
def images(served, records) -> tf.Tensor:
    return served.signatures["transform_features"](examples=tf.constant(records))["image"]


def test_every_signature_has_the_shapes_that_are_promised(served):
    def described(specs) -> dict:
        return {name: (spec.shape.as_list(), spec.dtype) for name, spec in specs.items()}

    image, strings = [None, SIZE, SIZE, 1], ([None], tf.string)
    probabilities = {"probabilities": ([None, 3], tf.float32)}
    expected = {
        "serving_default": ({"examples": strings}, probabilities),
        "serve_jpeg": ({"jpeg": strings}, probabilities),
        "serve_image": ({"image": (image, tf.float32)}, probabilities),
        "transform_features": (
            {"examples": strings},
            {"image": (image, tf.uint8), "label": ([None], tf.int64)},
        ),
    }
    found = {
        name: (described(signature.structured_input_signature[1]), described(signature.structured_outputs))
        for name, signature in served.signatures.items()
    }
    assert found == expected


def test_all_ways_to_ask_give_one_answer(served, records, images):
    by_example = answers(served, "serving_default", examples=tf.constant(records))
    jpegs = [tf.train.Example.FromString(r).features.feature["photo"].bytes_list.value[0] for r in records]
    for other in (
        answers(served, "serve_jpeg", jpeg=tf.constant(jpegs)),
        answers(served, "serve_image", image=tf.cast(images, tf.float32)),
    ):
        np.testing.assert_allclose(other, by_example, atol=TOLERANCE, rtol=0)
    np.testing.assert_allclose(by_example.sum(axis=1), 1.0, atol=TOLERANCE)


def test_the_answer_is_that_of_the_keras_model(served, images):
    model = backbones.classifier(ModelSettings(image_size=SIZE), 3)
    for variable, exported in zip(model.variables, served.variables, strict=True):
        variable.assign(exported)
    pixels = tf.cast(images, tf.float32)
    np.testing.assert_allclose(
        answers(served, "serve_image", image=pixels), model(pixels, training=False), atol=TOLERANCE, rtol=0
    )


def test_a_batch_of_any_size_answers_as_its_photos_one_by_one(served, images):
    pixels = tf.cast(images, tf.float32)
    together = answers(served, "serve_image", image=pixels)
    one_by_one = [answers(served, "serve_image", image=pixels[i : i + 1])[0] for i in range(len(pixels))]
    np.testing.assert_allclose(together, one_by_one, atol=TOLERANCE, rtol=0)


def test_a_photo_needs_no_label_to_be_served(served):
    photo = render("damaged", 5)
    asked = tf.constant([example(photo, None), example(photo, "ok"), example(photo, "damaged")])
    probabilities = answers(served, "serving_default", examples=asked)
    np.testing.assert_array_equal(probabilities[0], probabilities[1])
    np.testing.assert_array_equal(probabilities[0], probabilities[2])


def test_labels_become_their_place_in_the_schema(served):
    asked = tf.constant([example(render(label, 1), label) for label in reversed(LABELS)])
    assert served.signatures["transform_features"](examples=asked)["label"].numpy().tolist() == [2, 1, 0]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_image_that_is_not_finite_is_refused(served, value):
    with pytest.raises(tf.errors.InvalidArgumentError, match="image is not finite"):
        answers(served, "serve_image", image=tf.fill([1, SIZE, SIZE, 1], value))


def test_an_image_of_another_size_is_refused(served):
    with pytest.raises((tf.errors.InvalidArgumentError, TypeError, ValueError)):
        answers(served, "serve_image", image=tf.zeros([1, SIZE, SIZE + 1, 1]))


def test_the_assertions_vanish_in_the_edge_file_and_the_numbers_stay(served, trained, images):
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(trained / "Format-Serving"), signature_keys=["serve_image"]
    )
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    operators = {detail["op_name"] for detail in interpreter._get_ops_details()}
    assert not {name for name in operators if name.startswith("Flex") or "Check" in name or "Assert" in name}
    runner = interpreter.get_signature_runner("serve_image")
    pixels = tf.cast(images[:1], tf.float32)
    # Another kernel library sums in another order.
    np.testing.assert_allclose(
        runner(image=pixels.numpy())["probabilities"],
        answers(served, "serve_image", image=pixels),
        atol=1e-5,
    )
