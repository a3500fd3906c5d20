"""From raw serialized examples, through the Transform graph, to batches that a resumed run sees again.

What a run sees in epoch e depends on (seed, e) alone: the order, and each example's flip and brightness, come
from stateless random numbers. So a run that starts again in epoch e goes on as if it had never stopped, and
sees the same where inputs are kept in memory, in a file, or not at all.

The order is one that a stream can have: shards in random order, some read in turn, and a buffer that shuffles
what comes. Shards are by digest of their examples, so what lies side by side in one has nothing in common.
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

from errors import EdgelineError
from locations import is_url
from records.shards import records_in, shards_of
from records.workload import Workload
from trainer_module.free_memory import free_memory
from trainer_module.raw_features import one_string_each
from trainer_module.workload_module import DRAWS, LABEL, input_feature, stored_dtype

# What is kept for all epochs is in memory up to here, 130,000 photos of 128x128x1, and up to a share of what
# is free, of which it takes twice as much while it is made. Beyond, it is in a file.
CACHE_LIMIT_BYTES = 2 * 1024**3
_SHARE_OF_MEMORY = 0.25
# That file leaves as much of the disk free as it takes. Where it cannot, each epoch makes inputs again.
_SHARE_OF_DISK = 0.5
# Examples in the shuffle's buffer, fewer where they are large.
_SHUFFLED, _SHUFFLED_BYTES = 8192, 128 * 1024**2
# Of fewer groups a class has none to spare for a choice.
_TO_SPARE = 3
# Shards that are read in turn.
_AT_ONCE = 4
READ_BATCH = 128

_progress = logging.getLogger("edgeline.progress")


@dataclass(frozen=True)
class Split:
    """The examples of one split, in the order of the files' records."""

    files: tuple[str, ...]  # gzipped TFRecord files, sorted, or their URLs
    counts: tuple[int, ...]  # examples of each
    shuffled: int  # in the buffer that an epoch's examples go through
    labels: np.ndarray  # label ids, int64 [examples]
    # What the model reads, [copies * examples, ...], in memory or in a file; None when it fits into neither.
    inputs: tf.Tensor | np.memmap | None
    transform: Callable[[tf.Tensor], tf.Tensor]  # serialized examples, string [N], to that, [N, ...]
    groups: np.ndarray  # a digest of each example's session, machine or author, int64 [examples]
    copies: int = 1  # variations of all examples, one after the other
    only: np.ndarray | None = None  # which examples are shown, bool [examples]; None for all

    @property
    def shown(self) -> np.ndarray:
        """Indices of the examples that batches have, int64 [shown]."""
        return np.arange(len(self.labels)) if self.only is None else np.flatnonzero(self.only)


def open_split(
    patterns: Sequence[str],
    transform: tft.TFTransformOutput,
    name: str,
    workload: Workload,
    limit_bytes: int | None = None,
    scratch: Path | None = None,
) -> Split:
    """Reads the labels of a split, and what the model reads too, up to so many bytes of it.

    The patterns are of gzipped TFRecord files of serialized tf.Examples; `name` is for errors; `scratch` is
    the folder for what memory cannot hold, the system's temporary one where it is not given.

    Raises:
        EdgelineError: When the split is empty, or an example has a label that the schema does not know.
    """
    files = shards_of(patterns)
    if any(map(is_url, files)):
        place = files[0].rpartition("/")[0]
        _progress.info("%d shards of the %s split are read from %s.", len(files), name, place)
    label_of = _transformed(transform, (LABEL,), LABEL)
    of_group = {workload.group: tf.io.VarLenFeature(tf.string)}

    def group_of(records: tf.Tensor) -> tf.Tensor:
        groups = one_string_each(tf.io.parse_example(records, of_group)[workload.group])
        # An example without a session is one of its own.
        named = tf.where(groups == "", records, tf.strings.join(["group ", groups]))
        return tf.strings.to_hash_bucket_fast(named, 2**62)

    described = (
        tf.data.Dataset.range(len(files))
        .flat_map(lambda shard: _records(files, shard).map(lambda record: (shard, record)))
        .batch(READ_BATCH)
        .map(
            lambda shard, record: (shard, tf.strings.length(record), label_of(record), group_of(record)),
            tf.data.AUTOTUNE,
        )
    )
    batches = list(described.as_numpy_iterator()) if files else []
    if not batches:
        raise EdgelineError(
            f"The {name} split has no examples ({', '.join(patterns)}).",
            "A model needs examples to train on and others to be measured on.",
            "Add labelled examples of more groups, or change data.eval_fraction.",
        )
    shards, sizes, labels, groups = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    if (labels < 0).any():
        raise EdgelineError(
            f"{int((labels < 0).sum())} of {labels.size} examples of the {name} split have a label that is "
            "not in the schema's domain.",
            "There is no class that they could be trained or measured as.",
            "Correct the labels, or add them to the schema's domain of `label`.",
        )

    feature = input_feature(transform)
    spec = transform.transformed_feature_spec()[feature]
    dtype = tf.as_dtype(stored_dtype(workload.module, feature) or spec.dtype)
    wide = _transformed(transform, workload.reads, feature)

    def transformed(serialized: tf.Tensor) -> tf.Tensor:
        return tf.cast(wide(serialized), dtype)

    inputs, shape = None, (labels.size, *spec.shape)
    limit_bytes = bytes_to_keep(scratch) if limit_bytes is None else limit_bytes
    if math.prod(shape) * dtype.size <= limit_bytes:
        read = read_records(files).batch(READ_BATCH).map(transformed, tf.data.AUTOTUNE).prefetch(2)
        inputs = keep(read.as_numpy_iterator(), shape, dtype.as_numpy_dtype, scratch)
    counts = tuple(np.bincount(shards, minlength=len(files)).tolist())
    shuffled = max(1, min(_SHUFFLED, int(_SHUFFLED_BYTES / sizes.mean())))
    return Split(files, counts, shuffled, labels, inputs, transformed, groups)


def hold_out(split: Split, share: float) -> tuple[Split, Split]:
    """Parts the groups of a training split: those to learn from, and a share of them to choose by.

    Each group stands for the rarest class that it has, and each class gives its share of the groups that
    stand for it: one at least where it has three, none where it has fewer. Which ones is up to the digests of
    their names. The second part may have no example.
    """
    shown = split.shown
    labels, (ids, group) = split.labels[shown], np.unique(split.groups[shown], return_inverse=True)
    has = np.unique(np.stack([group, labels], axis=1), axis=0)
    rank = np.argsort(np.argsort(np.bincount(has[:, 1]), kind="stable"))
    rarest = np.full(len(ids), len(rank))
    np.minimum.at(rarest, has[:, 0], rank[has[:, 1]])
    chosen = np.zeros(len(ids), bool)
    for place in np.unique(rarest):
        same = np.flatnonzero(rarest == place)
        if len(same) >= _TO_SPARE:
            chosen[same[: max(1, round(share * len(same)))]] = True
    held = np.zeros(len(split.labels), bool)
    held[shown] = chosen[group]
    rest = ~held if split.only is None else split.only & ~held
    return replace(split, only=rest), replace(split, only=held)


def bytes_to_keep(scratch: Path | None = None) -> int:
    """How much can be kept for all epochs, in memory or in a file of that folder."""
    free = shutil.disk_usage(scratch or tempfile.gettempdir()).free
    return max(_bytes_in_memory(), int(free * _SHARE_OF_DISK))


def _bytes_in_memory() -> int:
    return min(CACHE_LIMIT_BYTES, int(free_memory() * _SHARE_OF_MEMORY))


def keep(
    batches: Iterator[np.ndarray], shape: Sequence[int], dtype: Any, scratch: Path | None = None
) -> tf.Tensor | np.memmap:
    """Batches one after the other, as one array: in memory, or where that is too large in a file.

    The file has no name: whatever becomes of this process, it is gone with it. Its room on the disk is taken
    before it is written, since a process that writes to a mapped file on a full disk is killed.

    Raises:
        OSError: When the disk has no room for it.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= _bytes_in_memory():
        kept = np.empty(shape, dtype)
    else:
        with tempfile.TemporaryFile(dir=scratch) as file:
            os.posix_fallocate(file.fileno(), 0, size)
            kept = np.memmap(file, dtype, "r+", shape=tuple(shape))
    at = 0
    for batch in batches:
        kept[at : at + len(batch)] = batch
        at += len(batch)
    if isinstance(kept, np.memmap):
        return kept
    with tf.device("/cpu:0"):
        return tf.constant(kept)


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """Steps in which every example is seen; some are seen twice where the last batch lacks any."""
    return -(-len(split.shown) // batch_size)


def training_batches(
    split: Split,
    batch_size: int,
    epochs: range,
    seed: int,
    augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None,
    weights: Sequence[float],
    skip: int = 0,
    context: tf.distribute.InputContext | None = None,
    variations: int | None = None,
) -> tf.data.Dataset:
    """Batches of the given epochs, one after another, `steps_per_epoch` full batches each.

    For one of several workers, or for several replicas, `context` tells whose part of each batch is wanted:
    then each replica's part is a batch of its own, and those of one worker come one after another.

    Args:
        split: To train on.
        batch_size: Of all replicas together.
        epochs: To yield; `range(3, 10)` goes on after three epochs.
        seed: With the epoch's number and the example's index it decides all that is random.
        augment: Varies a batch by uniform draws, [batch, DRAWS]; None where nothing varies.
        weights: Sample weight of each class, in label order.
        skip: Batches of the first epoch that were taken already.
        context: Of `distribute_datasets_from_function`; None where one replica takes all.
        variations: Of each example, which epochs take in turn; None where each epoch has one of its own.

    Returns:
        (what the model reads [batch, ...], label int64 [batch], sample weight float32 [batch]).
    """
    examples = len(split.labels)
    labels, class_weights = tf.constant(split.labels), tf.constant(weights, tf.float32)

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        # What `fold_in` gives is the epoch itself beside one number for all of them.
        folded = tf.random.fold_in(tf.constant([seed, 0], tf.int64), epoch)
        epoch_seed = tf.random.stateless_uniform([2], folded, None, None, tf.int64)

        def drawn(index: tf.Tensor, item: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            if split.inputs is not None:
                item = index + examples * ((index + epoch) % split.copies)
            if augment is None:
                return index, item, tf.zeros(0)
            if variations is not None:
                return index, item, draws_of(seed, (index + epoch) % variations, index)
            return index, item, tf.random.stateless_uniform([DRAWS], tf.stack([epoch_seed[0], index]))

        return _shuffled(split, epoch_seed, steps_per_epoch(split, batch_size) * batch_size).map(drawn)

    def batch_of(
        index: tf.Tensor, item: tf.Tensor, draws: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        label = tf.gather(labels, index)
        inputs = _inputs(split, item)
        varied = inputs if augment is None else augment(inputs, draws)
        return varied, label, tf.gather(class_weights, label)

    batches = tf.data.Dataset.range(epochs.start, epochs.stop).flat_map(one_epoch)
    here = 1
    if context is None:
        batches = batches.batch(batch_size, drop_remainder=True).skip(skip)
    else:
        replicas, workers = context.num_replicas_in_sync, context.num_input_pipelines
        here = replicas // workers
        batches = batches.batch(batch_size // replicas, drop_remainder=True).skip(skip * replicas)
        if workers > 1:
            first = context.input_pipeline_id * here
            batches = batches.window(replicas).flat_map(
                lambda *parts: tf.data.Dataset.zip(parts).skip(first).take(here)
            )
    options = tf.data.Options()
    options.deterministic = True
    count = (len(epochs) * steps_per_epoch(split, batch_size) - skip) * here
    batches = batches.apply(tf.data.experimental.assert_cardinality(count))
    return batches.map(batch_of, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE).with_options(options)


def draws_of(seed: int, variation: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """The uniform draws, float32 [DRAWS], that one variation of one example is made by."""
    # Of a number of another type `fold_in` makes another seed.
    folded = tf.random.fold_in(tf.constant([seed, 1], tf.int64), tf.cast(variation, tf.int64))
    return tf.random.stateless_uniform([DRAWS], tf.random.fold_in(folded, index))


def evaluation_batches(split: Split, batch_size: int) -> tf.data.Dataset:
    """Every example once, in the order of the files, the last batch as small as it comes out.

    Returns:
        (what the model reads [<=batch, ...], label int64 [<=batch]).
    """
    items = tf.data.Dataset.from_tensor_slices(split.shown)
    if split.inputs is None:
        items = read_records(split.files)
        if split.only is not None:
            shown = tf.data.Dataset.from_tensor_slices(split.only)
            both = tf.data.Dataset.zip((items, shown)).filter(lambda _, shown: shown)
            items = both.map(lambda record, _: record)
    return (
        tf.data.Dataset.zip((items, tf.data.Dataset.from_tensor_slices(split.labels[split.shown])))
        .batch(batch_size)
        .map(lambda item, label: (_inputs(split, item), label), tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def _shuffled(split: Split, seed: tf.Tensor, count: int) -> tf.data.Dataset:
    """So many of an epoch in another order, as (index, item): its record, where inputs are not kept."""
    counts = tf.constant(split.counts, tf.int64)
    ends = tf.cumsum(counts)

    def of_shard(shard: tf.Tensor) -> tf.data.Dataset:
        indices = tf.data.Dataset.range(ends[shard] - counts[shard], ends[shard])
        items = _records(split.files, shard) if split.inputs is None else indices
        return tf.data.Dataset.zip((indices, items))

    shards = tf.random.experimental.stateless_shuffle(tf.range(len(split.counts), dtype=tf.int64), seed)
    in_turn = tf.data.Dataset.from_tensor_slices(shards).interleave(
        of_shard, _AT_ONCE, num_parallel_calls=_AT_ONCE, deterministic=True
    )
    if split.only is not None:
        only = tf.constant(split.only)
        in_turn = in_turn.filter(lambda index, _: only[index])
    return in_turn.repeat().take(count).shuffle(split.shuffled, seed=seed[0])


def _inputs(split: Split, items: tf.Tensor) -> tf.Tensor:
    """What the model reads; what is kept in fewer bytes goes in as float32."""
    if split.inputs is None:
        inputs = split.transform(items)
    elif isinstance(split.inputs, tf.Tensor):
        inputs = tf.gather(split.inputs, items)
    else:
        inputs = tf.numpy_function(split.inputs.__getitem__, [items], split.inputs.dtype, stateful=False)
        inputs = tf.ensure_shape(inputs, (None, *split.inputs.shape[1:]))
    return tf.cast(inputs, tf.float32) if inputs.dtype in (tf.uint8, tf.float16) else inputs


def read_records(files: Sequence[str]) -> tf.data.Dataset:
    """Serialized examples, string [], of gzipped TFRecord files, one file after the other."""
    return tf.data.Dataset.range(len(files)).flat_map(lambda shard: _records(files, shard))


def _records(files: Sequence[str], shard: tf.Tensor) -> tf.data.Dataset:
    """The serialized examples of the file of that number."""
    return records_in(tf.constant(files, tf.string)[shard], any(map(is_url, files)))


def _transformed(
    transform: tft.TFTransformOutput, raw: Sequence[str], transformed: str
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Serialized examples to one transformed feature, parsing only the raw features that it is made of."""
    spec = {name: transform.raw_feature_spec()[name] for name in raw}
    layer = transform.transform_features_layer()
    # AutoGraph would rewrite all of the layer's own code first, which takes seconds and changes nothing.
    return tf.autograph.experimental.do_not_convert(
        lambda serialized: layer(tf.io.parse_example(serialized, spec))[transformed]
    )
