import pytest
import tensorflow as tf

from errors import EdgelineError, UsageError
from trainer_module import strategy

NO_GPU = not tf.config.list_physical_devices("GPU")


@pytest.mark.skipif(not NO_GPU, reason="this machine has a GPU")
@pytest.mark.parametrize("name", ["mirrored", "one_device"])
def test_a_required_gpu_that_is_not_there_is_refused(name):
    with pytest.raises(EdgelineError, match="sees no GPU") as refused:
        strategy.make_strategy(name, require_gpu=True)
    assert "require_gpu=false" in refused.value.do


@pytest.mark.parametrize("name", ["mirrored", "one_device"])
def test_the_global_batch_is_that_of_all_replicas(name):
    made = strategy.make_strategy(name, require_gpu=False)
    assert strategy.global_batch_size(made, 64) == 64 * made.num_replicas_in_sync
    assert len(strategy.device_names(made)) == made.num_replicas_in_sync


def test_one_device_is_one_replica():
    assert strategy.make_strategy("one_device", require_gpu=False).num_replicas_in_sync == 1


def test_an_unknown_strategy_is_refused():
    with pytest.raises(UsageError, match="tpu"):
        strategy.make_strategy("tpu", require_gpu=False)
