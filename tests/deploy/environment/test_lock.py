import importlib.metadata
import re
import subprocess
import sys

import pytest

from deploy.environment.__main__ import ROOT
from deploy.environment.stacks import STACKS
from deploy.environment.stamp import lock_file

LOCKS = [lock_file(ROOT, name) for name in (*(stack.name for stack in STACKS), "uv")]
ROOMS = ("runners", "pipeline", "components", "trainer_module", "edge", "release", "data", "errors")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_pins_every_package_with_hashes_and_names_no_index_and_no_path(lock):
    text = re.sub(r"(?m)^\s*#.*\n", "", lock.read_text())
    for requirement in re.sub(r"\\\n", "", text).splitlines():
        assert re.match(r"[a-z0-9-]+==[\w.]+( ; [^#]+?)?(\s+--hash=sha256:[0-9a-f]{64})+$", requirement)
    assert not re.search(r"://|file:|/home|--index", lock.read_text())


def test_the_stacks_are_locked_to_their_release_of_tfx():
    for stack in STACKS:
        assert re.search(
            rf"^{stack.name.replace('-', '==')}\.0 ", lock_file(ROOT, stack.name).read_text(), re.M
        )


@pytest.mark.skipif(not sys.prefix.startswith(str(ROOT)), reason="is about the project's own environment")
def test_every_room_is_imported_from_the_checkout_wherever_one_stands(tmp_path):
    question = f"import importlib.util as u\nfor room in {ROOMS!r}: print(u.find_spec(room).origin)"
    answer = subprocess.run(
        [sys.executable, "-c", question], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert all(line.startswith(f"{ROOT}/") for line in answer.stdout.splitlines()), answer.stdout
    # A finder hook would cost each start some 20 ms; a path costs none.
    assert "__editable___edgeline" not in " ".join(sys.modules)
    assert importlib.metadata.version("edgeline")
