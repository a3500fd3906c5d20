import importlib.metadata
import os
import re
import shutil
import subprocess
import sys

import pytest

from deploy.environment.__main__ import ROOT
from deploy.environment.stacks import STACKS

LOCKS = [
    ROOT / "requirements" / f"{name}.txt"
    for name in (*(s.name + part for s in STACKS for part in ("", "-cuda")), "scale", "words", "mutate", "uv")
]
ROOMS = ("drill", "runners", "pipeline", "components", "trainer_module", "data", "edgeline")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_pins_every_package_with_hashes_and_has_no_index_and_no_path(lock):
    text = re.sub(r"(?m)^\s*#.*\n", "", lock.read_text())
    for requirement in re.sub(r"\\\n", "", text).splitlines():
        assert re.match(r"[a-z0-9-]+==[\w.]+( ; [^#]+?)?(\s+--hash=sha256:[0-9a-f]{64})+$", requirement)
    assert not re.search(r"://|file:|/home|--index", lock.read_text())


def test_the_stacks_are_locked_to_their_release_of_tfx():
    for stack in STACKS:
        pins = (ROOT / "requirements" / f"{stack.name}.txt").read_text()
        assert re.search(rf"^{stack.name.replace('-', '==')}\.0 ", pins, re.M)


def test_make_lock_resolves_every_set_of_requirements_with_the_pinned_uv(tmp_path):
    for name in ("Makefile", "deploy/environment", "requirements"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (tmp_path / name).parent.mkdir(exist_ok=True)
        copy(ROOT / name, tmp_path / name)
    pinned = re.search(r"(?m)^uv==(\S+)", (tmp_path / "requirements" / "uv.txt").read_text())[1]
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "uv").write_text(f'#!/bin/sh\necho "$*" >>calls\necho uv {pinned}\n')
    (tmp_path / "tools" / "uv").chmod(0o755)
    environ = {**os.environ, "PATH": f"{tmp_path / 'tools'}:{os.environ['PATH']}"}
    subprocess.run(["make", "lock", f"PYTHON={sys.executable}"], cwd=tmp_path, env=environ, check=True)
    sets = {path.stem for path in (ROOT / "requirements").glob("*.in")} - {"tools"}
    outputs = re.findall(
        r"pip compile .* --output-file requirements/(\S+)\.txt", (tmp_path / "calls").read_text()
    )
    assert sorted(outputs) == sorted(sets)


@pytest.mark.skipif(not sys.prefix.startswith(str(ROOT)), reason="tests the project's own environment")
def test_every_room_is_imported_from_the_checkout_in_any_working_folder(tmp_path):
    code = f"import importlib.util as u\nfor room in {ROOMS!r}: print(u.find_spec(room).origin)"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert all(line.startswith(f"{ROOT}/") for line in result.stdout.splitlines()), result.stdout
    # A finder hook would add about 20 ms to each start; a path adds nothing.
    assert "__editable___edgeline" not in " ".join(sys.modules)
    assert importlib.metadata.version("edgeline")
