"""A few of the mutations of a store, drawn by a seed.

`.venv/bin/python -m tests.attack.mutations 10000` tries many.
"""

import os
import random
import re
import subprocess
import sys

from tests.attack.mutations import STORES
from tests.runners.cli.process import ROOT


def test_verify_names_each_mutation_that_a_phone_refuses_or_that_changes_a_file():
    seed = os.environ.get("SEED", str(random.randrange(10**6)))
    command = [sys.executable, "-m", "tests.attack.mutations", "240", seed]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    print(process.stdout)  # with the seed
    assert process.returncode == 0, process.stdout + process.stderr
    assert re.findall(r"tried (\d+)", process.stdout) == ["80"] * len(STORES)
    assert all(int(count) > 5 for count in re.findall(r"refused by phones (\d+)", process.stdout))
