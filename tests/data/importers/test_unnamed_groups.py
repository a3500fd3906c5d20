"""A table of several rows a patient, whose column of patients nobody named as the group."""

import random

import pytest

from data.importers.table_file import Role, Roles, read_table_file
from data.importers.table_roles import Named
from data.importers.tables import inspect_table
from tests.data.importers.named import import_table


def write_table(folder, names, rows):
    lines = [names, *(",".join(map(str, row)) for row in rows)]
    (folder / "table.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder / "table.csv"


def write_visits(folder, by_visit=False, own_sex=True, own_state=True, called="plot"):
    """Writes 80 patients of five visits, each with a sex and mostly one state, or with those of chance."""
    rng = random.Random(3)
    rows = []
    for patient in rng.sample(range(1, 81), 80):
        sex, ill = rng.choice("fm"), rng.random() < 0.5
        for visit in range(5):
            is_ill = ill != (rng.random() < 0.1) if own_state else rng.random() < 0.5
            pulse = rng.randrange(500, 1000) / 10
            state = ("well", "ill")[is_ill]
            rows.append((visit, patient, sex if own_sex else rng.choice("fm"), pulse, state))
    rows.sort(key=lambda row: row[:2] if by_visit else 0)
    return write_table(folder, f"visit,{called},sex,pulse,state", rows)


def find_warnings(path, **options):
    report = import_table(path, path.parent / "data", "state", **options)
    return [warning for warning in report.warnings if "--group" in warning]


@pytest.mark.parametrize("by_visit", [False, True])
def test_a_column_of_patients_with_their_own_labels_is_named_with_both_ways_out(tmp_path, by_visit):
    (warning,) = find_warnings(write_visits(tmp_path, by_visit))
    assert warning.startswith("Two rows of one plot have the same state in 0.8")
    assert "(0.51 by chance), and nearly always the same sex." in warning
    assert "--group plot. If not, --number plot or --category plot" in warning


def test_an_inspection_names_it_too(tmp_path):
    lines = inspect_table(str(write_visits(tmp_path)), tmp_path / "data", Named(Roles("state")))
    assert sum("--group plot" in line for line in lines) == 1


@pytest.mark.parametrize("options", [{"group": "plot"}, {"chosen": {"plot": Role.NUMBER}}], ids=str)
def test_both_ways_out_end_the_warning(tmp_path, options):
    assert not find_warnings(write_visits(tmp_path), **options)


@pytest.mark.parametrize(("answer", "role"), [("yes", Role.GROUP), ("no", Role.NUMBER)])
def test_the_answer_on_a_terminal_holds_without_a_warning(tmp_path, answer, role):
    questions = []

    def ask(question, choices, guess):
        questions.append((question, choices, guess))
        return answer

    assert not find_warnings(write_visits(tmp_path), ask=ask)
    ((question, choices, guess),) = questions
    assert "Is each a machine, person or customer" in question and (choices, guess) == (("yes", "no"), "yes")
    assert read_table_file(tmp_path / "data").columns["plot"].role == role


def test_a_column_that_is_called_like_a_group_needs_no_other_sign_than_the_label(tmp_path):
    (warning,) = find_warnings(write_visits(tmp_path, own_sex=False, called="patientID"))
    assert warning.startswith("Two rows of one patientID have the same state in 0.8")
    assert "(0.53 by chance). A model" in warning
    assert not find_warnings(write_visits(tmp_path, own_state=False, called="patientID"))


@pytest.mark.parametrize("given", [{"own_sex": False}, {"own_state": False}], ids=str)
def test_rows_that_are_alike_in_the_label_or_in_another_column_alone_are_no_group(tmp_path, given):
    assert not find_warnings(write_visits(tmp_path, **given))


def test_an_age_that_tells_the_label_and_has_a_band_is_no_group(tmp_path):
    rng = random.Random(3)
    ages = [rng.randrange(20, 80) for _ in range(400)]
    rows = [(age, age // 20, ("no", "yes")[(age > 45) != (rng.random() < 0.1)]) for age in ages]
    assert not find_warnings(write_table(tmp_path, "age,band,state", rows))
