"""A few of the mutations of a store, drawn by a seed.

`.venv/bin/python -m tests.attack.mutations 10000` tries many.
"""

import re
import subprocess
import sys

from tests.attack.mutations import STORES
from tests.runners.cli.process import ROOT


def test_verify_names_each_mutation_that_a_phone_refuses_or_that_changes_a_file(case_seed):
    count = "240" if case_seed is None else "90"
    command = [sys.executable, "-m", "tests.attack.mutations", count, str(case_seed or 1)]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    print(process.stdout)  # with the seed
    assert process.returncode == 0, process.stdout + process.stderr
    assert re.findall(r"tried (\d+)", process.stdout) == [str(int(count) // 3)] * len(STORES)
    # about 17 of 90 are refused; fewer than three are drawn once in a hundred thousand seeds
    assert sum(map(int, re.findall(r"refused by phones (\d+)", process.stdout))) >= 3
