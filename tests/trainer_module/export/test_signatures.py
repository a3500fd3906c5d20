import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deploy.serving import client
from tests.edgeline.edge.contracts.test_image import contract
from tests.serving import read_warm_up_requests, send_warm_up, serve_model, write_bundle
from tests.trainer_module.samples import LABELS, SIZE, example, render
from trainer_module.export import warm_up
from trainer_module.networks import backbones
from trainer_module.settings import ModelSettings

pytestmark = pytest.mark.e2e

TOLERANCE = 1e-6  # the promised difference between any signature and the Keras model


def ask(servable, name: str, **inputs) -> np.ndarray:
    return servable.signatures[name](**inputs)["probabilities"].numpy()


@pytest.fixture(scope="module")
def records(examples) -> list[bytes]:
    return examples["eval"][:7]


@pytest.fixture(scope="module")
def images(servable, records) -> tf.Tensor:
    return servable.signatures["transform_features"](examples=tf.constant(records))["image"]


def test_every_signature_has_the_shapes_that_are_promised(servable):
    def describe(specs) -> dict:
        return {name: (spec.shape.as_list(), spec.dtype) for name, spec in specs.items()}

    image, strings = [None, SIZE, SIZE, 1], ([None], tf.string)
    probabilities = {"probabilities": ([None, 3], tf.float32)}
    expected = {
        "serving_default": ({"examples": strings}, probabilities),
        "serve_jpeg": ({"jpeg": strings}, probabilities),
        "serve_image": ({"image": (image, tf.float32)}, {**probabilities, "unlike": ([None, 1], tf.float32)}),
        "transform_features": (
            {"examples": strings},
            {"image": (image, tf.uint8), "label": ([None], tf.int64)},
        ),
    }
    signatures = {
        name: (describe(signature.structured_input_signature[1]), describe(signature.structured_outputs))
        for name, signature in servable.signatures.items()
    }
    assert signatures == expected


def test_all_signatures_give_the_same_answer(servable, records, images):
    by_example = ask(servable, "serving_default", examples=tf.constant(records))
    jpegs = [tf.train.Example.FromString(r).features.feature["photo"].bytes_list.value[0] for r in records]
    by_jpeg = ask(servable, "serve_jpeg", jpeg=tf.constant(jpegs))
    by_image = ask(servable, "serve_image", image=tf.cast(images, tf.float32))
    np.testing.assert_allclose([by_jpeg, by_image], [by_example] * 2, atol=TOLERANCE, rtol=0)
    np.testing.assert_allclose(by_example.sum(axis=1), 1.0, atol=TOLERANCE)


def test_the_answer_is_that_of_the_keras_model(servable, images):
    model = backbones.build_classifier(ModelSettings(image_size=SIZE), 3)
    for variable, exported in zip(model.variables, servable.variables, strict=True):
        variable.assign(exported)
    pixels = tf.cast(images, tf.float32)
    np.testing.assert_allclose(
        ask(servable, "serve_image", image=pixels), model(pixels, training=False), atol=TOLERANCE, rtol=0
    )


def test_a_photo_needs_no_label_to_be_served(servable):
    photo = render("damaged", 5)
    inputs = tf.constant([example(photo, None), example(photo, "ok"), example(photo, "damaged")])
    probabilities = ask(servable, "serving_default", examples=inputs)
    np.testing.assert_array_equal(probabilities[1:], [probabilities[0]] * 2)


def test_an_image_that_is_not_finite_or_of_another_size_is_refused(servable):
    with pytest.raises(tf.errors.InvalidArgumentError, match="image is not finite"):
        ask(servable, "serve_image", image=tf.fill([1, SIZE, SIZE, 1], float("nan")))
    with pytest.raises((tf.errors.InvalidArgumentError, TypeError, ValueError)):
        ask(servable, "serve_image", image=tf.zeros([1, SIZE, SIZE + 1, 1]))


def test_every_signature_answers_a_warm_up_request_of_its_own(run_dir, servable):
    assert send_warm_up(run_dir / "Format-Serving", servable).keys() == servable.signatures.keys()


def test_the_photo_of_the_warm_up_requests_shows_nothing_and_is_small(run_dir):
    saved_model = run_dir / "Format-Serving"
    jpeg = next(r for r in read_warm_up_requests(saved_model) if r.model_spec.signature_name == "serve_jpeg")
    photo = Image.open(io.BytesIO(tf.make_ndarray(jpeg.inputs["jpeg"])[0]))
    assert photo.getcolors() == [(photo.width * photo.height, (128, 128, 128))]
    assert (saved_model / warm_up.REQUESTS).stat().st_size < 20_000


def test_a_signature_that_refuses_neutral_values_is_named_and_gets_no_request(tmp_path, caplog):
    """The photos of a custom workload are an example; TF Serving would not load such a model."""
    word = {"text": warm_up.make_neutral_tensor(tf.TensorSpec((None,), tf.string))}
    endpoints = {"photos": lambda text: tf.io.decode_jpeg(text[0]), "texts": lambda text: text}
    warm_up.write(str(tmp_path), "own", {name: (each, word) for name, each in endpoints.items()})
    assert [request.model_spec.signature_name for request in read_warm_up_requests(tmp_path)] == ["texts"]
    assert "signature photos" in caplog.text and "neutral_features" in caplog.text


def test_the_client_of_tf_serving_gets_the_label_of_a_photo_turned_by_its_exif(servable, tmp_path, capsys):
    bundle = write_bundle(tmp_path / "bundle", "shelf", LABELS, contract(image_size=SIZE, max_side=512))
    photos = {label: render(label, 5) for label in LABELS}
    for label, photo in photos.items():
        (tmp_path / label).write_bytes(photo)
    upright, exif = Image.open(io.BytesIO(photos["misplaced"])), Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    turned.save(tmp_path / "misplaced", "JPEG", exif=exif, quality=95)
    with serve_model(servable, "shelf", 3) as servers:
        for server in servers:
            for label, photo in photos.items():
                client.main([str(bundle), str(tmp_path / label), "--server", server])
                prediction, score = capsys.readouterr().out.split()
                expected = ask(servable, "serve_jpeg", jpeg=tf.constant([photo])).max()
                # The turned photo was encoded again.
                tolerance = 0.1 if label == "misplaced" else 1e-4
                assert (prediction, float(score)) == (label, pytest.approx(expected, abs=tolerance))


def test_the_client_reports_a_missing_model_and_a_missing_server(servable, tmp_path):
    bundle = write_bundle(tmp_path / "bundle", "another", LABELS, {"kind": "image", "max_side": 512})
    (tmp_path / "photo.jpg").write_bytes(render("ok", 5))
    with serve_model(servable, "shelf", 3) as servers:
        for server in servers:
            with pytest.raises(SystemExit, match=r"refused: .*Servable not found"):
                client.main([str(bundle), str(tmp_path / "photo.jpg"), "--server", server])
    with pytest.raises(SystemExit, match="does not answer"):
        client.main([str(bundle), str(tmp_path / "photo.jpg"), "--server", servers[0]])
