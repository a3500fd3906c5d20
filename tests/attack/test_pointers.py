"""Wrong pointers: a phone refuses each, and verify, status and alerts say so.

The table of tests/clients/make_pointers.py has every reason.
"""

import json
import tempfile
from functools import partial
from pathlib import Path

import pytest

from edgeline.alerts.settings import AlertSettings
from edgeline.alerts.telling import look_at_workspace, send_new_alerts
from edgeline.release import store
from edgeline.release.signing import PRIVATE, PUBLIC, load_public_key, load_signing_key, make_pair
from edgeline.runtime import Refused
from runners.cli.main import main
from tests.attack.mutations import Reader
from tests.edgeline.phone.releases import at, forge
from tests.edgeline.release.candidates import make_candidate
from tests.outputs import write_run

OTHER = {"version": 9, "manifest_sha256": "9" * 64}


def spoil(content: bytes) -> bytes:
    return content.replace(b'"sig": "', b'"sig": "AAAA')


def change_half(content: bytes) -> bytes:
    """The words that nobody signed name another manifest: phones would do, servers not."""
    document = json.loads(content)
    document["change"]["manifest_sha256"] = document["manifest_sha256"] = "8" * 64
    return json.dumps(document).encode()


def list_pointers(key):
    """Returns the changes of current.json, with the reason of a phone's refusal."""
    return {
        "missing": (None, "missing"),
        "damaged": (lambda content: b'{"version": 2', "pointer"),
        "with a spoilt signature": (spoil, "signature"),
        "of a version that is not there": (forge(key, production=OTHER), "missing"),
        "that has expired": (forge(key, issued=at(-9), expires=at(-1)), "stale"),
        "as long as a film": (lambda content: content + b" " * 4_000_001, "large"),
    }


@pytest.fixture
def workspace(tmp_path, make_run):
    """Has a run that pushed with a key to its own store."""
    make_pair(tmp_path / "keys")
    private = tmp_path / "keys" / PRIVATE
    push = {"destination": None, "key": str(private)}
    place, key = tmp_path / "workspace/push", load_signing_key(str(private))
    run = make_run(settings={"push": push}, push=str(place), outcome="pushed", exit_code=0)
    write_run(tmp_path / "workspace", run)
    for content in ("one", "two"):
        store.push(place, "shelf", make_candidate(tmp_path / content, content, 100, signing_key=key))
    return tmp_path / "workspace"


def ask_everybody(workspace: Path, hook, capsys) -> dict[str, str]:
    """Returns what each says of a store: "" if all is well."""
    keys = workspace.parent / "keys"
    place, answers = ("--workspace", str(workspace)), {}
    for name, command in {
        "verify": ["verify"],
        "verify --key": ["verify", "--key", str(keys / PUBLIC)],
    }.items():
        code = main([*command, *place])
        out, err = capsys.readouterr()
        answers[name] = err if code == 1 else ""
    main(["status", *place])
    out = capsys.readouterr().out
    answers["status"] = out if "refuses it, because" in out else ""
    look = partial(look_at_workspace, workspace, "shelf", str(workspace / "push"))
    settings = AlertSettings.model_validate_json('{"webhook": "$HOOK", "min_free_gb": 0}')
    troubles, _ = send_new_alerts(settings, look)
    answers["alert"] = " ".join(name for name in troubles if name in ("pointer", "unreadable"))
    own, keep = load_public_key(str(keys / PUBLIC)), Path(tempfile.mkdtemp(dir=workspace.parent))
    try:
        Reader(str(workspace / "push/edge/shelf"), "shelf", keep, own).update()
        answers["phone"] = ""
    except Refused as error:
        answers["phone"] = error.reason
    return answers


def test_verify_status_and_alerts_name_each_pointer_that_a_phone_refuses(workspace, hook, capsys):
    key = load_signing_key(str(workspace.parent / "keys" / PRIVATE))
    path = workspace / "push/edge/shelf/current.json"
    whole = path.read_bytes()
    for name, (change, reason) in list_pointers(key).items():
        assert not any(ask_everybody(workspace, hook, capsys).values()), name
        path.write_bytes(change(whole)) if change else path.unlink()
        answers = ask_everybody(workspace, hook, capsys)
        assert all(answers.values()) and answers["phone"] == reason, (name, answers)
        path.write_bytes(whole)


def test_a_pointer_whose_halves_differ_is_named_though_a_phone_goes_by_one(workspace, hook, capsys):
    path = workspace / "push/edge/shelf/current.json"
    path.write_bytes(change_half(path.read_bytes()))
    answers = ask_everybody(workspace, hook, capsys)
    assert answers.pop("phone") == "" and answers.pop("status") == "" and all(answers.values()), answers
    main(["status", "--workspace", str(workspace)])
    assert "somebody wrote to the store without the key" in capsys.readouterr().out
