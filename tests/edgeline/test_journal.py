import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeline.journal import append_line

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become somebody else")
def test_a_user_without_a_name_has_a_number():
    code = "import os, pwd, edgeline.journal as j; os.setuid(54321); print(j.get_user_and_host())"
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, cwd=ROOT, env={}, capture_output=True, text=True, check=True)
    assert process.stdout.startswith("54321@")


@pytest.mark.parametrize(
    ("before", "after"), [(b"", b"new\n"), (b"one\n", b"one\nnew\n"), (b"one\nto", b"one\nnew\n")]
)
def test_a_line_is_added_after_the_last_whole_one(tmp_path, before, after):
    path = tmp_path / "log.jsonl"
    path.write_bytes(before)
    with path.open("a+b") as file:
        append_line(file, b"new\n")
    assert path.read_bytes() == after
