"""The page on releases says who can do what: each cell of its table is held by a test."""

import json
import re
from pathlib import Path

import pytest

from tests.clients.make_pointers import POINTERS

ROOT = Path(__file__).parents[2]
RUN, OLD, KEEP, LOCK = (
    "run a forged release",
    "run an old release",
    "keep phones from newer ones",
    "lock phones out",
)
TABLE = "tests/edgeline/release/test_reader.py::test_python_does_what_the_table_of_pointers_says"
FAULTS = "tests/edgeline/test_runtime.py::test_each_fault_of_a_store_is_refused_by_name"
LOCKED = "tests/attack/test_phone.py::test_a_counter_that_nobody_signed_locks_no_phone_out"
SILENT = "tests/attack/test_phone.py::test_a_server_holds_a_phone_for_no_longer_than_its_time"
COMMANDS = "tests/attack/test_store.py::test_no_command_of_the_owner_signs_what_somebody"
REPLAY = "tests/attack/test_store.py::test_an_old_state_that_was_put_back_is_not_signed_again"
NAMED = "tests/attack/test_pointers.py::test_verify_status_and_alerts_name_each_pointer_that_a_phone_refuses"
SECRET = "tests/components/test_releases.py::test_a_release_has_the_values_of_the_settings_and_is_signed"
EXPIRY = "tests/attack/test_phone.py::test_a_release_that_is_over_goes_on_with_a_warning_or_not_at_all"
ROLES = {
    "reads the network": {RUN: SECRET, OLD: SECRET, KEEP: SECRET, LOCK: SECRET},
    "serves the store, or sits in between": {RUN: FAULTS, OLD: TABLE, KEEP: EXPIRY, LOCK: SILENT},
    "writes to the store": {RUN: COMMANDS, OLD: REPLAY, KEEP: NAMED, LOCK: LOCKED},
    "has an old key": {RUN: TABLE, OLD: TABLE, KEEP: TABLE, LOCK: TABLE},
    "has the key": {RUN: TABLE, OLD: TABLE, KEEP: TABLE, LOCK: TABLE},
}


def read_table() -> dict[str, list[str]]:
    """Returns the cells of each row of the page's table."""
    page = (ROOT / "docs/release.md").read_text(encoding="utf-8").partition("### Who can do what")[2]
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    return {row[0]: row[1:] for row in rows}


def test_the_table_has_each_role_and_each_harm():
    table = read_table()
    header = table.pop("who")
    assert [*table] == [*ROLES] and all(len(row) == len(header) == 4 for row in table.values())
    assert all(harm.startswith(name) for harm, name in zip(header, (RUN, OLD, KEEP, LOCK), strict=True))


@pytest.mark.parametrize("role", ROLES)
def test_each_cell_is_held_by_a_test_that_is_there(role):
    for test in ROLES[role].values():
        path, name = test.split("::")
        assert re.search(rf"^def {name}\w*\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), test


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        (
            "both are pinned, the old one signs as before",
            "stays",
        ),  # an old key: phones that have not seen the new
        ("the old key after the new one", "refused"),
        ("the new key after a huge counter", "switches"),
        ("a key after a huge counter of nobody", "switches"),
        ("signed with the pinned key", "switches"),
        ("an old counter", "refused"),
    ],
)
def test_the_examples_for_all_readers_have_the_roles_of_keys(name, outcome):
    (case,) = [case for case in json.loads(POINTERS.read_text()) if case["name"] == name]
    assert outcome in case["expected"]
