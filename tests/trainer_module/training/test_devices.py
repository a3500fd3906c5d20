import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgeline.errors import EdgelineError, UsageError
from trainer_module.settings import TrainerSettings
from trainer_module.training.devices import is_first, make_strategy, set_precision
from trainer_module.training.fit import compile_model
from trainer_module.training.loop import Loop

NO_GPU = not tf.config.list_physical_devices("GPU")


@pytest.mark.skipif(not NO_GPU, reason="this machine has a GPU")
@pytest.mark.parametrize(
    ("setting", "message", "cure"),
    [
        ({"strategy": "mirrored", "require_gpu": True}, "sees no GPU", "require_gpu=false"),
        ({"precision": "mixed_float16"}, "mixed_float16, but there is no GPU", "precision=float32"),
        ({"jit_compile": True}, "jit_compile is true, but there is no GPU", "jit_compile=false"),
    ],
)
def test_settings_that_need_a_gpu_are_refused_without_one(setting, message, cure):
    with pytest.raises(EdgelineError, match=message) as error:
        make_strategy(TrainerSettings(**setting))
    assert cure in error.value.do


def test_half_precision_is_refused_on_a_gpu_without_units_for_it(monkeypatch):
    details = {"device_name": "NVIDIA GeForce GTX 1080", "compute_capability": (6, 1)}
    gpu = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda *_: [gpu])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda _: details)
    with pytest.raises(UsageError, match=r"GTX 1080 has compute capability 6\.1"):
        make_strategy(TrainerSettings(precision="mixed_float16"))


@pytest.mark.skipif(NO_GPU, reason="this machine has no GPU")
def test_auto_is_mirrored_on_every_gpu():
    replicas = make_strategy(TrainerSettings())
    assert type(replicas).__name__ == "MirroredStrategy"
    assert replicas.num_replicas_in_sync == len(tf.config.list_physical_devices("GPU"))


@pytest.mark.skipif(NO_GPU, reason="this machine has no GPU")
@pytest.mark.parametrize("strategy", ["auto", "mirrored", "one_device"])
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_gpu_learns_in_each_precision_with_and_without_xla(strategy, precision, jit_compile):
    if jit_compile and strategy != "one_device" and len(tf.config.list_physical_devices("GPU")) > 1:
        pytest.skip("XLA is refused with several replicas")
    settings = TrainerSettings(
        strategy=strategy, precision=precision, jit_compile=jit_compile, require_gpu=True
    )
    labels = np.arange(64) % 3
    batch = (tf.one_hot(labels, 3), tf.constant(labels), tf.ones(64))
    replicas = make_strategy(settings)
    with set_precision(settings):
        with replicas.scope():
            keras.utils.set_random_seed(1)
            last = keras.layers.Dense(3, "softmax", dtype="float32")
            model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(16, "relu"), last])
            compile_model(model, 0.05, 200)
        loop = Loop(model, replicas, settings)
        first = loop.run(itertools.repeat(batch), 5)
        later = loop.run(itertools.repeat(batch), 100)
    assert later.loss / later.steps < first.loss / first.steps / 2
    assert "GPU" in replicas.extended.worker_devices[0]


@pytest.mark.skipif(not NO_GPU, reason="this machine has a GPU")
def test_devices_are_logged_and_one_device_trains_and_has_nothing_to_mirror(caplog):
    assert type(make_strategy(TrainerSettings())).__name__ == "OneDeviceStrategy"
    with caplog.at_level("INFO", logger="edgeline.progress"):
        make_strategy(TrainerSettings(strategy="mirrored"))
    assert "GPUs found by TensorFlow: 0; replicas: 1, here on" in caplog.text
    assert "trainer.strategy is mirrored, but there is only one device" in caplog.text


@pytest.mark.parametrize(
    ("jobs", "task", "chief"),
    [
        (("worker",), ("worker", 0), True),
        (("worker",), ("worker", 1), False),
        (("chief", "worker"), ("chief", 0), True),
        (("chief", "worker"), ("worker", 0), False),
        ((), (None, None), True),
    ],
)
def test_one_of_several_workers_is_the_chief(jobs, task, chief):
    spec = tf.train.ClusterSpec({job: ["127.0.0.1:1", "127.0.0.1:2"] for job in jobs})
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(spec, task_type=task[0], task_id=task[1])
    assert is_first(resolver) == chief


def test_the_tpu_is_the_one_named_by_the_environment(monkeypatch):
    monkeypatch.setenv("TPU_NAME", "grpc://192.0.2.1:8470")
    resolvers = []
    monkeypatch.setattr(tf.config, "experimental_connect_to_cluster", resolvers.append)
    monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", lambda _: None)
    monkeypatch.setattr(tf.distribute, "TPUStrategy", lambda _: tf.distribute.MirroredStrategy(["CPU:0"]))
    make_strategy(TrainerSettings(strategy="tpu"))
    assert resolvers[0].cluster_spec().as_dict() == {"worker": ["192.0.2.1:8470"]}


def test_a_tpu_without_a_name_is_refused(monkeypatch):
    monkeypatch.delenv("TPU_NAME", raising=False)
    with pytest.raises(EdgelineError, match="TensorFlow finds no TPU") as error:
        make_strategy(TrainerSettings(strategy="tpu"))
    assert "TPU_NAME" in error.value.do
