"""A few of the mutations of a store, drawn by a seed; `python -m tests.attack.mutations 10000` tries many."""

import os
import random

import pytest

from tests.attack.mutations import STORES, find_missed

SEED = int(os.environ.get("SEED", random.randrange(10**6)))


@pytest.mark.parametrize("kind", STORES)
def test_verify_names_each_mutation_that_a_phone_refuses_or_that_changes_a_file(kind, tmp_path):
    counts, missed = find_missed(kind, 80, SEED, tmp_path)
    print(f"SEED={SEED}", dict(counts))
    assert missed == [], f"SEED={SEED}"
    assert counts["refused by phones"] > 5 and counts["named by verify"] > 60
