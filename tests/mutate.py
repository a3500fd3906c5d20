"""Changes the code of a room, an operator or a word at a time, and counts which changes its tests notice.

    .venv/bin/python -m tests.mutate edgeline/gates '*7'

The tests are those of the room, and those that raise its messages in `tests/messages.txt`. It works on a
copy of the checkout. Of the changes in a function, PATTERN chooses some by their names, which end with their
number: `*7` about every tenth, and `*` all of them. Printed are the differences that no test noticed, and the
share of those that some test did. The exit code is 1 if that is below 0.9.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from deploy.environment.__main__ import ROOT
from deploy.environment.uv import find_uv
from tests.messages import read_golden

LEAST_SHARE = 0.9
# How mutmut calls those that a test noticed; one that runs for ever is noticed, too.
NOTICED = {"killed", "timeout", "caught by type check", "segfault"}


def prepare(room: str, folder: Path) -> dict[str, str]:
    """Copies the checkout into `folder`, with the settings of mutmut; returns its environment."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.split("\0")[:-1]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)

    owners = {message.test for place, message in read_golden().items() if place.startswith(f"{room}/")}
    settings = {
        "source_paths": [room],
        "also_copy": [path.name for path in folder.iterdir() if path.name not in ("mutants", "tests")],
        "pytest_add_cli_args_test_selection": [
            f"tests/{room}",
            *sorted(test for test in owners if not test.startswith(f"tests/{room}/")),
        ],
        "pytest_add_cli_args": ["-m", "not exhaustive and not e2e", "--seed", "1"],
    }
    lines = ["[mutmut]"]
    for name, values in settings.items():
        lines += [f"{name} =", *(f"    {value}" for value in values)]
    (folder / "setup.cfg").write_text("\n".join(lines) + "\n", encoding="utf-8")

    tools = folder / "tools"
    pins = str(ROOT / "requirements" / "mutate.txt")
    install = ["pip", "install", "--quiet", "--require-hashes", "--python", sys.executable]
    uv = find_uv(ROOT, os.environ["PATH"])
    subprocess.run([uv, *install, "--target", str(tools), "--requirements", pins], cwd=ROOT, check=True)
    return os.environ | {"PYTHONPATH": str(tools)}


def main(room: str, pattern: str) -> int:
    """Runs the tests of `room` against each change; returns the exit code."""
    if not (ROOT / "tests" / room).is_dir():
        sys.exit(f"tests/{room} does not exist: a room has its tests in the folder of its name.")
    with tempfile.TemporaryDirectory(prefix="mutate-") as name:
        folder = Path(name)
        environment = prepare(room, folder)

        def mutmut(*arguments: str) -> str:
            command = [sys.executable, "-m", "mutmut", *arguments]
            run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
            if run.returncode:
                sys.exit(run.stdout + run.stderr)
            return run.stdout

        mutmut("run", pattern)
        ends = dict(re.findall(r"^ *(\S+): (.+)$", mutmut("results", "--all", "true"), re.MULTILINE))
        ends = {name: end for name, end in ends.items() if end != "not checked"}
        for name, end in ends.items():
            if end not in NOTICED:
                print(f"\n{end}: {name}\n{mutmut('show', name)}")

    counts = Counter(ends.values())
    share = sum(counts[end] for end in NOTICED) / len(ends)
    print(f"{room}: {share:.3f} of {len(ends)} changes are noticed ({dict(counts)}).")
    return int(share < LEAST_SHARE)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
