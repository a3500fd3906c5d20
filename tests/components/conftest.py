"""One small model, trained once on photos that are easy to tell apart, and processes that open photos."""

import json
import pickle
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tfx.types.artifact import Artifact
from tfx.types.standard_artifacts import Model, Schema, TransformGraph

from components.import_schema_gen import ImportSchemaGen
from data.photos import source
from data.photos.labels_file import LabelRow, write_span
from edgeline.tables.decoder_process import DecoderProcess
from tests.components.steps import LABELS, SHELF, artifact, execute, ingest, measure_models
from tests.data.sample_photos import encode, phone_exif
from tests.shared import make_once
from trainer_module.settings import LearningSettings, ModelSettings, TrainerSettings

MODEL = ModelSettings(image_size=32)
TRANSFORM_CONFIG = {"labels": LABELS, "image_size": 32, "channels": 1, "max_side": 512}


@dataclass(frozen=True)
class Trained:
    """The outputs of the steps up to the Trainer."""

    examples: Artifact
    transform_graph: Artifact
    model: Artifact


POOL: dict[Any, DecoderProcess] = {}


class Decoder:
    """A decoder that all steps of a thread share, as a process takes two seconds of CPU to start."""

    def __init__(self, *arguments: Any) -> None:
        key = pickle.dumps(arguments), threading.get_ident()
        self._process = POOL.setdefault(key, DecoderProcess(*arguments))

    def __call__(self, photo: bytes) -> Any:
        return self._process(photo)

    def close(self) -> None:
        pass


@pytest.fixture(scope="session")
def decoders() -> Iterator[None]:
    yield
    while POOL:
        POOL.popitem()[1].close()


@pytest.fixture(scope="module", autouse=True)
def share_decoders(decoders: None) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "DecoderProcess", Decoder)
        yield


def draw_stripes(label: int, seed: int) -> bytes:
    """Draws stripes whose direction tells the label: horizontal, vertical or diagonal."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:64, 0:64]
    along = (y, x, (x + y) / 1.4)[label]
    light = 127 + 80 * np.sin(along / 3 + rng.uniform(0, 6)) + rng.normal(0, 10, along.shape)
    image = Image.fromarray(light.clip(0, 255).astype(np.uint8))
    # Some are like a phone's photos: larger than ingest keeps them, and upside down.
    return (
        encode(image.resize((720, 720)).rotate(180), exif=phone_exif(3)) if seed % 6 == 0 else encode(image)
    )


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return make_once(tmp_path_factory, "components", _train)


@pytest.fixture(scope="session")
def always_rarest(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Saves the trained model, changed to predict the rarest class always; returns its folder."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("rarest")
    loaded = tf.saved_model.load(str(Path(trained.model.uri, "Format-Serving")))
    kernel, bias = (variable for variable in loaded.variables if variable.shape[-1:] == [len(LABELS)])
    kernel.assign(tf.zeros_like(kernel))
    bias.assign([0.0, 0.0, 30.0])
    tf.saved_model.save(loaded, str(folder / "Format-Serving"), signatures=loaded.signatures)
    return folder


@pytest.fixture(scope="session")
def rarest_beside_trained(trained: Trained, always_rarest: Path, tmp_path_factory) -> Artifact:
    """Measures the changed model as a candidate, and the trained one as that in production."""
    production = artifact(Model, Path(trained.model.uri), has_model=1, version=7)
    candidate = replace(trained, model=artifact(Model, always_rarest))
    return make_once(
        tmp_path_factory, "measured", lambda folder: measure_models(candidate, production, folder)
    )


def _train(folder: Path) -> Trained:
    from tfx.components.transform.executor import Executor as TransformExecutor

    from trainer_module.run_fn import run_fn

    photos = []
    for n in range(160):
        # Seven sessions of lengths that make no two classes equally frequent, in four lanes.
        label = (0, 1, 0, 2, 0, 1, 0)[n % 7]
        row = LabelRow(f"{n}.jpg", LABELS[label], f"lane-0{n % 4 + 1}", f"walk-{n % 9}", "")
        photos.append((row, draw_stripes(label, n)))
    for week in (photos[:80], photos[80:]):
        write_span(folder / "data", week)
    examples = ingest(folder / "data", folder).examples
    schema = artifact(Schema, folder / "schema")
    execute(ImportSchemaGen, {}, {"schema": schema}, folder, text=Path(SHELF.schema).read_text())
    graph = artifact(TransformGraph, folder / "transform")
    execute(
        TransformExecutor,
        {"examples": examples, "schema": schema},
        {"transform_graph": graph},
        folder,
        preprocessing_fn="trainer_module.workloads.photos.preprocessing_fn",
        custom_config=json.dumps(TRANSFORM_CONFIG),
        force_tf_compat_v1=0,
        disable_statistics=1,
    )
    model = artifact(Model, folder / "model")
    trainer = TrainerSettings(
        epochs=2, batch_size=16, learning_rate=0.01, flip=False, brightness=0.0, strategy="one_device"
    )
    settings = LearningSettings(seed=20, model=MODEL, trainer=trainer)
    run_fn(
        SimpleNamespace(
            custom_config={
                "workload": SHELF.to_json(),
                "settings": settings.model_dump_json(),
                "checkpoints": str(folder / "checkpoints"),
            },
            train_files=[f"{examples.uri}/Split-train/*"],
            eval_files=[f"{examples.uri}/Split-eval/*"],
            transform_output=graph.uri,
            hyperparameters=None,
            serving_model_dir=str(Path(model.uri, "Format-Serving")),
            model_run_dir=str(folder / "model_run"),
        )
    )
    return Trained(examples, graph, model)
