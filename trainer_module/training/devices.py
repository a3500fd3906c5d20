"""The devices that train: a CPU, a GPU, all GPUs of a machine or of several, or a TPU."""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edgeline.errors import EdgelineError, UsageError
from trainer_module.settings import TrainerSettings

# GPUs have units for float16 since compute capability 7.0 (Volta):
# docs.nvidia.com/deeplearning/performance/mixed-precision-training
_TENSOR_CORES = (7, 0)

_progress = logging.getLogger("edgeline.progress")


def make_strategy(settings: TrainerSettings) -> tf.distribute.Strategy:
    """Makes the strategy for the devices in the settings; workers must call it before they compute anything.

    Raises EdgelineError if a GPU is required and none is visible, or a TPU does not answer, and UsageError if
    a setting does not help on these devices.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if settings.require_gpu and not gpus:
        raise EdgelineError(
            "trainer.require_gpu is true, but TensorFlow sees no GPU on this machine.",
            "Training would silently run on the CPU, many times slower.",
            "Check nvidia-smi and CUDA_VISIBLE_DEVICES, add CUDA's libraries with `make cuda`, or set"
            " trainer.require_gpu=false.",
        )
    if settings.precision != "float32":
        _refuse_half_precision(gpus)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    replicas = _make_strategy(settings, gpus)
    if settings.jit_compile:
        _refuse_compilation(replicas)
    count = replicas.num_replicas_in_sync
    names = ", ".join(replicas.extended.worker_devices)
    _progress.info("GPUs found by TensorFlow: %d; replicas: %d, here on %s.", len(gpus), count, names)
    if settings.strategy == "mirrored" and count == 1:
        _progress.info("trainer.strategy is mirrored, but there is only one device, which gets every batch.")
    return replicas


def _make_strategy(settings: TrainerSettings, gpus: list[Any]) -> tf.distribute.Strategy:
    name = settings.strategy
    if name == "auto":
        name = "mirrored" if gpus else "one_device"
    if name == "mirrored" and len(gpus) == 1 and settings.jit_compile:
        name = "one_device"  # Keras scales the loss of a mirrored step in a way that XLA cannot compile
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "tpu":
        return _connect_to_tpu()
    return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")


def _connect_to_tpu() -> tf.distribute.Strategy:
    """Connects to the TPU that TPU_NAME names."""
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
    except (ValueError, RuntimeError) as error:
        raise EdgelineError(
            f"trainer.strategy is tpu, but TensorFlow finds no TPU: {str(error).splitlines()[0]}",
            "TensorFlow looks for the TPU that the environment variable TPU_NAME names.",
            "Set TPU_NAME, for example to grpc://HOST:8470, or trainer.strategy=auto.",
        ) from None
    tf.config.experimental_connect_to_cluster(resolver)
    tf.tpu.experimental.initialize_tpu_system(resolver)
    return tf.distribute.TPUStrategy(resolver)


@contextmanager
def set_precision(settings: TrainerSettings) -> Iterator[None]:
    """Sets the precision of Keras's models and TensorFlow's check of numbers; resets both at the end."""
    keras.config.set_dtype_policy(settings.precision)
    if settings.check_numerics:
        tf.debugging.enable_check_numerics()
    try:
        yield
    finally:
        keras.config.set_dtype_policy("float32")
        if settings.check_numerics:
            tf.debugging.disable_check_numerics()


def _refuse_compilation(replicas: tf.distribute.Strategy) -> None:
    if replicas.num_replicas_in_sync > 1:
        raise UsageError(
            f"trainer.jit_compile is true, but there are {replicas.num_replicas_in_sync} replicas.",
            "XLA cannot compile a step in which replicas exchange gradients.",
            "Set trainer.jit_compile=false, or trainer.strategy=one_device.",
        )
    if "CPU" in replicas.extended.worker_devices[0]:
        raise UsageError(
            "trainer.jit_compile is true, but there is no GPU.",
            "On a CPU, steps compiled by XLA are slower: a fifth of the speed was measured with photos.",
            "Set trainer.jit_compile=false.",
        )


def _refuse_half_precision(gpus: list[Any]) -> None:
    setting = "trainer.precision is mixed_float16, but "
    if not gpus:
        raise UsageError(
            f"{setting}there is no GPU.",
            "A CPU has no units for float16: a step takes several times as long.",
            "Set trainer.precision=float32.",
        )
    for gpu in gpus:
        details = tf.config.experimental.get_device_details(gpu)
        capability = details.get("compute_capability", _TENSOR_CORES)
        if capability < _TENSOR_CORES:
            raise UsageError(
                f"{setting}{details.get('device_name', gpu.name)} has compute capability"
                f" {'.'.join(map(str, capability))}.",
                "GPUs have units for float16 from 7.0 on; without them, float16 saves no time.",
                "Set trainer.precision=float32.",
            )


def is_chief(replicas: tf.distribute.Strategy) -> bool:
    """Returns whether this process decides, measures and writes; a lone process does."""
    return not _has_several_workers(replicas) or is_first(replicas.cluster_resolver)


def is_first(resolver: tf.distribute.cluster_resolver.ClusterResolver) -> bool:
    """Returns whether this task is its cluster's chief, or the first worker of a cluster without a chief."""
    jobs = resolver.cluster_spec().as_dict()
    return not jobs or resolver.task_type == "chief" or ("chief" not in jobs and resolver.task_id == 0)


def from_chief(replicas: tf.distribute.Strategy, values: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """Returns the chief's values on every worker, where each worker's own would differ a little.

    The values are numbers or arrays, of the same shapes on all workers.
    """
    if not _has_several_workers(replicas):
        return values
    # Workers cannot exchange unsigned numbers, and seeds are unsigned.
    numbers = [value if value.dtype.kind == "f" else value.astype("int64") for value in values]
    received = _make_broadcast(replicas)([tf.constant(value) for value in numbers])
    return [value.numpy().astype(own.dtype) for value, own in zip(received, values, strict=True)]


@functools.cache
def _make_broadcast(replicas: tf.distribute.Strategy) -> Callable[[Sequence[tf.Tensor]], Sequence[tf.Tensor]]:
    """Makes the function that sends the chief's values; it is traced once for values of the same shapes."""

    def broadcast(values: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
        def on_replica() -> Sequence[tf.Tensor]:
            context = tf.distribute.get_replica_context()
            is_chief_replica = context.replica_id_in_sync_group == 0
            addends = [tf.where(is_chief_replica, value, tf.zeros_like(value)) for value in values]
            return [context.all_reduce(tf.distribute.ReduceOp.SUM, addend) for addend in addends]

        return [replicas.experimental_local_results(value)[0] for value in replicas.run(on_replica)]

    return tf.function(broadcast, autograph=False)


def _has_several_workers(replicas: tf.distribute.Strategy) -> bool:
    return isinstance(replicas, tf.distribute.MultiWorkerMirroredStrategy)
