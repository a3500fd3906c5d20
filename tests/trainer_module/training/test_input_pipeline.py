import glob
import shutil
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import tensorflow as tf

from edgeline.errors import EdgelineError
from edgeline.records.shards import move_to_store
from edgeline.store.locations import get_filesystem, locate
from tests.examples import write_records
from tests.trainer_module.samples import EVAL_EXAMPLES, SHELF, TRAIN_EXAMPLES, assert_same, example, render
from trainer_module.settings import TrainerSettings
from trainer_module.training import input_pipeline
from trainer_module.workloads import photos

pytestmark = pytest.mark.e2e

BATCH = 20
EQUAL = np.ones(TRAIN_EXAMPLES)
VARIED = partial(photos.augment, settings=TrainerSettings(flip=True, brightness=0.15))


@pytest.fixture(scope="module")
def train(files, transform):
    return input_pipeline.open_split([files["train"]], transform, "train", SHELF)


@pytest.fixture(scope="module")
def evaluation(files, transform):
    return input_pipeline.open_split([files["eval"]], transform, "eval", SHELF)


@pytest.fixture(scope="module")
def in_store(files, transform, tmp_path_factory, s3_server):
    """Opens the same examples as `train`, from shards in a bucket."""
    folder, name = tmp_path_factory.mktemp("store") / "Split-train", "shards-of-train"
    folder.mkdir()
    for file in glob.glob(files["train"]):
        shutil.copy(file, folder)
    get_filesystem(locate(f"s3://{name}")).mkdir(name)
    move_to_store(folder, f"s3://{name}")
    return input_pipeline.open_split([f"{folder}/*"], transform, "train", SHELF, 0)


def test_shards_in_a_store_give_the_same_batches(train, in_store):
    assert in_store.inputs is None and all(file.startswith("s3://") for file in in_store.files)
    unbroken, resumed = batches(in_store, range(2), VARIED), batches(in_store, range(1, 2), VARIED)
    expected = batches(train, range(2), VARIED)
    for result in (unbroken, unbroken[: len(unbroken) // 2] + resumed):
        assert_same(result, expected)
    np.testing.assert_array_equal(read_pixels(in_store), read_pixels(train))


def batches(split, epochs: range, augment=None, seed: int = 20, *rest) -> list:
    dataset = input_pipeline.make_train_batches(split, BATCH, epochs, seed, augment, EQUAL, *rest)
    return list(dataset.as_numpy_iterator())


def read_pixels(split) -> np.ndarray:
    """Reads the images of a split in the order of its files, as one row each."""
    images = [image for image, _ in input_pipeline.make_eval_batches(split, 50).as_numpy_iterator()]
    return np.concatenate(images).reshape(len(split.shown), -1)


def get_rows(images: np.ndarray) -> set[bytes]:
    return {image.tobytes() for image in images.astype(np.float32)}


def test_eval_shows_every_example_once_and_in_order(evaluation):
    shown = list(input_pipeline.make_eval_batches(evaluation, 8).as_numpy_iterator())
    assert [len(label) for _, label in shown] == [8, 8, 8, 8, 5]
    labels = np.concatenate([label for _, label in shown])
    np.testing.assert_array_equal(labels, np.arange(EVAL_EXAMPLES) % 3)
    assert len(get_rows(np.concatenate([image for image, _ in shown]))) == EVAL_EXAMPLES


@pytest.mark.parametrize("workers", [1, 2])
def test_replicas_of_all_workers_share_the_batches_of_one_device(train, workers):
    """Four replicas get a quarter of each batch; those of one worker take turns."""
    replicas, epochs, skip = 4, range(1, 3), 2
    contexts = [tf.distribute.InputContext(workers, worker, replicas) for worker in range(workers)]
    shared = [batches(train, epochs, None, 20, skip, context) for context in contexts]
    here = replicas // workers
    whole = batches(train, epochs)[skip:]
    assert [len(parts) for parts in shared] == [len(whole) * here] * workers
    for step, (images, labels, _) in enumerate(whole):
        parts = [part for parts in shared for part in parts[step * here : (step + 1) * here]]
        np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), images)
        np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), labels)


def test_an_epoch_shows_every_example_in_full_batches_with_its_label(train):
    shown = batches(train, range(1))
    assert len(shown) == input_pipeline.steps_per_epoch(train, BATCH) == 5
    label_of = {row.tobytes(): label for row, label in zip(read_pixels(train), train.labels, strict=True)}
    for images, labels, _ in shown:
        assert images.shape == (BATCH, 32, 32, 1)
        assert [label_of[one.tobytes()] for one in images] == labels.tolist()
    assert get_rows(np.concatenate([images for images, _, _ in shown])) == get_rows(read_pixels(train))


def test_a_split_smaller_than_a_batch_still_fills_one(evaluation):
    dataset = input_pipeline.make_train_batches(evaluation, 64, range(2), 1, None, EQUAL)
    assert [len(label) for _, label, _ in dataset.as_numpy_iterator()] == [64, 64]


def test_each_epoch_and_each_seed_has_its_own_order_and_variation_which_a_resumed_run_sees_too(train):
    unbroken = batches(train, range(4), VARIED)
    assert_same(unbroken[10:], batches(train, range(2, 4), VARIED))
    other_seed = batches(train, range(1), VARIED, seed=21)
    first, second, other = (get_rows(images) for images, *_ in (unbroken[0], unbroken[5], other_seed[0]))
    assert not first & second and not first & other


def test_a_custom_variation_may_have_an_if_on_a_tensor(train):
    def darken(images, draws):
        if tf.reduce_mean(images) > limit:
            images *= 0.0
        return images

    means = [np.mean(images) for images, _, _ in batches(train, range(1))]
    limit = np.median(means)
    dark = [not images.any() for images, _, _ in batches(train, range(1), darken)]
    assert dark == [mean > limit for mean in means] and any(dark)


def test_groups_have_equal_weight_within_a_class_and_classes_keep_theirs(train):
    labels = np.repeat([0, 1, 2], [12, 60, TRAIN_EXAMPLES - 72])
    # Class 0 has groups of 1, 3 and 8, class 1 of 1 and 59; class 2 shares its only group with class 1.
    groups = np.concatenate([np.repeat([1, 2, 3, 4, 5], [1, 3, 8, 1, 59]), np.full(TRAIN_EXAMPLES - 72, 5)])
    split = replace(train, labels=labels, groups=groups)
    weights = input_pipeline.weigh_groups(split)
    np.testing.assert_allclose(np.bincount(groups[:12], weights[:12])[1:], [4, 4, 4], rtol=1e-5)
    # The only photo of a session has four times the mean of its class, not thirty times.
    assert weights[12] / weights[13] == pytest.approx(4 / (60 / 2 / 59), rel=1e-5)
    np.testing.assert_allclose(np.bincount(labels, weights), [12, 60, TRAIN_EXAMPLES - 72], rtol=1e-5)
    without = input_pipeline.weigh_groups(replace(split, only=labels != 0))
    np.testing.assert_array_equal(without, np.where(labels == 0, 0, weights))


def test_batches_do_not_depend_on_where_inputs_are_kept(examples, transform, tmp_path, monkeypatch):
    """There are more shards than are read in turn, one is empty, and the buffer is smaller than the split."""
    monkeypatch.setattr(input_pipeline, "_SHUFFLE_BUFFER", 10)
    for number, (start, end) in enumerate(pairwise((0, 1, 1, 8, 30, 31, 60, TRAIN_EXAMPLES))):
        write_records(tmp_path / f"train-{number}.gz", examples["train"][start:end])
    pattern = [str(tmp_path / "train-*")]
    streamed = input_pipeline.open_split(pattern, transform, "train", SHELF, limit_bytes=0)
    assert streamed.inputs is None and streamed.counts == (1, 0, 7, 22, 1, 29, 36)
    in_memory = input_pipeline.open_split(pattern, transform, "train", SHELF)
    monkeypatch.setattr(input_pipeline, "CACHE_LIMIT_BYTES", 0)
    in_a_file = input_pipeline.open_split(pattern, transform, "train", SHELF)
    assert isinstance(in_a_file.inputs, np.memmap)
    whole = (in_memory, streamed, in_a_file)
    for first, *others in (whole, [input_pipeline.hold_out(split, 0.25)[0] for split in whole]):
        expected, pixels = batches(first, range(2), VARIED), read_pixels(first)
        for split in others:
            assert_same(batches(split, range(2), VARIED), expected)
            np.testing.assert_array_equal(read_pixels(split), pixels)
    images = np.concatenate([image for image, _, _ in batches(streamed, range(1))])
    assert get_rows(images) == get_rows(read_pixels(in_memory))


def test_a_split_without_examples_is_refused(transform, tmp_path):
    write_records(tmp_path / "empty-00000.gz", [])
    for pattern in ("empty-*", "nothing-*"):
        with pytest.raises(EdgelineError, match="eval split has no examples"):
            input_pipeline.open_split([str(tmp_path / pattern)], transform, "eval", SHELF)


def test_labels_that_the_schema_lacks_are_refused_with_their_number(transform, tmp_path):
    records = [example(render("ok", 1), label) for label in ("ok", "torn", None)]
    write_records(tmp_path / "some-00000.gz", records)
    with pytest.raises(EdgelineError, match="2 of 3 examples of the train split"):
        input_pipeline.open_split([str(tmp_path / "some-*")], transform, "train", SHELF)


def make_split(labels: list[int], groups: list[int]) -> input_pipeline.Split:
    """Returns a split of labels and groups only."""
    counts = (len(labels),)
    return input_pipeline.Split(
        ("",), counts, 1, np.array(labels), None, tf.identity, groups=np.array(groups, np.int64)
    )


def test_whole_groups_are_held_out_and_no_more_of_a_class_than_its_share():
    """Class 0 has 40 groups, class 1 five and class 2 four; a group of class 1 has examples of class 0."""
    groups = np.repeat(np.arange(49), 5)
    labels = np.where(groups < 40, 0, np.where(groups < 45, 1, 2))
    labels[200:203] = 0
    rest, held_out = input_pipeline.hold_out(make_split(labels, groups), 0.1)
    assert not set(groups[rest.shown]) & set(groups[held_out.shown])
    assert len(rest.shown) + len(held_out.shown) == len(labels)
    counts = {label: len(set(groups[held_out.shown][labels[held_out.shown] == label])) for label in range(3)}
    assert counts[0] in (4, 5) and counts[1] == 1 and counts[2] == 0

    again, second = input_pipeline.hold_out(rest, 0.1)
    assert len(second.shown) and not set(held_out.shown) & {*again.shown, *second.shown}


def test_nothing_is_held_out_if_the_share_of_each_class_is_less_than_half_a_group():
    split = make_split([0, 0, 0, 0, 1, 1], [1, 2, 3, 4, 5, 6])
    rest, held_out = input_pipeline.hold_out(split, 0.1)
    assert len(rest.shown) == 6 and len(held_out.shown) == 0
    assert len(input_pipeline.hold_out(split, 0.2)[1].shown) == 1


def test_batches_have_the_examples_that_are_not_held_out_and_the_others_can_be_measured(train):
    """Each photo here is a session of its own."""
    rest, held_out = input_pipeline.hold_out(train, 0.25)
    every = read_pixels(train)
    assert 20 <= len(held_out.shown) <= 28
    for part in (rest, held_out):
        np.testing.assert_array_equal(read_pixels(part), every[part.shown])
    shown = batches(rest, range(2))
    assert len(shown) == 2 * input_pipeline.steps_per_epoch(rest, BATCH) == 8
    assert get_rows(np.concatenate([images for images, _, _ in shown])) == get_rows(every[rest.shown])
