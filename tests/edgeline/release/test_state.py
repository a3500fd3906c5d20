"""A pointer is sealed in one place, by a state that was opened: this finds any other way."""

import ast
from pathlib import Path

import edgeline

PACKAGE = Path(edgeline.__file__).parent
ROOMS = ("edgeline", "components", "runners", "data", "pipeline", "trainer_module", "deploy", "benchmarks")


def find_calls(*names: str) -> set[tuple[str, str, str]]:
    """Returns file, function and name of each call of a function or method of these names."""
    calls = set()
    for room in ROOMS:
        for path in (PACKAGE.parent / room).rglob("*.py"):
            for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(function, ast.FunctionDef):
                    continue
                for node in ast.walk(function):
                    called = node.func if isinstance(node, ast.Call) else None
                    name = getattr(called, "id", getattr(called, "attr", None))
                    if name in names:
                        calls.add((path.relative_to(PACKAGE.parent).as_posix(), function.name, name))
    return calls


def test_a_pointer_is_sealed_by_an_opened_state_alone():
    assert find_calls("seal") == {
        ("edgeline/release/state.py", "seal", "seal"),  # the state, by the envelope
        ("edgeline/release/store.py", "put_in_production", "seal"),  # a writer, by the state
    }
    calls = find_calls("State", "open_state", "_open_unsigned")
    opens = {function for path, function, _ in calls if not path.startswith("edgeline/alerts")}
    assert opens == {
        *("open_state", "_open_unsigned"),  # the only makers of a state
        *("open_for_writing", "renew", "rotate"),  # the writers
        *("make_claim", "make_state"),  # a person looks
        *("check_writer", "collect_garbage"),  # before anything is read, or removed
    }


def test_nothing_else_signs_with_a_key():
    calls = find_calls("sign")  # of networks, a sign is another thing
    assert {call[:2] for call in calls if not call[0].startswith("trainer_module")} == {
        ("edgeline/phone/certificate.py", "_sign"),  # for TLS, with a key of its own
        ("edgeline/release/candidate.py", "stage"),  # the manifest of a new release
        ("edgeline/release/pointer.py", "seal"),
        ("edgeline/release/model_signing.py", "sign_files"),
    }
