import io
import pickle
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from trainer_module.networks import torch_file

MAGIC = 0x1950A86A20F9469CFC6C


class Named:
    """Pickled as the name of a function with arguments, as PyTorch does it."""

    def __init__(self, name: str, *arguments: object) -> None:
        self.name, self.arguments = name, arguments


class Pickler(pickle._Pickler):
    """Writes names of functions that are not installed here."""

    def save(self, obj, save_persistent_id=True):
        if not isinstance(obj, Named):
            super().save(obj, save_persistent_id)
            return
        self.write(b"c" + obj.name.replace(":", "\n").encode() + b"\n")
        if obj.arguments:
            super().save(obj.arguments)
            self.write(pickle.REDUCE)

    def persistent_id(self, obj):
        return obj if isinstance(obj, tuple) and obj[:1] == ("storage",) else None


def write(
    path: Path, storages: dict[str, np.ndarray], tensors: dict[str, object], magic: int = MAGIC
) -> Path:
    content = io.BytesIO()
    for part in (magic, 1001, {"little_endian": True}, OrderedDict(tensors), list(storages)):
        Pickler(content, 2).dump(part)
    for storage in storages.values():
        content.write(struct.pack("<q", storage.size) + storage.tobytes())
    path.write_bytes(content.getvalue())
    return path


def tensor(key: str, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], kind="FloatStorage"):
    pid = ("storage", Named(f"torch:{kind}"), key, "cpu", 0, None)
    return Named("torch._utils:_rebuild_tensor_v2", pid, offset, shape, strides, False, OrderedDict())


def test_tensors_come_with_their_shapes_offsets_and_strides(tmp_path):
    numbers = np.arange(12, dtype="<f4")
    tensors = {
        "whole": tensor("a", 0, (3, 4), (4, 1)),
        "turned": tensor("a", 0, (4, 3), (1, 4)),
        "part": tensor("a", 4, (2,), (1,)),
        "count": tensor("b", 0, (), (), "LongStorage"),
    }
    path = write(tmp_path / "weights.pth", {"a": numbers, "b": np.array([7], "<i8")}, tensors)
    found = torch_file.read(path)
    np.testing.assert_array_equal(found["whole"], numbers.reshape(3, 4))
    np.testing.assert_array_equal(found["turned"], numbers.reshape(3, 4).T)
    np.testing.assert_array_equal(found["part"], [4, 5])
    assert found["count"] == 7


def test_a_file_that_names_code_to_run_is_refused_and_runs_nothing(tmp_path):
    touched = tmp_path / "touched"
    path = write(tmp_path / "weights.pth", {}, {"bad": Named("os:system", f"touch {touched}")})
    with pytest.raises(pickle.UnpicklingError, match=r"os\.system"):
        torch_file.read(path)
    assert not touched.exists()


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = write(tmp_path / "weights.pth", {}, {}, magic=1)
    with pytest.raises(pickle.UnpicklingError, match="begins with 1"):
        torch_file.read(path)
