"""Columns that go together otherwise than before, in real tables of scikit-learn with faults."""

import numpy as np
import pytest
from scipy.stats import percentileofscore
from sklearn import datasets
from sklearn.decomposition import PCA

from edgeline.gates.joint import find_shifts

WEEKS = 5


def make_weeks(name, seed=1, change=lambda newest, rng: None):
    """Divides the rows of a table into weeks by chance, and changes the newest; returns columns by name."""
    table, rng = getattr(datasets, f"load_{name}")(), np.random.default_rng(seed)
    rows = table.data[rng.permutation(len(table.data))].astype(float)
    weeks = np.array_split(rows, WEEKS)
    change(weeks[-1], rng)
    spans = np.repeat(range(1, WEEKS + 1), [len(week) for week in weeks])
    names = [str(feature) for feature in table.feature_names]
    columns = dict(zip(names, np.concatenate(weeks).T.tolist(), strict=True))
    return {"span": spans.tolist(), "machine": ["m"] * len(rows), **columns}


def find(columns):
    others = [f"span-{number:05d}" for number in range(1, WEEKS)]
    return [*find_shifts(columns, {f"span-{WEEKS:05d}": others})]


@pytest.mark.parametrize("name", ["breast_cancer", "diabetes", "digits"])
def test_weeks_of_one_table_are_no_shift(name):
    assert [shift for seed in range(6) for shift in find(make_weeks(name, seed))] == []


def shuffle_area(newest, rng):
    newest[:, 3] = rng.permutation(newest[:, 3])


def test_a_column_whose_rows_were_shuffled_is_named_though_it_alone_is_as_before():
    for seed in range(6):
        (shift,) = find(make_weeks("breast_cancer", seed, shuffle_area))
        assert (shift.span, shift.kind, shift.columns[0]) == ("span-00005", "joint", "mean area")
        assert shift.factor > 1.5


def test_the_factor_is_that_of_the_errors_of_principal_components_of_ranks():
    columns = make_weeks("breast_cancer", 1, shuffle_area)
    (shift,) = find(columns)
    rows = np.stack([columns[name] for name in columns if name not in ("span", "machine")], 1)
    weeks = [rows[np.array(columns["span"]) == week] for week in range(1, WEEKS + 1)]

    def measure_errors(old, new):
        def rank(values):
            shares = [percentileofscore(*pair, "mean") / 100 for pair in zip(old.T, values.T, strict=True)]
            return (np.stack(shares, 1) - 0.5) * np.sqrt(12)

        components = PCA().fit(rank(old))
        kept = components.components_[: (components.explained_variance_ratio_.cumsum() < 0.9).sum()]
        left = [ranks - ranks @ kept.T @ kept for ranks in (rank(old), rank(new))]
        return (np.clip(left[1] / left[0].std(0), -3, 3) ** 2).mean(0)

    *old, new = weeks
    rest = [np.concatenate([*old[:week], *old[week + 1 :]]) for week in range(len(old))]
    usual = np.max([*map(measure_errors, rest, old)], axis=0)
    factors = measure_errors(np.concatenate(old), new) / usual
    order = np.argsort(-factors)[:5]
    assert shift.columns == tuple(np.array([*columns])[2:][order])
    assert shift.factor == pytest.approx(factors.max())


def swap(newest, rng):
    newest[:, [0, 4]] = newest[:, [4, 0]]


def test_two_columns_that_swapped_places_are_named_and_nothing_else():
    (shift,) = find(make_weeks("breast_cancer", change=swap))
    assert (shift.kind, set(shift.columns)) == ("swapped", {"mean radius", "mean smoothness"})


def test_too_few_rows_no_earlier_span_and_columns_without_numbers_are_no_shift():
    columns = make_weeks("breast_cancer", change=swap)
    assert [*find_shifts(columns, {"span-00005": ["span-00009"]})] == []
    assert [*find_shifts({name: values[:40] for name, values in columns.items()}, {"span-00001": []})] == []
    assert find({"span": columns["span"], "machine": columns["machine"]}) == []
    empty = {name: values if name == "span" else [None] * len(values) for name, values in columns.items()}
    assert find(empty) == []


def test_a_column_that_an_earlier_week_lacks_is_not_compared():
    columns = make_weeks("breast_cancer")
    first = columns["span"].count(1)
    columns["mean area"][:first] = [None] * first
    assert find(columns) == []
