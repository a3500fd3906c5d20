"""The input pipeline: raw serialized examples, through the Transform graph, to reproducible batches.

The batches of epoch e depend only on (seed, e): the order, and each example's flip and brightness, come from
stateless random numbers. So a run that resumes in epoch e goes on as if it had never stopped, and sees the
same batches whether inputs are stored in memory, in a file, or not at all.

The order is one that a stream can have: shards in random order, some read in turn, and a shuffle buffer.
Examples are assigned to shards by digest, so neighbours in a shard have nothing in common.
"""

import logging
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from edgeline.errors import EdgelineError
from edgeline.records.shards import find_shards, read_shard
from edgeline.records.workload import Workload
from edgeline.store.locations import is_url
from trainer_module.raw_features import one_string_each
from trainer_module.training.free_memory import free_memory
from trainer_module.workload_module import DRAWS, LABEL, find, find_input

# Inputs that are stored for all epochs are in memory up to this size, 130,000 photos of 128x128x1, and up to
# a share of the free memory, of which they take twice as much while they are made. Larger ones are in a file.
CACHE_LIMIT_BYTES = 2 * 1024**3
_SHARE_OF_MEMORY = 0.25
# The file leaves as much of the disk free as it takes. If it cannot, each epoch computes the inputs again.
_SHARE_OF_DISK = 0.5
# Examples in the shuffle buffer, fewer if they are large.
_SHUFFLE_BUFFER, _SHUFFLE_BUFFER_BYTES = 8192, 128 * 1024**2
# Number of shards that are read in turn.
_SHARDS_AT_ONCE = 4
# Largest weight of an example, in means of its class, where groups count alike: else the only photo of a
# session, perhaps with a wrong label, would outweigh hundreds of others.
_LARGEST_WEIGHT = 4.0
READ_BATCH = 128

_progress = logging.getLogger("edgeline.progress")
# Without AutoGraph, which would take a second of each run to rewrite code that has no `if` or loop on a
# tensor. A workload's own `augment` may have one.
_as_it_is = tf.autograph.experimental.do_not_convert


# Varies a batch of inputs, [batch, ...], by uniform draws, [batch, DRAWS].
Augment = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class Split:
    """The examples of one split, in the order of the files' records."""

    files: tuple[str, ...]  # gzipped TFRecord files, sorted, or their URLs
    counts: tuple[int, ...]  # number of examples in each file
    shuffle_buffer: int  # size of the shuffle buffer
    labels: np.ndarray  # label ids, int64 [examples]
    # The model's inputs, [copies * examples, ...], in memory or in a file; None if neither has room.
    inputs: tf.Tensor | np.memmap | None
    transform: Callable[[tf.Tensor], tf.Tensor]  # serialized examples, string [N], to inputs, [N, ...]
    groups: np.ndarray  # a digest of each example's session, machine or author, int64 [examples]
    copies: int = 1  # variations of all examples, one after the other
    only: np.ndarray | None = None  # which examples are shown, bool [examples]; None for all

    @property
    def shown(self) -> np.ndarray:
        """Returns the indices of the examples that batches contain, int64 [shown]."""
        return np.arange(len(self.labels)) if self.only is None else np.flatnonzero(self.only)


@_as_it_is
def open_split(
    patterns: Sequence[str],
    transform: tft.TFTransformOutput,
    name: str,
    workload: Workload,
    limit_bytes: int | None = None,
    scratch: Path | None = None,
) -> Split:
    """Reads the labels of a split, and its inputs if they take at most `limit_bytes`.

    Args:
        patterns: Those of gzipped TFRecord files of serialized tf.Examples.
        transform: Makes the label and the model's input of an example.
        name: For messages, `train` or `eval`.
        workload: Has the raw features to parse, and the module that says as which dtype inputs are stored.
        limit_bytes: None for what memory or the disk can hold.
        scratch: Folder of the file that takes large inputs; None for the system's temporary folder.

    Raises:
        EdgelineError: The split is empty, or an example has a label that is not in the schema.
    """
    files = find_shards(patterns)
    if any(map(is_url, files)):
        place = files[0].rpartition("/")[0]
        _progress.info("Reading %d shards of the %s split from %s.", len(files), name, place)
    read_labels = _make_transform(transform, (LABEL,), LABEL)
    group_spec = {workload.group: tf.io.VarLenFeature(tf.string)}

    def digest_groups(records: tf.Tensor) -> tf.Tensor:
        groups = one_string_each(tf.io.parse_example(records, group_spec)[workload.group])
        # An example without a group is a group of its own.
        names = tf.where(groups == "", records, tf.strings.join(["group ", groups]))
        return tf.strings.to_hash_bucket_fast(names, 2**62)

    def describe(shards: tf.Tensor, records: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return shards, tf.strings.length(records), read_labels(records), digest_groups(records)

    numbered = tf.data.Dataset.range(len(files)).flat_map(
        lambda shard: _read_shard(files, shard).map(lambda record: (shard, record))
    )
    descriptions = numbered.batch(READ_BATCH).map(describe, tf.data.AUTOTUNE)
    batches = list(descriptions.as_numpy_iterator()) if files else []
    if not batches:
        raise EdgelineError(
            f"The {name} split has no examples ({', '.join(patterns)}).",
            "A model needs examples for training and other examples for evaluation.",
            "Add labelled examples of more groups, or change data.eval_fraction.",
        )
    shards, sizes, labels, groups = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    if (labels < 0).any():
        raise EdgelineError(
            f"{int((labels < 0).sum()):,} of {labels.size:,} examples of the {name} split have a label that"
            " is not in the schema's domain.",
            "The model has no class for them.",
            "Correct the labels, or add them to the schema's domain of `label`.",
        )

    feature = find_input(transform)
    spec = transform.transformed_feature_spec()[feature]
    dtype = tf.as_dtype(find(workload.module, "STORED_AS", {}).get(feature) or spec.dtype)
    compute_feature = _make_transform(transform, workload.reads, feature)

    def read_inputs(serialized: tf.Tensor) -> tf.Tensor:
        return tf.cast(compute_feature(serialized), dtype)

    inputs, shape = None, (labels.size, *spec.shape)
    limit_bytes = compute_storage_limit(scratch) if limit_bytes is None else limit_bytes
    if math.prod(shape) * dtype.size <= limit_bytes:
        input_batches = read_records(files).batch(READ_BATCH).map(read_inputs, tf.data.AUTOTUNE).prefetch(2)
        inputs = store(input_batches.as_numpy_iterator(), shape, dtype.as_numpy_dtype, scratch)
    counts = tuple(np.bincount(shards, minlength=len(files)).tolist())
    shuffle_buffer = max(1, min(_SHUFFLE_BUFFER, int(_SHUFFLE_BUFFER_BYTES / sizes.mean())))
    return Split(files, counts, shuffle_buffer, labels, inputs, read_inputs, groups)


def hold_out(split: Split, share: float) -> tuple[Split, Split]:
    """Splits a training split by group: one part to train on, and a held-out share.

    Each group stands for the rarest class that it has, and each class gives a share of the groups that stand
    for it, rounded: of four groups, a tenth is none. The digests of their names decide which. The second part
    may be empty.
    """
    shown = split.shown
    labels = split.labels[shown]
    ids, group = np.unique(split.groups[shown], return_inverse=True)
    pairs = np.unique(np.stack([group, labels], axis=1), axis=0)
    rank = np.argsort(np.argsort(np.bincount(pairs[:, 1]), kind="stable"))
    rarest = np.full(len(ids), len(rank))
    np.minimum.at(rarest, pairs[:, 0], rank[pairs[:, 1]])
    is_held = np.zeros(len(ids), bool)
    for class_rank in np.unique(rarest):
        members = np.flatnonzero(rarest == class_rank)
        is_held[members[: int(share * len(members) + 0.5)]] = True
    is_out = np.zeros(len(split.labels), bool)
    is_out[shown] = is_held[group]
    rest = ~is_out if split.only is None else split.only & ~is_out
    return replace(split, only=rest), replace(split, only=is_out)


def compute_storage_limit(scratch: Path | None = None) -> int:
    """Returns how many bytes can be stored for all epochs, in memory or in a file in `scratch`."""
    free = shutil.disk_usage(scratch or tempfile.gettempdir()).free
    return max(_compute_memory_limit(), int(free * _SHARE_OF_DISK))


def _compute_memory_limit() -> int:
    return min(CACHE_LIMIT_BYTES, int(free_memory() * _SHARE_OF_MEMORY))


def store(
    batches: Iterator[np.ndarray], shape: Sequence[int], dtype: Any, scratch: Path | None = None
) -> tf.Tensor | np.memmap:
    """Concatenates batches to one array, in memory or, if it is too large, in a file.

    The file has no name, so it disappears with this process. Its disk space is allocated before it is
    written, since a process that writes to a mapped file on a full disk is killed: OSError is raised instead.

    Args:
        batches: Together have as many rows as the array.
        shape: That of the array, [N, ...].
        dtype: Batches of another one are converted.
        scratch: Folder of the file; None for the system's temporary folder.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= _compute_memory_limit():
        array = np.empty(shape, dtype)
    else:
        with tempfile.TemporaryFile(dir=scratch) as file:
            os.posix_fallocate(file.fileno(), 0, size)
            array = np.memmap(file, dtype, "r+", shape=tuple(shape))
    start = 0
    for batch in batches:
        array[start : start + len(batch)] = batch
        start += len(batch)
    if isinstance(array, np.memmap):
        return array
    with tf.device("/cpu:0"):
        return tf.constant(array)


def weigh_groups(split: Split) -> np.ndarray:
    """Returns weights with which each group counts as much within its class, float32 [examples].

    Those of the examples that are shown have the mean 1 in each class, after the largest have been cut to
    `_LARGEST_WEIGHT`; those of others are 0.
    """
    labels, shown = split.labels[split.shown], split.shown
    groups = np.unique(split.groups[shown], return_inverse=True)[1] * (labels.max() + 1) + labels
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    counts = np.maximum(np.bincount(labels), 1)

    def scale(weights: np.ndarray) -> np.ndarray:
        """Divides the weights by the mean of their class."""
        return weights / (np.bincount(labels, weights) / counts)[labels]

    weights = np.zeros(len(split.labels), np.float32)
    weights[shown] = scale(np.minimum(scale(1.0 / sizes[group]), _LARGEST_WEIGHT))
    return weights


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """Returns the steps in which every example is seen; some are seen twice to fill the last batch."""
    return -(-len(split.shown) // batch_size)


def make_train_batches(
    split: Split,
    batch_size: int,
    epochs: range,
    seed: int,
    augment: Augment | None,
    weights: np.ndarray,
    skip: int = 0,
    context: tf.distribute.InputContext | None = None,
    variations: int | None = None,
    taught: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Makes the batches of the given epochs in order, `steps_per_epoch` full batches each.

    A batch is (model input [batch, ...], label int64 [batch], sample weight float32 [batch]), also of
    `taught`. With several workers or replicas, `context` selects a worker's part of each batch: each
    replica's part is then a batch of its own, and those of one worker follow one another.

    Args:
        split: The split to train on.
        batch_size: Examples of all replicas together.
        epochs: The epochs to yield; `range(3, 10)` goes on after three epochs.
        seed: Together with the epoch's number and the example's index, it decides everything random.
        augment: None for no variation.
        weights: Sample weight of each example, float32 [examples].
        skip: Number of batches of the first epoch that were taken already.
        context: From `distribute_datasets_from_function`.
        variations: Number per example, which epochs take in turn; None for a new one in each epoch.
        taught: A teacher's probabilities, float32 [examples, classes].
    """
    examples = len(split.labels)
    of_examples = [tf.constant(split.labels), tf.constant(weights, tf.float32)]
    of_examples += [] if taught is None else [tf.constant(taught)]
    replicas = context.num_replicas_in_sync if context else 1
    part = batch_size // replicas

    @_as_it_is
    def make_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        # `fold_in` alone returns the epoch itself beside a number that is the same for all epochs.
        folded = tf.random.fold_in(tf.constant([seed, 0], tf.int64), epoch)
        epoch_seed = tf.random.stateless_uniform([2], folded, None, None, tf.int64)

        numbers = [epoch] if variations is None else range(variations)
        draws = tf.zeros([examples * len(numbers), 0])
        if augment is not None:
            draws = tf.concat([make_draws(seed, number, examples) for number in numbers], 0)

        def place(index: tf.Tensor, count: int) -> tf.Tensor:
            """Returns where this epoch's one of `count` variations is, each of all examples in turn."""
            return index + examples * ((index + epoch) % count)

        def add_draws(index: tf.Tensor, item: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            if split.inputs is not None:
                item = place(index, split.copies)
            return index, item, tf.gather(draws, place(index, len(numbers)))

        # Draws are added to a whole batch: for each example by itself, they took longer than a GPU's step.
        shuffled = _shuffle(split, epoch_seed, steps_per_epoch(split, batch_size) * batch_size)
        return shuffled.batch(part, drop_remainder=True).map(add_draws)

    def make_batch(index: tf.Tensor, item: tf.Tensor, draws: tf.Tensor) -> tuple[tf.Tensor, ...]:
        inputs = _gather_inputs(split, item)
        varied = inputs if augment is None else augment(inputs, draws)
        return varied, *(tf.gather(values, index) for values in of_examples)

    batches = tf.data.Dataset.range(epochs.start, epochs.stop).flat_map(make_epoch).skip(skip * replicas)
    parts_here = replicas
    if context and (workers := context.num_input_pipelines) > 1:
        parts_here = replicas // workers
        first = context.input_pipeline_id * parts_here
        batches = batches.window(replicas).flat_map(
            lambda *parts: tf.data.Dataset.zip(parts).skip(first).take(parts_here)
        )
    options = tf.data.Options()
    options.deterministic = True
    count = (len(epochs) * steps_per_epoch(split, batch_size) - skip) * parts_here
    batches = batches.apply(tf.data.experimental.assert_cardinality(count))
    return batches.map(make_batch, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE).with_options(options)


def make_draws(seed: int, variation: tf.Tensor | int, examples: int) -> tf.Tensor:
    """Makes the uniform draws, float32 [examples, DRAWS], of one variation of all examples.

    Args:
        seed: That of the training.
        variation: Its number, from 0; that of the epoch if each epoch has a new one.
        examples: Number in the split, also of those that are not shown.
    """
    # `fold_in` makes another seed from a number of another type.
    folded = tf.random.fold_in(tf.constant([seed, 1], tf.int64), tf.cast(variation, tf.int64))
    return tf.random.stateless_uniform([examples, DRAWS], folded)


@_as_it_is
def make_eval_batches(split: Split, batch_size: int) -> tf.data.Dataset:
    """Makes batches of every example once, in the order of the files; the last batch may be smaller.

    A batch is (model input [<=batch, ...], label int64 [<=batch]).
    """
    items = tf.data.Dataset.from_tensor_slices(split.shown)
    if split.inputs is None:
        items = read_records(split.files)
        if split.only is not None:
            shown = tf.data.Dataset.from_tensor_slices(split.only)
            pairs = tf.data.Dataset.zip((items, shown)).filter(lambda _, shown: shown)
            items = pairs.map(lambda record, _: record)
    return (
        tf.data.Dataset.zip((items, tf.data.Dataset.from_tensor_slices(split.labels[split.shown])))
        .batch(batch_size)
        .map(lambda item, label: (_gather_inputs(split, item), label), tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def _shuffle(split: Split, seed: tf.Tensor, count: int) -> tf.data.Dataset:
    """Shuffles `count` examples of an epoch as (index, item); items are records if inputs are not stored."""
    counts = tf.constant(split.counts, tf.int64)
    ends = tf.cumsum(counts)

    def read_shard(shard: tf.Tensor) -> tf.data.Dataset:
        indices = tf.data.Dataset.range(ends[shard] - counts[shard], ends[shard])
        items = _read_shard(split.files, shard) if split.inputs is None else indices
        return tf.data.Dataset.zip((indices, items))

    shards = tf.random.experimental.stateless_shuffle(tf.range(len(split.counts), dtype=tf.int64), seed)
    in_turn = tf.data.Dataset.from_tensor_slices(shards).interleave(
        read_shard, _SHARDS_AT_ONCE, num_parallel_calls=_SHARDS_AT_ONCE, deterministic=True
    )
    if split.only is not None:
        only = tf.constant(split.only)
        in_turn = in_turn.filter(lambda index, _: only[index])
    return in_turn.repeat().take(count).shuffle(split.shuffle_buffer, seed=seed[0])


@_as_it_is
def _gather_inputs(split: Split, items: tf.Tensor) -> tf.Tensor:
    """Returns the model's inputs; those stored in fewer bytes become float32."""
    if split.inputs is None:
        inputs = split.transform(items)
    elif isinstance(split.inputs, tf.Tensor):
        inputs = tf.gather(split.inputs, items)
    else:
        inputs = tf.numpy_function(split.inputs.__getitem__, [items], split.inputs.dtype, stateful=False)
        inputs = tf.ensure_shape(inputs, (None, *split.inputs.shape[1:]))
    return tf.cast(inputs, tf.float32) if inputs.dtype in (tf.uint8, tf.float16) else inputs


@_as_it_is
def read_records(files: Sequence[str]) -> tf.data.Dataset:
    """Reads serialized examples, string [], from gzipped TFRecord files, one file after the other."""
    return tf.data.Dataset.range(len(files)).flat_map(lambda shard: _read_shard(files, shard))


def _read_shard(files: Sequence[str], shard: tf.Tensor) -> tf.data.Dataset:
    """Reads the serialized examples of the file with the number `shard`."""
    return read_shard(tf.constant(files, tf.string)[shard], any(map(is_url, files)))


def _make_transform(
    transform: tft.TFTransformOutput, raw: Sequence[str], transformed: str
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Makes a function from serialized examples to a transformed feature; it parses only `raw` features."""
    spec = {name: transform.raw_feature_spec()[name] for name in raw}
    layer = transform.transform_features_layer()
    return _as_it_is(lambda serialized: layer(tf.io.parse_example(serialized, spec))[transformed])
