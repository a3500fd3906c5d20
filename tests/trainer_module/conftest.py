"""Fixtures of the trainer's tests: TFRecords, the graph of a real Transform, and one complete training."""

from pathlib import Path

import pytest

from tests.examples import transform as transform_examples
from tests.examples import write_records
from tests.shared import make_once
from tests.trainer_module.samples import (
    EVAL_EXAMPLES,
    LABELS,
    SHELF,
    SIZE,
    TRAIN_EXAMPLES,
    Replicas,
    example,
    render,
    run_arguments,
    train_on_two_devices,
)
from tests.warm import fork_conversions
from trainer_module.settings import ModelSettings

SCHEMA = """
feature { name: "photo" type: BYTES value_count { min: 1 max: 1 } }
feature { name: "label" type: BYTES value_count { min: 1 max: 1 } domain: "label" }
feature { name: "lane_id" type: BYTES value_count { min: 1 max: 1 } }
string_domain { name: "label" value: "ok" value: "misplaced" value: "damaged" }
"""


@pytest.fixture(scope="session")
def examples() -> dict[str, list[bytes]]:
    def render_examples(count: int, first_seed: int) -> list[bytes]:
        labels = [LABELS[i % 3] for i in range(count)]
        return [example(render(label, first_seed + i), label) for i, label in enumerate(labels)]

    return {"train": render_examples(TRAIN_EXAMPLES, 0), "eval": render_examples(EVAL_EXAMPLES, 1000)}


@pytest.fixture(scope="session")
def files(examples, tmp_path_factory) -> dict[str, str]:
    """Writes two files for each split, and returns their patterns by split."""

    def write(folder: Path) -> dict[str, str]:
        for split, records in examples.items():
            half = len(records) // 2
            write_records(folder / f"{split}-00000-of-00002.gz", records[:half])
            write_records(folder / f"{split}-00001-of-00002.gz", records[half:])
        return {split: str(folder / f"{split}-*") for split in examples}

    return make_once(tmp_path_factory, "examples", write)


@pytest.fixture(scope="session")
def transform_output(tmp_path_factory) -> str:
    """Returns the output folder of TFX's Transform for grey photos of 32x32 pixels."""

    def make(folder: Path) -> str:
        from trainer_module.workloads import photos

        config = {"labels": LABELS, "image_size": SIZE, "channels": 1, "max_side": 512}
        return transform_examples(photos.preprocessing_fn, config, [], SCHEMA, folder)

    return make_once(tmp_path_factory, "transform", make)


@pytest.fixture(scope="session")
def transform(transform_output):
    import tensorflow_transform as tft

    return tft.TFTransformOutput(transform_output)


@pytest.fixture(scope="session")
def task(files, transform_output, tmp_path_factory):
    """Opens the examples for a training."""
    from trainer_module.training.task import open_task

    patterns = [[files[split]] for split in ("train", "eval")]
    return open_task(SHELF, transform_output, *patterns, 20, tmp_path_factory.mktemp("task"))


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory) -> ModelSettings:
    """Returns the settings of a small network that begins with weights, all of whose stages are frozen."""
    import keras

    from trainer_module.networks import backbones

    path, compact = tmp_path_factory.mktemp("weights") / "own.weights.h5", ModelSettings(image_size=SIZE)
    keras.utils.set_random_seed(5)
    backbones.build_body(compact).save_weights(path)
    return compact.model_copy(update={"weights": str(path), "frozen_stages": "all"})


@pytest.fixture(scope="session")
def run_dir(files, transform_output, tmp_path_factory) -> Path:
    """Trains once with run_fn and returns its folder."""

    def train(folder: Path) -> Path:
        from trainer_module import run_fn
        from trainer_module.training import novelty

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(novelty, "_FEWEST_HELD_OUT", 9)  # as many as are held out here
            run_fn.run_fn(run_arguments(files, transform_output, folder))
        return folder

    return make_once(tmp_path_factory, "trained", train)


@pytest.fixture(scope="session")
def replicas(files, transform_output, tmp_path_factory) -> Replicas:
    return make_once(
        tmp_path_factory, "replicas", lambda folder: train_on_two_devices(files, transform_output, folder)
    )


@pytest.fixture
def warm_converter(monkeypatch) -> None:
    """Forks the conversion process; only the tests of the conversion start it as a new Python process."""
    from trainer_module.export import convert

    monkeypatch.setattr(convert, "subprocess", fork_conversions())


@pytest.fixture(scope="session")
def servable(run_dir):
    import tensorflow as tf

    return tf.saved_model.load(str(run_dir / "Format-Serving"))
