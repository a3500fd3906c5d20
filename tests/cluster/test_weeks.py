"""Weeks of one team on a real cluster: each test is the next thing that happens there."""

import time

import pytest

from tests.cluster.conftest import (
    Place,
    end_by_sigterm,
    kubectl,
    listening,
    log_of,
    pods_of,
    run_id,
    uid,
    within_reach,
    working,
)
from tests.e2e.conftest import SMALL
from tests.edgeline.alerts.servers import Hook

pytestmark = pytest.mark.cluster

# Any model is good enough, so that each run that trains pushes.
NO_BOUNDS = (*SMALL, "evaluation.bounds=[]")
# Long enough for its pod to be found and ended in the middle. KFP from 2.5 on would start another by itself.
SLOW = (*NO_BOUNDS, "trainer.epochs=60", "trainer.early_stopping_patience=0", "kubeflow.retries=0")


def test_a_run_that_searches_ends_in_a_pushed_release_that_verify_accepts(on_claim: Place) -> None:
    search = ("tune.max_trials=2", "tune.space.trainer.learning_rate=[0.001, 0.002]")
    ended = on_claim.kubeflow("submit", "--wait", settings=(*SMALL, *search))
    assert ended.code == 0, ended.stdout + ended.stderr
    tuner = log_of(pods_of("Tuner", run_id(ended))[run_id(ended)])
    assert "trial 2 of 2: trainer.learning_rate=" in tuner and "trial 2 of 2: val_loss" in tuner
    assert "Pushed version 1" in ended.stdout
    assert on_claim.production()["version"] == 1
    verified = on_claim.verify()
    assert verified.code == 0, verified.stdout


HOOK = """python -uc '
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(200)
        self.end_headers()
HTTPServer(("", 5000), Handler).serve_forever()
'"""


def test_a_week_that_the_gate_refuses_leaves_production_alone_and_is_told_to_who_is_on_call(
    on_claim: Place,
) -> None:
    on_claim.generate(1, "corrupt=0.4")
    with listening(HOOK) as (pod, there):
        alerts = ("alerts.webhook=$HOOK", f"kubeflow.env.HOOK={there}")
        ended = on_claim.kubeflow("submit", "--wait", settings=(*SMALL, *alerts))
        assert ended.code == 4, ended.stdout + ended.stderr
        assert "photos of span-00004" in ended.stdout + ended.stderr
        assert "photos of span-00004" in log_of(pod)
    assert on_claim.production()["version"] == 1
    record = on_claim.in_pod(f"ls {on_claim.at(on_claim.push)}/runs/shelf/{run_id(ended)}")
    assert record.stdout.split() == ["facts.json", "report.html"]


def test_a_lost_trainer_is_picked_up_by_retry_and_nothing_is_pushed_by_half(on_claim: Place) -> None:
    """Without the week that was refused, whose exclusion is all that a person has to do."""
    data = on_claim.at(on_claim.data)
    excluded = on_claim.in_pod(
        f"python -m runners.cli data exclude span-00004 --reason 'a broken phone' --data {data} 2>&1"
    )
    assert excluded.code == 0, excluded.stdout
    submitted = on_claim.kubeflow("submit", settings=SLOW)
    assert submitted.code == 0, submitted.stderr
    run = run_id(submitted)
    pod = working(run, "Trainer", "Epoch")
    lost = uid(pod)
    kubectl("delete", "pod", pod, "--grace-period=5")
    ended = on_claim.kubeflow("watch", run)
    assert ended.code == 1, ended.stdout + ended.stderr
    assert on_claim.production()["version"] == 1
    assert on_claim.verify().code == 0

    again = on_claim.kubeflow("retry", run, "--wait")
    assert again.code == 0, again.stdout + again.stderr
    assert "Pushed version 2" in again.stdout
    assert uid(pods_of("Trainer")[run]) != lost
    verified = on_claim.verify()
    assert verified.code == 0, verified.stdout


def test_a_gate_whose_pod_was_lost_lets_nothing_begin_and_retry_makes_it_in_a_new_run(
    on_claim: Place,
) -> None:
    """Argo before 3.4 counts it as done; a later one says that it failed."""
    own = (*NO_BOUNDS, "seed=21")  # no model that a run before has pushed
    submitted = on_claim.kubeflow("submit", settings=own)
    assert submitted.code == 0, submitted.stderr
    run = run_id(submitted)
    end_by_sigterm(working(run, "DataGate", ""))
    ended = on_claim.kubeflow("watch", run, "--json")
    assert ended.code == 1, ended.stdout + ended.stderr
    states = ended.states
    assert not {states[step] for step in ("Trainer", "Pusher")} - {"waiting"}
    if states["DataGate"] == "done":
        reason = "DataGate was counted as done but left no accepted_data: its pod was lost."
        assert ended.json["reasons"] == [reason]

    again = on_claim.kubeflow("retry", run, "--wait", settings=own)
    assert again.code == 0, again.stdout + again.stderr
    assert "Pushed version 3" in again.stdout
    assert (run_id(again) != run) == (states["DataGate"] == "done")


def test_two_workers_train_in_pods_of_their_own_and_go_on_after_one_was_lost(on_claim: Place) -> None:
    together = ("trainer.strategy=multi_worker", f"kubeflow.checkpoints={on_claim.push}/checkpoints")
    submitted = on_claim.kubeflow("submit", settings=(*SLOW, *together))
    assert submitted.code == 0, submitted.stderr
    run, before = run_id(submitted), on_claim.production()["version"] or 0
    working(run, "Trainer", "Epoch 3 ")
    kubectl("delete", "pod", pods_of("Trainer-worker-1", run)[run], "--grace-period=5")
    ended = on_claim.kubeflow("watch", run)
    assert ended.code == 1, ended.stdout + ended.stderr
    assert "Worker 1 of the training can no longer be reached." in log_of(pods_of("Trainer", run)[run])

    again = on_claim.kubeflow("retry", run, "--wait")
    assert again.code == 0, again.stdout + again.stderr
    assert on_claim.production()["version"] == before + 1
    log = log_of(pods_of("Trainer", run)[run])
    assert "Continuing after epoch" in log
    assert "Epoch 60 of 60" in log


def test_a_recurring_run_trains_each_time_it_fires(on_claim: Place) -> None:
    """One whose steps all come from a cache would end green and do nothing; an equal model is not pushed."""
    before = set(pods_of("Trainer"))
    made = on_claim.kubeflow("schedule", "--cron", "0 * * * * *", settings=NO_BOUNDS)
    assert made.code == 0, made.stdout + made.stderr
    fired: set[str] = set()
    try:
        end = time.monotonic() + 3000
        while len(fired) < 2:
            assert time.monotonic() < end, fired
            time.sleep(15)
            # Their pods go with the schedule.
            fired |= set(pods_of("Trainer")) - before
    finally:
        # The first call keeps it from firing; it is gone once the run that it fired last has ended.
        end = time.monotonic() + 1800
        while (removed := on_claim.kubeflow("schedule", "--delete")).code and time.monotonic() < end:
            time.sleep(15)
    assert removed.code == 0, removed.stderr
    watched = [on_claim.kubeflow("watch", run, "--json") for run in fired]
    trained = [ended for ended in watched if ended.states["Trainer"] == "done" and ended.code == 0]
    assert len(trained) >= 2, [ended.stdout for ended in watched]
    assert on_claim.name not in on_claim.kubeflow("schedule", "--list").stdout
    assert on_claim.verify().code == 0


MLFLOW = "cd /tmp && python -m mlflow server --host 0.0.0.0 --port 5000 --workers 1 --allowed-hosts '*'"
MIRRORED = """
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
    with listening(MLFLOW) as (pod, registry):
        around = (f"kubeflow.shards={shards}", f"registry.uri={registry}")
        ended = on_bucket.kubeflow("submit", "--wait", settings=(*SMALL, *around))
        assert ended.code == 0, ended.stdout + ended.stderr
        mirrored = kubectl("exec", pod, "--", "python", "-c", MIRRORED)
        assert mirrored.splitlines() == ["in production: 1", f"run: {run_id(ended)}"]
    log = log_of(pods_of("Trainer", run_id(ended))[run_id(ended)])
    assert f"of the train split from {shards}/{run_id(ended)}" in log
    left = on_bucket.in_pod(f'python -c \'import fsspec; print(fsspec.filesystem("s3").find("{shards}"))\'')
    assert left.stdout.strip() == "[]"
    assert on_bucket.production()["version"] == 1
    verified = on_bucket.verify()
    assert verified.code == 0, verified.stdout


def test_who_is_on_call_hears_of_a_lost_pod_from_the_command_that_follows_the_run(
    on_bucket: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Hook() as hook:
        for name, value in {**within_reach(on_bucket), "HOOK": hook.url}.items():
            monkeypatch.setenv(name, value)
        told = (*SLOW, "alerts.webhook=$HOOK", "kubeflow.env.HOOK=http://localhost:1")
        submitted = on_bucket.kubeflow("submit", settings=told)
        assert submitted.code == 0, submitted.stderr
        run = run_id(submitted)
        kubectl("delete", "pod", working(run, "Trainer", "Epoch"), "--grace-period=5")
        ended = on_bucket.kubeflow("watch", run, settings=told)
        assert ended.code == 1 and "was not recorded or alerted" not in ended.stdout, ended.stdout
        assert any("Trainer" in message for message in hook.messages), (hook.messages, ended.stdout)
