import json
import os
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from deploy.environment.uv import find_uv
from edgeline.edge.interpreter import EdgeModel
from edgeline.edge.variants import VARIANTS
from edgeline.records.workload import Workload
from tests.edgeline.edge.contracts.test_image import contract
from tests.trainer_module.samples import save_model
from tests.warm import fork_conversions
from trainer_module.export.convert import convert
from trainer_module.export.metadata import write_metadata

ROOT = Path(__file__).parents[3]
SIZE = 24
WORKLOAD = Workload("fruit", "", "", "", noun="photo", labels=("apple", "grüne Birne", "plum"))

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def photos():
    return np.random.default_rng(3).integers(5, 250, (20, SIZE, SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    import keras

    keras.utils.set_random_seed(4)
    image = keras.Input((SIZE, SIZE, 3), name="image")
    features = keras.layers.Conv2D(8, 3, activation="relu")(keras.layers.Rescaling(1 / 127.5, -1)(image))
    features = keras.layers.GlobalAveragePooling2D()(features)
    model = keras.Model(image, keras.layers.Dense(3, "softmax")(features))
    return save_model(model, "serve_image", tmp_path_factory.mktemp("saved") / "model")


def convert_all(saved_model, photos, folder, variants=VARIANTS) -> dict[str, Path]:
    conversions = convert(saved_model, "serve_image", list(variants), photos, folder)
    files = {conversion.variant: folder / conversion.file for conversion in conversions}
    for path in files.values():
        write_metadata(path, "serve_image", WORKLOAD, contract(image_size=SIZE, channels=3))
    return files


@pytest.fixture(scope="module")
def files(saved_model, photos, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainer_module.export.convert.subprocess", fork_conversions())
        return convert_all(saved_model, photos, tmp_path_factory.mktemp("files"))


def test_conversion_in_another_process_gives_the_same_bytes(files, saved_model, photos, tmp_path):
    """The second process is not forked."""
    (again,) = convert_all(saved_model, photos, tmp_path, ["int8"]).values()
    assert again.read_bytes() == files["int8"].read_bytes()


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_file_takes_pixel_levels_by_the_name_of_its_signature(files, variant, photos):
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(files[variant])).get_signature_runner("serve_image")
    (tensor,) = runner.get_input_details().values()
    assert (tensor["dtype"], tensor["shape"].tolist()) == (np.uint8, [1, SIZE, SIZE, 3])
    # The quantised value of a level is the level itself.
    assert tensor["quantization"] == ((1, 0) if variant == "int8" else (0, 0))
    (answer,) = runner(image=photos[:1]).values()
    (output,) = runner.get_output_details().values()
    expected = EdgeModel(files[variant]).predict(photos[:1])
    np.testing.assert_allclose(answer * (output["quantization"][0] or 1), expected, atol=1e-6)


def test_the_labels_are_in_a_zip_file_at_the_end(files):
    for path in files.values():
        with zipfile.ZipFile(path) as archive:
            assert archive.namelist() == ["labels.txt"]
            assert archive.read("labels.txt").decode().split("\n") == [*WORKLOAD.labels, ""]


READ = """
import json, sys
import mediapipe
import numpy
from mediapipe.tasks.metadata import metadata_schema_py_generated as metadata
from mediapipe.tasks.metadata import schema_py_generated as schema
from mediapipe.tasks.python import BaseOptions, vision

def spell(value):
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list):
        return [spell(each) for each in value]
    if isinstance(value, numpy.ndarray):
        return value.tolist()
    fields = getattr(value, "__dict__", None)
    return value if fields is None else {k: spell(v) for k, v in fields.items() if v is not None}

path, photos = sys.argv[1:]
model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(open(path, "rb").read(), 0))
(buffer,) = (each.buffer for each in model.metadata if each.name == b"TFLITE_METADATA")
raw = bytes(model.buffers[buffer].data)
assert metadata.ModelMetadata.ModelMetadataBufferHasIdentifier(raw, 0)
described = metadata.ModelMetadataT.InitFromObj(metadata.ModelMetadata.GetRootAsModelMetadata(raw, 0))
options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=path))
answers = []
with vision.ImageClassifier.create_from_options(options) as classifier:
    for photo in numpy.load(photos):
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=photo)
        head = classifier.classify(image).classifications[0]
        answers.append({each.category_name: each.score for each in head.categories})
print(json.dumps([spell(described), answers]))
"""


@pytest.fixture(scope="module")
def mediapipe(tmp_path_factory):
    """Returns the Python of an environment with MediaPipe, which cannot be installed beside TFX."""
    uv, folder = find_uv(ROOT, os.environ["PATH"]), tmp_path_factory.mktemp("mediapipe")
    for command in (["venv", folder], ["pip", "install", "--python", folder, "mediapipe==1.2.3"]):
        if subprocess.run([uv, "--quiet", *command], cwd=ROOT).returncode:
            pytest.skip("MediaPipe cannot be installed here")
    python = folder / "bin/python"
    result = subprocess.run([python, "-c", "import mediapipe"], capture_output=True, text=True)
    if "cannot open shared object file" in result.stderr:  # libraries of a desktop
        pytest.skip(f"MediaPipe lacks a library of the system: {result.stderr.splitlines()[-1]}")
    return python


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_mediapipe_reads_labels_and_answers_without_the_contract(files, variant, photos, mediapipe, tmp_path):
    np.save(tmp_path / "photos.npy", photos[:5])
    result = subprocess.run(
        [mediapipe, "-c", READ, files[variant], tmp_path / "photos.npy"], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    metadata, answers = json.loads(result.stdout)
    (graph,) = metadata["subgraphMetadata"]
    (image,), probabilities = graph["inputTensorMetadata"], graph["outputTensorMetadata"][0]
    assert metadata["name"] == "fruit" and "grüne Birne" in metadata["description"]
    assert image["name"] == "image" and image["content"]["contentProperties"] == {"colorSpace": 1}
    assert image["processUnits"] == [{"optionsType": 1, "options": {"mean": [0.0], "std": [1.0]}}]
    assert probabilities["associatedFiles"][0]["name"] == "labels.txt"
    for answer, scores in zip(answers, EdgeModel(files[variant]).predict(photos[:5]), strict=True):
        assert answer == pytest.approx(dict(zip(WORKLOAD.labels, scores, strict=True)), abs=1e-5)
