import keras
import numpy as np
import pytest

from tests.trainer_module.samples import assert_same
from trainer_module.training import checkpoint, fit
from trainer_module.training.loop import Tally

CONFIG = {"seed": 1, "checkpoints": "here", "settings": '{"trainer": {"checkpoint": "best"}}'}


def model(units: int = 3) -> keras.Model:
    image = keras.Input((4, 4, 1))
    features = keras.layers.Dropout(0.5)(keras.layers.Flatten()(image))
    network = keras.Model(image, keras.layers.Dense(units, activation="softmax")(features))
    fit.compile_model(network, 0.01, 100)
    return network


def get_state(model: keras.Model) -> checkpoint.Checkpoint:
    state = checkpoint.read_state(model)
    return checkpoint.Checkpoint([{"val_loss": 0.5}], state, model.get_weights(), Tally(3, 1.5))


def test_a_checkpoint_with_any_wrong_byte_raises_no_error_and_changes_no_weight(tmp_path):
    first = model()
    state = get_state(first)
    checkpoint.save(state, tmp_path)
    (newest,), content = list(tmp_path.iterdir()), next(tmp_path.iterdir()).read_bytes()
    directory = content.rindex(b"PK\x01\x02")
    for place in range(directory, directory + 20):
        newest.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        checkpoint.load_checkpoint(first, tmp_path)
        assert_same(checkpoint.read_state(first), state.variables)


def test_a_damaged_checkpoint_is_reported_and_one_of_another_model_ignored_and_the_model_stays(
    tmp_path, caplog
):
    first, second = model(), model()
    before = checkpoint.read_state(second)
    assert checkpoint.load_checkpoint(second, tmp_path) is None and not caplog.text
    checkpoint.save(get_state(first), tmp_path)
    newest = tmp_path / "checkpoint.npz"
    for content in (newest.read_bytes()[:-40], b""):
        newest.write_bytes(content)
        assert checkpoint.load_checkpoint(second, tmp_path) is None
        assert f"{newest} is damaged" in caplog.text
        caplog.clear()
    checkpoint.save(get_state(model(units=5)), tmp_path)
    assert checkpoint.load_checkpoint(second, tmp_path) is None
    assert f"{newest} belongs to another model" in caplog.text
    assert_same(checkpoint.read_state(second), before)


def test_a_checkpoint_stays_until_the_next_one_is_complete(tmp_path, monkeypatch):
    first = model()
    before = get_state(first)
    checkpoint.save(before, tmp_path)
    first.fit(np.ones((8, 4, 4, 1)), np.zeros(8), verbose=0)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(np, "savez", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        checkpoint.save(get_state(first), tmp_path)  # killed while it is written
    second = model()
    assert checkpoint.load_checkpoint(second, tmp_path).tally == before.tally
    assert_same(checkpoint.read_state(second), before.variables)


def test_the_key_depends_on_settings_data_and_replicas_and_not_on_the_folder():
    key = checkpoint.compute_training_key(CONFIG, ["a"], "t", 1)
    assert key == checkpoint.compute_training_key({**CONFIG, "checkpoints": "there"}, ["a"], "t", 1)
    chosen = {**CONFIG, "settings": '{"trainer": {"checkpoint": 3}}'}
    assert key == checkpoint.compute_training_key(chosen, ["a"], "t", 1)
    others = [({**CONFIG, "seed": 2}, ["a"], "t", 1), (CONFIG, ["b"], "t", 1), (CONFIG, ["a"], "u", 1)]
    # With another number of GPUs an epoch has other steps: the learning rate would end early or never.
    others.append((CONFIG, ["a"], "t", 2))
    assert len({key, *(checkpoint.compute_training_key(*other) for other in others)}) == 5
