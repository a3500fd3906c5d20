"""Candidates of real files, as a run would offer them."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import asdict, replace

from edgeline.records.edge import ReleasedFile, TensorContract
from edgeline.release import upkeep
from edgeline.release.history import find_current, read_history
from edgeline.release.layout import PushFolder, render
from edgeline.release.manifest import Code, Data
from edgeline.release.pointer import Pointer, seal
from edgeline.release.signing import format_public_key
from edgeline.release.store import Candidate
from edgeline.release.verify import find_release_problems
from edgeline.store.locations import Location, locate
from tests.edgeline.records.samples import MEASURED

TENSOR = TensorContract("image", (1, 16, 16, 1), "float32", None, None)


def released_file(name: str, file: str) -> ReleasedFile:
    fields = {**asdict(MEASURED), "file": file}
    fields |= {"ops": {"CONV_2D": 1}, "op_versions": {"CONV_2D": 3}, "least_runtime": "2.3"}
    return ReleasedFile(name=name, inputs=(TENSOR,), outputs=(TENSOR,), **fields)


def make_candidate(folder: Path, content: str = "first", size: int = 2000, **changes: object) -> Candidate:
    """Makes a candidate with files of `content` and `size` bytes; `changes` replace its fields."""
    saved_model, bundle = folder / "saved_model", folder / "bundle"
    (saved_model / "variables").mkdir(parents=True, exist_ok=True)
    bundle.mkdir(parents=True, exist_ok=True)
    for path in (
        saved_model / "saved_model.pb",
        saved_model / "variables" / "variables.index",
        bundle / "model_fp16.tflite",
        bundle / "model_int8.tflite",
    ):
        path.write_bytes(f"{content} {path.name} ".encode().ljust(size, b"."))
    fields: dict[str, object] = {
        "saved_model": saved_model,
        "edge_files": {path.name: path for path in sorted(bundle.iterdir())},
        "labels": ("ok", "misplaced", "damaged"),
        "preprocessing": {"version": 1, "image_size": 16, "channels": 1},
        "default_variant": "fp16",
        "variants": tuple(released_file(name, f"model_{name}.tflite") for name in ("fp16", "int8")),
        "metrics": {"overall": {"all": {"accuracy": 0.94}}},
        "data": Data(35, 42, "f" * 8, {}),
        "code": Code("c" * 8, "d" * 8),
        "versions": {"tensorflow": "2.16.2"},
        "run": "2026-10-05-1",
        "expires_days": 60,
    }
    return Candidate(**{**fields, **changes})  # type: ignore[arg-type]


def make_key(number: int = 1) -> Ed25519PrivateKey:
    """Makes another key for each number, the same at each call."""
    return Ed25519PrivateKey.from_private_bytes(bytes([number] * 32))


def name_key(number: int = 1) -> str:
    """Returns the public half of such a key."""
    return format_public_key(make_key(number).public_key())


def read_signed(root: Path, model: str = "shelf") -> tuple[Pointer, str | None]:
    """Returns the signed pointer of a store, and the key that signed it."""
    current = find_current(PushFolder(root), model)
    assert current and current.signed
    return current.signed.read()


@contextmanager
def edit_pointer(root: Path, model: str = "shelf") -> Iterator[dict[str, Any]]:
    """Yields the content of current.json, and writes what it is after the block."""
    path = root / f"edge/{model}/current.json"
    document = json.loads(path.read_bytes())
    yield document
    path.write_bytes(render(document, "The pointer"))


def vouch(root: str | Path, key: Ed25519PrivateKey, model: str = "shelf") -> Pointer:
    """Signs what nobody has signed, as a person does who has looked."""
    claim = upkeep.find_claim(root, model, key)
    assert claim
    return upkeep.trust(root, model, key, claim, "I have looked")


def forget_log(root: Path, key: Ed25519PrivateKey, model: str = "shelf") -> None:
    """Signs the pointer as earlier versions of Edgeline did, which vouched for no log."""
    pointer, _ = read_signed(root, model)
    with edit_pointer(root, model) as document:
        document["signed"] = seal(replace(pointer, log=None), key)


def spoil_signature(root: Path) -> None:
    """Replaces the signature of the pointer to `shelf` by a wrong one."""
    with edit_pointer(root) as document:
        document["signed"]["signatures"][0]["sig"] = base64.b64encode(b"0" * 64).decode()


def snapshot(root: Path) -> dict[str, bytes]:
    """Returns the content of every file of a push folder but the lock."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def find_problems(root: str | Location, model: str, version: int) -> list[str]:
    """Returns the problems of the files of one release."""
    folder = PushFolder(locate(root))
    return find_release_problems(folder, model, version, read_history(folder, model))
