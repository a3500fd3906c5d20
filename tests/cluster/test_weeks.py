"""Weeks of one team on a real cluster; each test continues the one before it."""

import time

import pytest

from tests.cluster.conftest import (
    Place,
    end_by_sigterm,
    find_pods,
    find_run_id,
    get_uid,
    kubectl,
    make_bucket_env,
    read_log,
    serve_in_pod,
    wait_for_pod,
)
from tests.e2e.conftest import SMALL
from tests.edgeline.alerts.servers import Hook

pytestmark = pytest.mark.cluster

# Any model is good enough, so that each run that trains pushes.
NO_BOUNDS = (*SMALL, "evaluation.bounds=[]")
# Long enough to find its pod and end it in the middle. KFP from 2.5 on would start another by itself.
SLOW = (*NO_BOUNDS, "trainer.epochs=60", "trainer.early_stopping_patience=0", "kubeflow.retries=0")


def test_a_run_that_searches_ends_in_a_pushed_release_that_verify_accepts(on_claim: Place) -> None:
    search = ("tune.max_trials=2", "tune.space.trainer.learning_rate=[0.001, 0.002]")
    result = on_claim.kubeflow("submit", "--wait", settings=(*SMALL, *search))
    assert result.code == 0, result.stdout + result.stderr
    tuner = read_log(find_pods("Tuner", find_run_id(result))[find_run_id(result)])
    assert "trial 2 of 2: trainer.learning_rate=" in tuner and "trial 2 of 2: val_loss" in tuner
    assert "Pushed version 1" in result.stdout
    assert on_claim.read_production()["version"] == 1
    verification = on_claim.verify()
    assert verification.code == 0, verification.stdout


HOOK = """python -uc '
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(200)
        self.end_headers()
HTTPServer(("", 5000), Handler).serve_forever()
'"""


def test_a_week_that_the_gate_refuses_leaves_production_alone_and_sends_an_alert(
    on_claim: Place,
) -> None:
    on_claim.generate(1, "corrupt=0.4")
    with serve_in_pod(HOOK) as (pod, url):
        alerts = ("alerts.webhook=$HOOK", f"kubeflow.env.HOOK={url}")
        result = on_claim.kubeflow("submit", "--wait", settings=(*SMALL, *alerts))
        assert result.code == 4, result.stdout + result.stderr
        assert "photos of span-00004" in result.stdout + result.stderr
        assert "photos of span-00004" in read_log(pod)
    assert on_claim.read_production()["version"] == 1
    record = on_claim.run_in_pod(f"ls {on_claim.get_path(on_claim.push)}/runs/shelf/{find_run_id(result)}")
    assert record.stdout.split() == ["facts.json", "report.html"]


def test_a_lost_trainer_is_made_again_by_retry_and_no_push_is_left_half_done(on_claim: Place) -> None:
    """The refused week is excluded first, which is all that a person has to do."""
    data = on_claim.get_path(on_claim.data)
    exclusion = on_claim.run_in_pod(
        f"python -m runners.cli data exclude span-00004 --reason 'a broken phone' --data {data} 2>&1"
    )
    assert exclusion.code == 0, exclusion.stdout
    submission = on_claim.kubeflow("submit", settings=SLOW)
    assert submission.code == 0, submission.stderr
    run = find_run_id(submission)
    pod = wait_for_pod(run, "Trainer", "Epoch")
    lost_uid = get_uid(pod)
    kubectl("delete", "pod", pod, "--grace-period=5")
    result = on_claim.kubeflow("watch", run)
    assert result.code == 1, result.stdout + result.stderr
    assert on_claim.read_production()["version"] == 1
    assert on_claim.verify().code == 0

    retry = on_claim.kubeflow("retry", run, "--wait")
    assert retry.code == 0, retry.stdout + retry.stderr
    assert "Pushed version 2" in retry.stdout
    assert get_uid(find_pods("Trainer")[run]) != lost_uid
    verification = on_claim.verify()
    assert verification.code == 0, verification.stdout


def test_after_a_gate_loses_its_pod_nothing_begins_and_retry_makes_it_in_a_new_run(
    on_claim: Place,
) -> None:
    """Argo before 3.4 counts it as done; a later one counts it as failed."""
    own = (*NO_BOUNDS, "seed=21")  # no model that a run before has pushed
    submission = on_claim.kubeflow("submit", settings=own)
    assert submission.code == 0, submission.stderr
    run = find_run_id(submission)
    end_by_sigterm(wait_for_pod(run, "DataGate", ""))
    result = on_claim.kubeflow("watch", run, "--json")
    assert result.code == 1, result.stdout + result.stderr
    states = result.states
    assert not {states[step] for step in ("Trainer", "Pusher")} - {"waiting"}
    if states["DataGate"] == "done":
        message = "DataGate was counted as done but left no accepted_data: its pod was lost."
        assert result.json["reasons"] == [message]

    retry = on_claim.kubeflow("retry", run, "--wait", settings=own)
    assert retry.code == 0, retry.stdout + retry.stderr
    assert "Pushed version 3" in retry.stdout
    assert (find_run_id(retry) != run) == (states["DataGate"] == "done")


def test_two_workers_train_in_pods_of_their_own_and_go_on_after_one_was_lost(on_claim: Place) -> None:
    together = ("trainer.strategy=multi_worker", f"kubeflow.checkpoints={on_claim.push}/checkpoints")
    submission = on_claim.kubeflow("submit", settings=(*SLOW, *together))
    assert submission.code == 0, submission.stderr
    run, before = find_run_id(submission), on_claim.read_production()["version"] or 0
    wait_for_pod(run, "Trainer", "Epoch 3 ")
    kubectl("delete", "pod", find_pods("Trainer-worker-1", run)[run], "--grace-period=5")
    result = on_claim.kubeflow("watch", run)
    assert result.code == 1, result.stdout + result.stderr
    assert "Worker 1 of the training can no longer be reached." in read_log(find_pods("Trainer", run)[run])

    retry = on_claim.kubeflow("retry", run, "--wait")
    assert retry.code == 0, retry.stdout + retry.stderr
    assert on_claim.read_production()["version"] == before + 1
    log = read_log(find_pods("Trainer", run)[run])
    assert "Continuing after epoch" in log
    assert "Epoch 60 of 60" in log


def test_a_recurring_run_trains_each_time_it_fires(on_claim: Place) -> None:
    """A run whose steps all come from the cache would train nothing; an equal model is not pushed."""
    before = set(find_pods("Trainer"))
    schedule = on_claim.kubeflow("schedule", "--cron", "0 * * * * *", settings=NO_BOUNDS)
    assert schedule.code == 0, schedule.stdout + schedule.stderr
    runs: set[str] = set()
    try:
        end = time.monotonic() + 3000
        while len(runs) < 2:
            assert time.monotonic() < end, runs
            time.sleep(15)
            # Deleting the schedule deletes the pods of its runs.
            runs |= set(find_pods("Trainer")) - before
    finally:
        # The first call stops the schedule; it is gone once its last run has ended.
        end = time.monotonic() + 1800
        while (removal := on_claim.kubeflow("schedule", "--delete")).code and time.monotonic() < end:
            time.sleep(15)
    assert removal.code == 0, removal.stderr
    results = [on_claim.kubeflow("watch", run, "--json") for run in runs]
    trained = [result for result in results if result.states["Trainer"] == "done" and result.code == 0]
    assert len(trained) >= 2, [result.stdout for result in results]
    assert on_claim.name not in on_claim.kubeflow("schedule", "--list").stdout
    assert on_claim.verify().code == 0


MLFLOW = "cd /tmp && python -m mlflow server --host 0.0.0.0 --port 5000 --workers 1 --allowed-hosts '*'"
READ_MIRROR = """
from mlflow import MlflowClient
client = MlflowClient("http://localhost:5000")
print("in production:", client.get_model_version_by_alias("shelf", "production").version)
for run in client.search_runs([each.experiment_id for each in client.search_experiments()]):
    print("run:", run.info.run_name)
"""


def test_data_shards_and_releases_can_live_in_an_object_store_and_mlflow_on_a_server(
    on_bucket: Place,
) -> None:
    shards = on_bucket.push.replace("/push", "/shards")
    with serve_in_pod(MLFLOW) as (pod, registry):
        settings = (f"kubeflow.shards={shards}", f"registry.uri={registry}")
        result = on_bucket.kubeflow("submit", "--wait", settings=(*SMALL, *settings))
        assert result.code == 0, result.stdout + result.stderr
        mirror = kubectl("exec", pod, "--", "python", "-c", READ_MIRROR)
        assert mirror.splitlines() == ["in production: 1", f"run: {find_run_id(result)}"]
    log = read_log(find_pods("Trainer", find_run_id(result))[find_run_id(result)])
    assert f"of the train split from {shards}/{find_run_id(result)}" in log
    code = f'import fsspec; print(fsspec.filesystem("s3").find("{shards}"))'
    listing = on_bucket.run_in_pod(f"python -c '{code}'")
    assert listing.stdout.strip() == "[]"
    assert on_bucket.read_production()["version"] == 1
    verification = on_bucket.verify()
    assert verification.code == 0, verification.stdout


def test_the_command_that_follows_a_run_sends_an_alert_about_a_lost_pod(
    on_bucket: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Hook() as hook:
        for name, value in {**make_bucket_env(on_bucket), "HOOK": hook.url}.items():
            monkeypatch.setenv(name, value)
        settings = (*SLOW, "alerts.webhook=$HOOK", "kubeflow.env.HOOK=http://localhost:1")
        submission = on_bucket.kubeflow("submit", settings=settings)
        assert submission.code == 0, submission.stderr
        run = find_run_id(submission)
        kubectl("delete", "pod", wait_for_pod(run, "Trainer", "Epoch"), "--grace-period=5")
        result = on_bucket.kubeflow("watch", run, settings=settings)
        assert result.code == 1 and "was not recorded or alerted" not in result.stdout, result.stdout
        assert any("Trainer" in message for message in hook.messages), (hook.messages, result.stdout)
