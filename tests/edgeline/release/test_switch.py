import json
import subprocess
import sys

import pytest

from edgeline.errors import EdgelineError, UsageError
from edgeline.records.json_file import decode
from edgeline.release import store
from tests.edgeline.release.candidates import make_candidate, snapshot


def test_no_rollback_goes_to_a_release_that_another_one_took_back(copy):
    store.promote(copy, "shelf", 2, "three may be worse")
    assert store.rollback(copy, "shelf", "two is worse").version == 3
    assert store.rollback(copy, "shelf", "three as well").version == 1


def test_a_second_rollback_goes_further_back_and_not_to_the_bad_release(copy, tmp_path):
    store.rollback(copy, "shelf", "three is worse")
    assert store.rollback(copy, "shelf", "two as well").version == 1
    with pytest.raises(EdgelineError, match="no release in production before"):
        store.rollback(copy, "shelf", "one too")
    assert store.push(copy, "shelf", make_candidate(tmp_path / "four", "four")).version == 4
    assert store.rollback(copy, "shelf", "four is worse").version == 1


def test_a_reason_from_a_terminal_that_is_not_in_utf_8_keeps_no_phone_from_the_rollback(copy):
    store.rollback(copy, "shelf", "gr\udcfcn")
    pointer = decode((copy / "edge/shelf/current.json").read_bytes())  # as `edgeline.runtime` reads it
    assert pointer["change"]["reason"] == "gr\\udcfcn" and store.verify(copy, "shelf") == []


def test_every_change_is_audited_by_a_line_that_is_appended(copy):
    log = copy / "edge/shelf/history.jsonl"
    before = log.read_text()
    store.rollback(copy, "shelf", "three is worse")
    store.promote(copy, "shelf", 3, "it was not")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert log.read_text().startswith(before)
    assert [line["action"] for line in lines] == ["push", "push", "push", "rollback", "promote"]
    assert [(line["from"], line["to"]) for line in lines] == [(None, 1), (1, 2), (2, 3), (3, 2), (2, 3)]
    assert lines[3]["reason"] == "three is worse" and "@" in lines[3]["who"]
    assert lines[3]["when"].endswith("Z")


@pytest.mark.parametrize(
    ("change", "arguments", "error", "message"),
    [
        (store.rollback, ("shelf", "why not"), EdgelineError, "before the current one"),
        (store.rollback, ("shelf", "why", 9), UsageError, "no release 9.*There are no other releases"),
        (store.promote, ("shelf", 1, "again"), UsageError, "in production already"),
        (store.promote, ("shelf", 1, "  "), UsageError, "reason is empty"),
        (store.promote, ("shelv", 1, "typo"), UsageError, "no model 'shelv'.*has: shelf"),
        (store.promote, ("../shelf", 1, "path"), UsageError, "model name '../shelf' is not"),
        (store.rollout, ("shelf", 1, 10, "drill"), UsageError, "in production already"),
        (store.rollout, ("shelf", 9, 10, "drill"), UsageError, "no release 9"),
        *(
            (store.rollout, ("shelf", 1, share, "drill"), UsageError, "cannot have .* % of the phones")
            for share in (0, 100, float("nan"))
        ),
    ],
)
def test_a_change_that_cannot_be_made_says_why_in_three_parts(
    root, candidate, change, arguments, error, message
):
    store.push(root, "shelf", candidate)
    before = snapshot(root)
    with pytest.raises(error, match=message):
        change(root, *arguments)
    assert snapshot(root) == before


def test_a_damaged_release_is_not_rolled_back_to(copy):
    with (copy / "serving/shelf/2/saved_model.pb").open("ab") as file:
        file.write(b"bit rot")
    before = snapshot(copy)
    with pytest.raises(EdgelineError, match=r"shelf 2 is damaged: serving/shelf/2/saved_model\.pb"):
        store.rollback(copy, "shelf", "three is worse")
    assert snapshot(copy) == before
    assert store.rollback(copy, "shelf", "three is worse", to=1).version == 1


@pytest.mark.parametrize(("content", "found"), [('{"version": 3', "invalid content"), (None, "no file")])
def test_a_damaged_or_lost_pointer_is_an_error_for_readers_and_fixed_by_a_promotion(copy, content, found):
    pointer = copy / "edge/shelf/current.json"
    pointer.write_text(content) if content else pointer.unlink()
    with pytest.raises(EdgelineError, match=rf"edge/shelf/current\.json: found {found}"):
        store.current(copy, "shelf")
    assert store.promote(copy, "shelf", 3, "the pointer was damaged").version == 3
    assert store.current(copy, "shelf").version == 3 and store.verify(copy, "shelf") == []


def test_rollback_imports_neither_tensorflow_nor_pydantic(copy):
    code = (
        "import sys, pathlib; from edgeline.release import store;"
        "r = store.rollback(pathlib.Path(sys.argv[1]), 'shelf', 'drill');"
        "print(r.version, 'tensorflow' in sys.modules, 'pydantic' in sys.modules)"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, str(copy)], capture_output=True, text=True, check=True
    )
    assert process.stdout.split() == ["2", "False", "False"]
