"""What trains: a CPU, a GPU, all of a machine, or those of several; and what these agree on."""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from errors import EdgelineError, UsageError
from trainer_module.settings import TrainerSettings

# From here on, 7.0 (Volta), GPUs have units for float16:
# docs.nvidia.com/deeplearning/performance/mixed-precision-training
_TENSOR_CORES = (7, 0)

_progress = logging.getLogger("edgeline.progress")


def make_strategy(settings: TrainerSettings) -> tf.distribute.Strategy:
    """The devices that the settings name; several workers have to call this before anything is computed.

    Raises:
        EdgelineError: When a GPU is required and none is visible, or a TPU does not answer.
        UsageError: When a setting does not help on these devices.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if settings.require_gpu and not gpus:
        raise EdgelineError(
            "trainer.require_gpu is true, and TensorFlow sees no GPU on this machine.",
            "Training would silently run on the CPU, many times slower.",
            "Check the driver with nvidia-smi and CUDA_VISIBLE_DEVICES, or set trainer.require_gpu=false.",
        )
    if settings.precision != "float32":
        _refuse_half_precision(gpus)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    replicas = _strategy(settings.strategy, gpus)
    if settings.jit_compile:
        _refuse_compilation(replicas)
    count, names = replicas.num_replicas_in_sync, ", ".join(replicas.extended.worker_devices)
    _progress.info("TensorFlow sees %d GPUs; %d replicas train, here on %s.", len(gpus), count, names)
    if settings.strategy == "mirrored" and count == 1:
        _progress.info("trainer.strategy is mirrored, and one device has nothing to share batches with.")
    return replicas


def _strategy(name: str, gpus: list[Any]) -> tf.distribute.Strategy:
    if name == "auto":
        name = "mirrored" if gpus else "one_device"
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "tpu":
        return _tpu()
    return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")


def tpu_resolver() -> tf.distribute.cluster_resolver.TPUClusterResolver:
    """Where the TPU is that TPU_NAME names; nothing has been asked of it."""
    try:
        return tf.distribute.cluster_resolver.TPUClusterResolver()
    except (ValueError, RuntimeError) as error:
        raise EdgelineError(
            f"trainer.strategy is tpu, and TensorFlow finds none: {str(error).splitlines()[0]}",
            "The environment's TPU_NAME says which.",
            "Set TPU_NAME, for example to grpc://HOST:8470, or trainer.strategy=auto.",
        ) from None


def _tpu() -> tf.distribute.Strategy:
    resolver = tpu_resolver()
    tf.config.experimental_connect_to_cluster(resolver)
    tf.tpu.experimental.initialize_tpu_system(resolver)
    return tf.distribute.TPUStrategy(resolver)


@contextmanager
def numbers(settings: TrainerSettings) -> Iterator[None]:
    """Has Keras build models of the precision that is set, and TensorFlow check numbers where that is."""
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
            f"trainer.jit_compile is true, and there are {replicas.num_replicas_in_sync} replicas.",
            "XLA cannot compile a step in which replicas exchange gradients.",
            "Set trainer.jit_compile=false, or trainer.strategy=one_device.",
        )
    if "CPU" in replicas.extended.worker_devices[0]:
        raise UsageError(
            "trainer.jit_compile is true, and there is no GPU.",
            "On a CPU XLA's steps are slower: of photos, a fifth of the speed was measured.",
            "Set trainer.jit_compile=false.",
        )


def _refuse_half_precision(gpus: list[Any]) -> None:
    asked = "trainer.precision is mixed_float16, and "
    if not gpus:
        raise UsageError(
            f"{asked}there is no GPU.",
            "A CPU has no units for float16: a step takes several times as long.",
            "Set trainer.precision=float32.",
        )
    for gpu in gpus:
        details = tf.config.experimental.get_device_details(gpu)
        capability = details.get("compute_capability", _TENSOR_CORES)
        if capability < _TENSOR_CORES:
            raise UsageError(
                f"{asked}{details.get('device_name', gpu.name)} has compute capability"
                f" {'.'.join(map(str, capability))}.",
                "Units for float16 came with 7.0: without them it saves no time.",
                "Set trainer.precision=float32.",
            )


def is_chief(replicas: tf.distribute.Strategy) -> bool:
    """Whether this process decides, measures and writes; the only one does."""
    return not _of_several_workers(replicas) or is_first(replicas.cluster_resolver)


def is_first(resolver: tf.distribute.cluster_resolver.ClusterResolver) -> bool:
    """Whether the task that runs here is its cluster's chief, or where it has none the first worker."""
    jobs = resolver.cluster_spec().as_dict()
    return not jobs or resolver.task_type == "chief" or ("chief" not in jobs and resolver.task_id == 0)


def from_chief(replicas: tf.distribute.Strategy, values: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """The chief's values, everywhere: of what each worker would find out for itself, and not quite the same.

    They are numbers or arrays whose shapes all of them know.
    """
    if not _of_several_workers(replicas):
        return values
    # Workers exchange no unsigned numbers, of which seeds are.
    numbers = [value if value.dtype.kind == "f" else value.astype("int64") for value in values]
    received = _sent_by_chief(replicas)([tf.constant(value) for value in numbers])
    return [value.numpy().astype(own.dtype) for value, own in zip(received, values, strict=True)]


@functools.cache
def _sent_by_chief(replicas: tf.distribute.Strategy) -> Callable[[Sequence[tf.Tensor]], Sequence[tf.Tensor]]:
    """Traced once for values of the same shapes."""

    def sent(mine: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
        def one() -> Sequence[tf.Tensor]:
            context = tf.distribute.get_replica_context()
            first = context.replica_id_in_sync_group == 0
            given = [tf.where(first, value, tf.zeros_like(value)) for value in mine]
            return [context.all_reduce(tf.distribute.ReduceOp.SUM, value) for value in given]

        return [replicas.experimental_local_results(value)[0] for value in replicas.run(one)]

    return tf.function(sent)


def _of_several_workers(replicas: tf.distribute.Strategy) -> bool:
    return isinstance(replicas, tf.distribute.MultiWorkerMirroredStrategy)
