"""Reads weights, without PyTorch, from a file that PyTorch wrote before version 1.6.

Such a file is a stream of pickles (a magic number, the version of the format, facts about the machine, the
tensors with their storages by key, the keys). After them follow, in the order of the keys, the numbers of
each storage: first their count as int64, then the numbers, little-endian.
"""

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

_MAGIC, _FORMAT = 0x1950A86A20F9469CFC6C, 1001
_STORAGES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: str


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int  # in numbers, as the strides are
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    """An unpickler that creates only tensors, as a pickle may otherwise run any code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: _Tensor(storage, offset, shape, strides)
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"it contains {module}.{name}, which is not a tensor")

    def persistent_load(self, pid: Any) -> _Storage:
        _, dtype, key, *_ = pid
        return _Storage(key, dtype)


def read(path: Path) -> dict[str, np.ndarray]:
    """Reads the tensors of a file, float32 or int64, by name.

    Raises:
        UnpicklingError: The file is of another kind, or contains anything but tensors.
    """
    with path.open("rb") as file:
        return _read_tensors(file)


def _read_tensors(file: BufferedReader) -> dict[str, np.ndarray]:
    magic, version, _, content, keys = (_Unpickler(file).load() for _ in range(5))
    if (magic, version) != (_MAGIC, _FORMAT):
        raise pickle.UnpicklingError(f"it begins with {magic!r}, {version!r}")
    tensors: Mapping[str, _Tensor] = content
    dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
    storages = {}
    for key in keys:
        dtype = np.dtype(dtypes[key])
        size = int.from_bytes(file.read(8), "little") * dtype.itemsize
        storages[key] = np.frombuffer(file.read(size), dtype)
    return {name: _make_array(tensor, storages[tensor.storage.key]) for name, tensor in tensors.items()}


def _make_array(tensor: _Tensor, storage: np.ndarray) -> np.ndarray:
    size = storage.dtype.itemsize
    strides = [stride * size for stride in tensor.strides]
    return np.ndarray(tensor.shape, storage.dtype, storage, tensor.offset * size, strides)
