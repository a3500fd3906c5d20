"""Where the replicas of the model live, and the refusal to train without a GPU that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from errors import EdgelineError, UsageError

if TYPE_CHECKING:
    import tensorflow as tf


def make_strategy(name: str, require_gpu: bool) -> tf.distribute.Strategy:
    """Makes the distribution strategy for this machine.

    Args:
        name: `mirrored` (every GPU of this machine, else its CPU) or `one_device` (one GPU, else the CPU).
        require_gpu: Whether to refuse to go on where TensorFlow sees no GPU.

    Raises:
        EdgelineError: When a GPU is required and none is visible.
        UsageError: When there is no strategy of that name.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if require_gpu and not gpus:
        raise EdgelineError(
            "trainer.require_gpu is true, and TensorFlow sees no GPU on this machine.",
            "Training would silently run on the CPU, many times slower.",
            "Check the driver with nvidia-smi and CUDA_VISIBLE_DEVICES, or set trainer.require_gpu=false.",
        )
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "one_device":
        return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")
    raise UsageError(
        f"trainer.strategy is {name!r}.",
        "There is no such strategy.",
        "Set it to mirrored or one_device.",
    )


def global_batch_size(strategy: tf.distribute.Strategy, batch_size: int) -> int:
    """Examples in a step over all replicas: the batch of one replica times the replicas in sync."""
    return batch_size * strategy.num_replicas_in_sync


def device_names(strategy: tf.distribute.Strategy) -> list[str]:
    """The devices that hold a replica, as `GPU:0`."""
    return [device.split("/device:")[-1] for device in strategy.extended.worker_devices]
