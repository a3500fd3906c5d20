import pytest
import tensorflow as tf

from errors import EdgelineError
from trainer_module.devices import make_strategy
from trainer_module.settings import TrainerSettings

NO_GPU = not tf.config.list_physical_devices("GPU")


@pytest.mark.skipif(not NO_GPU, reason="this machine has a GPU")
@pytest.mark.parametrize("name", ["mirrored", "one_device"])
def test_a_required_gpu_that_is_not_there_is_refused(name):
    with pytest.raises(EdgelineError, match="sees no GPU") as refused:
        make_strategy(TrainerSettings(strategy=name, require_gpu=True))
    assert "require_gpu=false" in refused.value.do


def test_one_device_is_one_replica():
    assert make_strategy(TrainerSettings(strategy="one_device")).num_replicas_in_sync == 1
