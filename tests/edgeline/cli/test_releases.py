"""The commands of releases, given the URL of an object store."""

import json
import os
import shutil
import tempfile
from datetime import datetime, timedelta

import pytest

from edgeline.cli.status import status
from edgeline.errors import EdgelineError
from edgeline.records.served import PUSHED, SERVED, PushedVersion, Served, ServedVersion, Tally
from edgeline.records.training import Estimate
from edgeline.records.verdict import VERDICT, Finding, Verdict
from edgeline.release import store
from edgeline.release.history import read_history
from edgeline.release.layout import PushFolder
from edgeline.release.settings import PushSettings
from edgeline.release.signing import PRIVATE, format_public_key, load_signing_key, make_pair
from edgeline.report import archive
from edgeline.store.locations import locate
from edgeline.workspace.runs import RunFolder
from runners.local.lock import hold
from tests.conftest import make_workspace
from tests.edgeline.release.candidates import make_candidate, make_key, snapshot, vouch
from tests.edgeline.report.runs import a_run
from tests.outputs import leave, write_run

PASSED = Verdict("data", "pass", ("All is well.",))
METRICS = {"overall": {"all": {"accuracy": 0.94}}}


@pytest.fixture
def url(bucket, tmp_path):
    for name in ("one", "two"):
        candidate = make_candidate(tmp_path / name, name, size=100, metrics=METRICS)
        store.push(f"{bucket}/push", "shelf", candidate)
    return f"{bucket}/push"


@pytest.mark.e2e
def test_production_in_a_bucket_is_shown_checked_and_changed_from_anywhere(edgeline, url):
    code, out = edgeline("status", "--store", url)
    assert code == 0 and "shelf: version 2 is in production" in out
    assert f" ms here: {url}/edge/shelf/2/model_fp16.tflite" in out
    code, out = edgeline("status", "--store", url, "--json")
    assert code == 0 and json.loads(out)["production"]["version"] == 2
    assert edgeline("rollback", "--store", url, "--reason", "two is worse")[0] == 0
    assert "version 1 is in production" in edgeline("status", "--store", url)[1]
    assert edgeline("promote", "2", "--store", url, "--reason", "it was not")[0] == 0
    code, out = edgeline("verify", "--store", url)
    assert code == 0 and out.startswith(f"{url}: 2 releases of shelf: every file, pin and line")


@pytest.mark.e2e
def test_old_releases_of_a_bucket_and_records_of_a_cluster_are_collected_from_anywhere(
    edgeline, url, tmp_path, monkeypatch
):
    # Other tests kill processes that leave files in the common folder, which would be freed too.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    store.push(url, "shelf", make_candidate(tmp_path / "three", "three", size=100))
    code, out = edgeline("gc", "--keep", "1", "--store", url, "--dry-run", "--json")
    assert code == 0 and list(json.loads(out)["releases of shelf"]) == ["1"]
    for number, run in enumerate(("a", "b"), start=1):
        archive.write(locate(url) / "runs" / "shelf" / run, a_run(id=run, number=number), "<p>")
    code, out = edgeline("gc", "--keep", "1", "--store", url)
    assert "records of shelf          1" in out
    assert code == 0 and "releases of shelf         1" in out and "Freed 0.0 MB." in out
    assert "2 releases of shelf" in edgeline("verify", "--store", url)[1]
    code, out = edgeline("promote", "1", "--store", url, "--reason", "drill")
    assert code == 2 and "shelf 1 was collected on" in out


def test_gc_of_a_store_needs_no_workspace_where_a_killed_command_left_files(edgeline, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("one", "two", "three"):
        store.push(tmp_path / "push", "shelf", make_candidate(tmp_path / name, name, size=100))
    leftover = tmp_path / "edgeline-push-killed"
    leftover.mkdir()
    os.utime(leftover, (1e9, 1e9))
    code, out = edgeline("gc", "--keep", "1", "--store", tmp_path / "push")
    assert code == 0 and "releases of shelf         1" in out
    assert not leftover.exists() and not (tmp_path / "workspace").exists()


def test_gc_of_a_workspace_that_a_run_holds_or_of_a_place_that_is_not_there_removes_nothing(
    edgeline, workspace, tmp_path
):
    before = snapshot(workspace)
    for command in (["--dry-run"], []):
        code, out = edgeline("gc", "--keep", "1", "--store", str(tmp_path / "elsewhere"), *command)
        assert code == 2 and "elsewhere has no model 'shelf'" in out and "the place is wrong" in out
    with hold(workspace):
        code, out = edgeline("gc", "--keep", "1")
    assert code == 5 and "Another run holds the workspace" in out
    (workspace / "lock").unlink()
    assert snapshot(workspace) == before
    workspace.rename(workspace.with_name("elsewhere"))
    code, out = edgeline("gc", "--keep", "1")
    assert code == 2 and "There is no workspace" in out and not workspace.exists()


@pytest.mark.parametrize(("option", "value"), [("--workload", "shelv"), ("--store", "/elsewhere")])
def test_pages_of_a_model_that_is_not_there_are_not_made_in_mlflow(edgeline, workspace, option, value):
    code, out = edgeline("ui", option, value)
    assert code == 2 and "has no model" in out and not (workspace / "mlflow").exists()


def test_a_bucket_without_a_release_says_so(edgeline, bucket):
    assert edgeline("status", "--store", bucket)[1].startswith(
        f"No release of shelf is in production in {bucket}"
    )
    code, out = edgeline("verify", "--store", bucket)
    assert code == 2 and f"{bucket}/ has no model 'shelf'" in out


def test_a_missing_model_is_bad_usage_and_the_others_are_named(edgeline, url, tmp_path):
    code, out = edgeline("status", "--store", str(tmp_path / "elsewhere"))
    assert code == 2 and "elsewhere has no model 'shelf'" in out and "the place is wrong" in out
    code, out = edgeline("verify", "--store", url, "--workload", "shelv")
    assert code == 2 and "has no model 'shelv'" in out and "It has: shelf." in out
    code, out = edgeline("verify", "--store", str(tmp_path / "elsewhere"))
    assert code == 2 and "It has no models" in out
    code, out = edgeline("verify")
    assert code == 2 and "workspace/push has no model 'shelf'" in out
    assert "which has shelf" in edgeline("status", "--store", url, "--workload", "shelv")[1]


@pytest.mark.parametrize("command", [["status"], ["rollback", "--reason", "r"], ["run", "--data"]])
def test_a_bucket_that_is_not_there_ends_a_command_with_three_parts(edgeline, s3_server, command):
    option = [] if command[0] == "run" else ["--store"]
    code, out = edgeline(*command, *option, "s3://no-such-bucket/x")
    assert code == 1 and len(out.splitlines()) == 3 and "Traceback" not in out
    assert "the bucket 'no-such-bucket' does not exist" in out


def test_a_canary_is_opened_shown_and_ended(edgeline, tmp_path):
    make_pair(tmp_path / "keys")
    key, push = str(tmp_path / "keys" / PRIVATE), tmp_path / "workspace/push"
    for content in ("one", "two", "three"):
        candidate = make_candidate(tmp_path / content, content, 100, signing_key=load_signing_key(key))
        store.push(push, "shelf", candidate)
    signed = ("--key", key, "--reason", "drill")
    edgeline("rollback", *signed)
    code, out = edgeline("rollout", "3", "--percent", "10", *signed)
    assert code == 0 and out == "10 % of phones run version 3 of shelf from now on.\n"
    out = edgeline("status")[1]
    assert "version 2 is in production" in out
    assert "\n10 % of phones run the candidate, version 3. Since 2" in out and "@" in out and ": drill" in out
    candidate = json.loads(edgeline("status", "--json")[1])["candidate"]
    assert (candidate["version"], candidate["percent"], candidate["reason"]) == (3, 10, "drill")
    code, out = edgeline("rollout", "3", "--percent", "101", *signed)
    assert code == 2 and len(out.splitlines()) == 3
    code, out = edgeline("rollback", *signed)
    assert (
        code == 0 and out == "Version 2 of shelf is in production on all phones; version 3 was withdrawn.\n"
    )
    assert json.loads(edgeline("status", "--json")[1])["candidate"] == dict.fromkeys(candidate)
    code, out = edgeline("rollout", "2", "--percent", "10", *signed)
    assert code == 2 and "shelf 2 is in production already." in out
    edgeline("rollout", "3", "--percent", "0.5", *signed)
    assert "Version 3 of shelf is in production." in edgeline("promote", "3", *signed)[1]
    assert edgeline("verify")[0] == 0


def test_a_workspace_that_is_a_file_is_bad_usage(edgeline, tmp_path):
    (tmp_path / "workspace").touch()
    code, out = edgeline("verify")
    assert code == 2 and "workspace is a file. A workspace is the folder" in " ".join(out.split())


def test_status_prints_key_app_version_and_epoch_only_of_a_release_that_has_them(edgeline, tmp_path):
    push, key = tmp_path / "workspace/push", make_key()
    store.push(push, "shelf", make_candidate(tmp_path / "one"))
    code, out = edgeline("status")
    assert code == 0 and "  Valid until 2" in out
    assert not any(word in out for word in ("Signed", "epoch", "of the app"))
    assert "  Nobody signs this store: anyone who can write to it decides what phones run." in out
    vouch(push, key)
    settings = {"signing_key": key, "min_app_version": "2.4.0", "rollback_epoch": 3}
    store.push(push, "shelf", make_candidate(tmp_path / "two", "two", **settings))
    digits = format_public_key(key.public_key())
    out = edgeline("status")[1]
    assert "  For version 2.4.0 of the app or later.\n" in out
    assert f"switches to version 2, signed with {digits}, until 2" in out and "Nobody signs" not in out
    assert "  Rollback epoch 3: " in out
    production = json.loads(edgeline("status", "--json")[1])["production"]
    assert (production["signed_by"], production["rollback_epoch"]) == (digits, 3)


def test_status_says_how_often_phones_were_right(edgeline, tmp_path, workspace, make_run):
    store.push(tmp_path / "workspace/push", "shelf", make_candidate(tmp_path / "one", metrics=METRICS))
    assert "answered" not in edgeline("status")[1]
    folder = RunFolder(next((workspace / "runs").iterdir()))
    checked = Estimate(200, 12, 0.93, 0.88, 0.96)
    tally = Tally(1_530, 0.95, 230, checked, 12, 3)
    served = Served((ServedVersion(2, Tally(5, 0.5)), ServedVersion(1, tally)))
    leave(folder, "ExampleGen", "quarantine", SERVED, served)
    leave(folder, "ModelValidator", "evaluation", PUSHED, {1: PushedVersion.of("", METRICS)})
    assert (
        "  Version 1 answered 1,530 times: 93.0 % of 200 drawn at random were right (95 % CI 88.0 % to"
        " 96.0 %, on eval 94.0 %); 95.0 % to expect by their scores; 3 of 12 that looked wrong were right.\n"
    ) in edgeline("status")[1]
    served = json.loads(edgeline("status", "--json")[1])["production"]["served"]
    assert (served["version"], served["answers"]) == (1, 1_530)
    assert (served["checked"]["share"], served["doubted"]) == (0.93, 12)
    assert json.loads(edgeline("status", "--json")[1])["candidate"]["served"] is None
    store.push(tmp_path / "other", "shelf", make_candidate(tmp_path / "one", metrics=METRICS))
    assert "answered" not in edgeline("status", "--store", str(tmp_path / "other"))[1]
    canary = make_candidate(tmp_path / "two", "two", canary_percent=10)
    store.push(tmp_path / "workspace/push", "shelf", canary)
    out = edgeline("status")[1]
    assert "  Version 1 answered 1,530 times" in out and "\n  Version 2 answered 5 times; 50.0 %" in out
    push = str(tmp_path / "workspace/push")
    early = make_run(id="20261012-091233", number=9, outcome="failed", exit_code=1, push=push)
    write_run(tmp_path / "workspace", early)
    status = json.loads(edgeline("status", "--json")[1])
    assert status["last_run"]["id"] == early.id
    assert [status[which]["served"]["version"] for which in ("production", "candidate")] == [1, 2]


@pytest.mark.parametrize(
    ("text", "store"),
    [
        ("s3://bucket/push/", "s3://bucket/push"),
        ("s3:///", "s3:///"),
        ("push/", "{here}/push"),
        ("file:///push/", "/push"),
    ],
)
def test_a_store_is_named_as_runs_record_it(text, store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    option = next(option for option in status.params if option.name == "store")
    assert option.type.convert(text, option, None) == store.format(here=tmp_path)
    assert PushSettings(destination=text).destination == store.format(here=tmp_path)


def test_a_store_without_a_name_is_not_taken_for_that_of_the_last_run(edgeline, tmp_path):
    push = tmp_path / "workspace/push"
    for name in ("one", "two"):
        store.push(push, "shelf", make_candidate(tmp_path / name, name, size=100))
    code, out = edgeline("rollback", "--store", "", "--reason", "drill")
    assert code == 2 and "The name after --store is empty." in out
    assert store.get(push, "shelf").version == 2


def test_status_says_if_production_is_older_than_promised_or_its_pointer_expires(
    edgeline, tmp_path, make_run, monkeypatch
):
    store.push(tmp_path / "workspace/push", "shelf", make_candidate(tmp_path / "one"))
    make_workspace(tmp_path / "workspace", make_run, settings={"alerts": {"stale_days": 8}})
    for days, line in ((8, ""), (21, "  Production is 21 days old; 8 were promised.\n")):
        later = type("Later", (), {"now": lambda zone, days=days: datetime.now(zone) + timedelta(days)})
        monkeypatch.setattr("edgeline.cli.status.datetime", later)
        out = edgeline("status")[1]
        assert line in out and ("promised" in out) == bool(line)
        production = json.loads(edgeline("status", "--json")[1])["production"]
        assert production["older_than_promised"] == bool(line)
        warning = f"  The pointer to version 1 expires at {production['pointer_expires']}. `"
        assert (warning in out) == ("The pointer" in out) == bool(line)


def test_status_runs_and_show_name_the_last_run_its_outcome_and_its_reasons(edgeline, workspace):
    last = json.loads(edgeline("status", "--json")[1])["last_run"]
    out = edgeline("status")[1]

    assert (last["id"], last["outcome"]) == ("20261005-091233", "held")
    assert last["reasons"] == ["Accuracy is 0.8 on 400 eval examples; at least 0.850 is needed."]
    assert "Held back" in out and "at least 0.850 is needed.\nWarnings\n  - span-00007 is dark.\n" in out
    assert "No release of shelf is in production" in out

    table, details = edgeline("runs")[1], edgeline("show")[1]
    assert "20261005-091233" in table and "held" in table and "1 min 35 s" in table
    for text in ("Trainer", "1 min 00 s", "span-00007 is dark.", "at least 0.850 is needed"):
        assert text in details
    document = json.loads(edgeline("show", "20261005-091233", "--json")[1])
    assert document["exit_code"] == 3 and {"gates", "data", "evaluation", "edge"} <= set(document["facts"])
    (run,) = json.loads(edgeline("runs", "--json")[1])
    assert run["id"] == "20261005-091233"


def test_status_show_and_page_of_a_run_that_was_held_have_the_same_next_steps(edgeline, tmp_path, make_run):
    workspace = tmp_path / "workspace"
    for name, epochs, outcome in (("20261005-091233", 12, "pushed"), ("20261012-091233", 2, "held")):
        run = {"id": name, "outcome": outcome, "number": 14 - epochs, "inputs": {"production": "1-ab"}}
        settings = {"trainer": {"epochs": epochs}, "push": {"require_clean": True}}
        write_run(workspace, make_run(**run, version=1, settings=settings, log="", data="/my data"))
        leave(RunFolder(workspace / "runs" / name), "DataValidator", "verdict", VERDICT, PASSED)
        if outcome == "held":
            low = Finding("Recall of class ok is 0.1.", "evaluation.min_class_recall=0", "class ok")
            verdict = Verdict.of("evaluation", [low])
            leave(RunFolder(workspace / "runs" / name), "ModelValidator", "blessing", VERDICT, verdict)
        assert edgeline("report", name)[0] == 0
    page = RunFolder(workspace / "runs" / "20261012-091233").path / "report.html"
    steps = [
        "Settings differ from those of production: trainer.epochs 12 -&gt; 2.",
        "Decided by evaluation.min",
    ]
    assert all(step in page.read_text() for step in steps)
    for command in ("status", "show"):
        _, _, after = edgeline(command)[1].partition("\nNext\n")
        assert after.startswith(f"  - {steps[0].replace('&gt;', '>')}\n") and steps[1] in after
    assert "push.require_clean" in edgeline("status")[1]


def test_status_says_who_rolled_back_and_why_and_speaks_of_a_past_run_in_the_past(
    edgeline, tmp_path, make_run
):
    push = tmp_path / "workspace/push"
    for name in ("one", "two"):
        store.push(push, "shelf", make_candidate(tmp_path / name, name))
    make_workspace(tmp_path / "workspace", make_run, version=2)
    before = edgeline("status")[1]
    assert "version 2 stayed in production" in before and "Rolled back" not in before
    store.rollback(push, "shelf", "bad in the field")
    out = edgeline("status")[1]
    change = read_history(PushFolder(push), "shelf").last
    assert out.startswith("shelf: version 1 is in production")
    assert f"  Rolled back from version 2 by {change.who} at {change.when}: bad in the field\n" in out
    assert "version 2 stayed in production" in out and "is in production" not in out.partition("\n")[2]


def test_the_latest_run_that_is_shown_is_one_of_the_model_that_was_named(edgeline, tmp_path, make_run):
    for name, model in (("20261005-091233", "shelf"), ("20261006-091233", "bottles")):
        write_run(tmp_path / "workspace", make_run(id=name, workload=model))

    assert json.loads(edgeline("show", "latest", "--json")[1])["workload"] == "bottles"
    assert json.loads(edgeline("show", "latest", "--json", "--workload", "shelf")[1])["workload"] == "shelf"
    code, out = edgeline("show", "latest", "--workload", "crates")
    assert code == 2 and "has no run of crates" in out and "It has those of bottles, shelf." in out
    for command in ("runs", "status"):
        out = edgeline(command, "--workload", "crates")[1]
        assert f"No run of crates in {tmp_path / 'workspace'} yet." in out


@pytest.fixture
def four_runs(tmp_path, make_run):
    for day, outcome in ((1, "pushed"), (8, "held"), (15, "refused"), (22, "held")):
        run = {"id": f"202610{day:02d}-091233", "started_at": f"2026-10-{day:02d}T23:59:59Z"}
        write_run(tmp_path / "workspace", make_run(number=day, outcome=outcome, exit_code=1, **run))


@pytest.mark.parametrize(
    ("arguments", "days"),
    [
        ([], [22, 15, 8, 1]),
        (["--outcome", "held"], [22, 8]),
        (["--outcome", "held", "--outcome", "pushed", "--until", "2026-10-08"], [8, 1]),
        (["--since", "2026-10-08", "--until", "2026-10-15"], [15, 8]),
    ],
)
def test_runs_are_filtered_by_outcome_and_day_both_ends_included(edgeline, four_runs, arguments, days):
    runs = json.loads(edgeline("runs", *arguments, "--json")[1])
    assert [int(run["id"][6:8]) for run in runs] == days


def test_a_filter_that_leaves_no_run_says_that_there_are_some_or_that_no_run_can_match(edgeline, four_runs):
    assert edgeline("runs", "--outcome", "killed") == (0, "None of 4 runs matches.\n")
    code, out = edgeline("runs", "--since", "2026-02-03", "--until", "2026-02-02")
    assert code == 2 and "--since 2026-02-03 is after --until 2026-02-02" in out


def test_a_signed_pointer_is_renewed_and_moved_with_its_key_alone(edgeline, tmp_path, make_run):
    make_pair(tmp_path / "keys")
    key = str(tmp_path / "keys" / PRIVATE)
    # The key of the last run is that of the place where it pushed, and of no other.
    elsewhere = {"destination": str(tmp_path / "elsewhere"), "key": key}
    run = make_run(push=elsewhere["destination"], settings={"push": elsewhere}, outcome="pushed", exit_code=0)
    write_run(tmp_path / "workspace", run)
    push, place = tmp_path / "push", ("--store", str(tmp_path / "push"))
    for content in ("one", "two"):
        candidate = make_candidate(tmp_path / content, content, 100, signing_key=load_signing_key(key))
        store.push(push, "shelf", candidate)
    code, out = edgeline("rollback", *place, "--reason", "drill")
    assert code == 2 and "no key is set" in out and "Pass --key FILE" in out
    assert edgeline("rollback", *place, "--reason", "drill", "--key", key)[0] == 0
    code, out = edgeline("renew", *place, "--key", key)
    assert code == 0 and out.startswith("The pointer to version 1 of shelf is valid until 20")
    code, out = edgeline("renew", *place, "--workload", "other")
    assert code == 2 and "has no model 'other'" in out
    pointer = push / "edge/shelf/current.json"
    for damage, message in (
        (lambda: pointer.write_bytes(b"{"), "current.json"),
        (pointer.unlink, "found no file"),
    ):
        damage()
        code, out = edgeline("renew", "--key", key, *place)
        assert code == 1 and "current.json" in out
        code, out = edgeline("status", *place)
        assert code == 0 and message in out and "refuses it, because current.json " in out
    with pytest.raises(EdgelineError, match="found no file"):
        store.get(push, "shelf")


@pytest.fixture
def two_models(workspace, make_run, tmp_path):
    """Adds a run and a release of another model, whose workload.yaml is beside the workspace."""
    make_workspace(workspace, make_run, id="20261012-000000", workload="bottles", number=2)
    for name in ("shelf", "bottles"):
        store.push(workspace / "push", name, make_candidate(tmp_path / name, name, 100))
    (tmp_path / "workload.yaml").write_text("name: bottles\n")
    return workspace


def test_of_several_models_status_shows_all_and_the_newest_run_says_what_it_is_of(edgeline, two_models):
    code, out = edgeline("status")
    assert code == 0
    assert out.index("bottles: version 1") < out.index("Last run 20261012") < out.index("shelf: version 1")
    code, out = edgeline("report")
    assert code == 0 and "Run 20261012-000000 is of bottles, one of bottles, shelf" in out


def test_a_printed_command_on_one_of_several_models_names_it(edgeline, two_models, make_run):
    run = make_run(
        id="20261006-000000",
        outcome="held",
        warnings=("See `edgeline verify`.",),
        push=str(two_models / "push"),
    )
    write_run(two_models, run)
    for command in (["status"], ["show", run.id]):
        _, out = edgeline(*command)
        assert "edgeline verify --workspace" in out and "--workload shelf`." in out

    shutil.rmtree(two_models / "runs" / "20261012-000000")
    _, out = edgeline("show", run.id)
    assert "edgeline verify" in out and "--workload" not in out


def test_a_command_on_one_of_several_models_asks_which_unless_it_is_named_or_the_only_one_with_a_release(
    edgeline, two_models, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    without_name = ("renew", "rollback --reason R", "show production")
    for command in ("predict x", "verify", "status --json", "report --index", *without_name):
        code, out = edgeline(*command.split())
        assert code == 2, command
        assert "has the models bottles, shelf." in out and "Name one of these with --workload." in out

    for named in ("bottles", "workload.yaml"):
        code, out = edgeline("renew", "--workload", named)
        assert code == 0 and "of bottles is valid until" in out

    shutil.rmtree(two_models / "push/edge/shelf")
    for command in without_name:
        assert "with --workload" not in edgeline(*command.split())[1]
    status = edgeline("status", "--store", two_models / "push")[1]
    assert "bottles: version 1 is in production" in status
