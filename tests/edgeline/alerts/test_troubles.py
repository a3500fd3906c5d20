"""The rules that find troubles in the records of runs."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from edgeline.alerts.settings import AlertSettings
from edgeline.alerts.troubles import Situation, find_troubles
from edgeline.errors import Problem
from edgeline.records.ingest import Span
from edgeline.records.run import Run, Step
from edgeline.records.served import Served, ServedVersion
from edgeline.release import store
from edgeline.report.facts import Data, Evaluation, Facts
from tests.edgeline.gates.test_served import tally
from tests.edgeline.release.candidates import make_candidate, read_signed
from tests.edgeline.report.runs import a_slice

NOW = datetime.now(timezone.utc)
SETTINGS = AlertSettings(min_free_gb=0.0)


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """Pushes a release, which expires in 60 days."""
    folder = tmp_path_factory.mktemp("store")
    return store.push(str(folder / "push"), "shelf", make_candidate(folder / "candidate"))


def find(*history, release=None, settings=SETTINGS, later=timedelta(), folders=(), **values):
    history = [replace(facts, run=replace(facts.run, number=n)) for n, facts in enumerate(history, start=1)]
    situation = Situation("shelf", history, release, "--workspace w", folders, Path("state"), "", **values)
    return find_troubles(situation, settings, NOW + later)


def a_run(outcome="pushed", data=None, evaluation=None, **values):
    return Facts(
        Run(id="run", workload="shelf", outcome=outcome, version=2, **values),
        data=data,
        evaluation=evaluation,
    )


def week(number, rejected, rows=200):
    counts = {"corrupt": rejected} if rejected else {}
    return Span(f"span-{number:05d}", number, rows, rows - rejected, {}, counts)


def make_trained(seconds, state="done"):
    return a_run(steps=(Step("ExampleGen", "done", 2.0), Step("Trainer", state, seconds)))


@pytest.mark.parametrize("outcome", ["failed", "held", "refused", "killed"])
def test_an_end_without_a_push_is_a_trouble_with_its_reasons_and_what_stays(outcome, release):
    assert find(a_run("pushed"))["run"] is None and find(a_run("unchanged"))["run"] is None
    trouble = find(a_run(outcome, reasons=("Because.",)), release=release)["run"]
    assert trouble.why == ("Because.",)
    assert outcome == "killed" or "version 1 stays in production" in trouble.what


def test_the_command_that_a_gate_names_gets_the_workspace():
    # As components/data_gate.py has it.
    do = "The run's report says what to do next: `edgeline show latest --workload shelf`."
    trouble = find(a_run("refused", error=Problem("Too dark.", do=do)))["run"]
    assert trouble.do == "The run's report says what to do next: `edgeline show latest --workspace w`."


def test_a_release_is_stale_after_so_many_days_without_a_push(release):
    assert find(release=release, later=timedelta(days=20))["stale"] is None
    stale = find(release=release, later=timedelta(days=22, hours=1))["stale"]
    assert stale.what == "Production is 22 days old; 21 were promised."


def test_production_that_cannot_be_read_is_not_taken_for_none():
    assert "stale" not in find(a_run("held"), begun="no time")
    troubles = find(a_run("failed"), begun="2026-01-05T03:00:00Z", unreadable="current.json cannot be read.")
    assert "stale" not in troubles and "production is unchanged" in troubles["run"].what
    assert troubles["unreadable"].what == "It is not known which version of shelf is in production."
    assert troubles["unreadable"].why == ("current.json cannot be read.",)
    assert find(a_run())["unreadable"] is None


def test_a_release_is_a_trouble_before_it_expires_and_another_one_after(release):
    assert find(release=release, later=timedelta(days=45))["expiry"] is None
    soon = find(release=release, later=timedelta(days=47))["expiry"]
    over = find(release=release, later=timedelta(days=61))["expiry"]
    assert "expires at" in soon.what and "expired at" in over.what
    assert soon.same != over.same


def test_a_pointer_that_no_run_renews_is_a_trouble_before_phones_refuse_it_and_another_one_after(release):
    pointer, _ = read_signed(release.root)  # for 30 days
    assert find(pointer=pointer, later=timedelta(days=19))["pointer"] is None
    soon = find(pointer=pointer, later=timedelta(days=21))["pointer"]
    over = find(pointer=pointer, later=timedelta(days=31))["pointer"]
    assert soon.what == f"The pointer to version 1 expires at {pointer.expires}."
    assert soon.do == "edgeline renew --workspace w"
    assert "expired at" in over.what and soon.same != over.same


def test_a_pushed_model_that_is_worse_than_production_is_reported_by_class():
    slices = (a_slice("overall", "all", 380, 400, 0.96), a_slice("class", "ok", 80, 100, 0.9))
    assert "degraded" not in find(a_run("held", evaluation=Evaluation(slices, 1)))
    trouble = find(a_run(evaluation=Evaluation(slices, 1)))["degraded"]
    assert trouble.why == ("Recall of ok 0.800, in production 0.900, on 100 examples.",)
    assert trouble.do == 'edgeline rollback --reason "WHY" --workspace w'


@pytest.mark.parametrize(
    ("right", "examples", "before"), [(392, 400, 0.97), (9, 10, 1.0), (395, 400, 0.99), (380, 400, None)]
)
def test_a_model_that_is_better_or_worse_by_a_few_examples_is_in_order(right, examples, before):
    slices = (a_slice("overall", "all", right, examples, before),)
    assert find(a_run(evaluation=Evaluation(slices, 1)))["degraded"] is None


def test_a_newest_span_with_more_in_quarantine_than_usual_is_reported_also_if_earlier_runs_had_the_others():
    window = (week(1, 2), week(2, 3), week(3, 2), week(4, 9))
    trouble = find(a_run(data=Data(spans=window)))["quarantine"]
    assert trouble.what.replace("\u00a0", " ") == (
        "4.5 % of span-00004 is in quarantine, usually 1.0 % of a span."
    )
    assert trouble.why == ("9 corrupt.",)
    earlier = [a_run(data=Data(spans=(week(number, 20),))) for number in (1, 2, 3)]
    assert find(*earlier, a_run(data=Data(spans=(week(4, 21),))))["quarantine"] is None
    assert find(*earlier, a_run(data=Data(spans=(week(4, 40),))))["quarantine"] is not None


@pytest.mark.parametrize("window", [(week(1, 0), week(2, 0), week(3, 40)), (week(1, 0, rows=0),), ()])
def test_too_few_spans_show_no_trouble(window):
    assert "quarantine" not in find(a_run(data=Data(spans=window)))


def test_a_step_that_took_twice_its_median_is_reported_by_name_and_one_from_the_cache_says_nothing():
    troubles = find(*map(make_trained, (60.0, 62.0, 61.0, 130.0)))
    slow = troubles["slow Trainer"]
    assert slow.what == "Trainer took 2 min 10 s; the median of 3 earlier runs is 1 min 01 s."
    assert troubles["slow ExampleGen"] is None
    for seconds in ((60.0, 62.0, 61.0, 115.0), (10.0, 10.0, 10.0, 39.0)):
        assert find(*map(make_trained, seconds))["slow Trainer"] is None
    cached = [make_trained(0.1, "cached")] * 3
    assert "slow Trainer" not in find(*cached, make_trained(130.0))
    assert "slow Trainer" not in find(*map(make_trained, (60.0, 62.0, 61.0)), *cached)


def test_what_is_soon_much_and_slow_is_a_setting(release):
    window = (week(1, 2), week(2, 3), week(3, 2), week(4, 9))
    runs = map(make_trained, (60.0, 62.0, 61.0, 130.0))
    history = [replace(trained, data=Data(spans=window)) for trained in runs]
    names = ("expiry", "quarantine", "slow Trainer")
    for settings, is_trouble in (
        (AlertSettings(expiry_days=14, max_quarantine_rise=0.03, slow_factor=2.0), True),
        (AlertSettings(expiry_days=12, max_quarantine_rise=0.04, slow_factor=2.2), False),
    ):
        troubles = find(*history, release=release, settings=settings, later=timedelta(days=47))
        assert [troubles[name] is not None for name in names] == [is_trouble] * 3


def test_libraries_that_changed_since_the_run_before_are_named():
    versions = {"python": "3.11.2", "keras": "3.1.0", "numpy": "1.26.4"}
    before, failed = a_run(libraries=versions), a_run("failed")
    assert "libraries" not in find(before) and "libraries" not in find(before, failed)
    assert find(before, failed, a_run(libraries=dict(reversed(versions.items()))))["libraries"] is None
    changed = find(before, failed, a_run(libraries={**versions, "keras": "3.2.0", "tfx": "1.21.0"}))
    trouble = changed["libraries"]
    assert trouble.what == "Libraries changed since run run: keras 3.1.0 -> 3.2.0, tfx none -> 1.21.0."
    assert trouble.do == "edgeline diff run latest --workspace w"


def answer(right, checked, version=1):
    return Served((ServedVersion(version, tally(right, checked)),))


def test_a_release_that_is_surely_worse_on_phones_is_reported_until_it_is_good_again_or_replaced(release):
    on_eval = release.manifest.metrics["overall"]["all"]["accuracy"]
    run = a_run(settings={"evaluation": {"served": [{"max_drop": 0.05, "severity": "warn"}]}})
    trouble = find(run, release=release, served=answer(100, 200))["served"]
    assert trouble.what == "Version 1, in production, is worse on phones than evaluation.served allows."
    (sentence,) = trouble.why
    assert sentence.startswith("Of 200 answers of version 1 that were drawn at random, on 10 groups, 0.500")
    assert trouble.do.endswith('edgeline rollback --reason "WHY" --workspace w')

    good, few, chance = answer(200, 200), answer(3, 9), answer(round(200 * (on_eval - 0.06)), 200)
    assert find(run, release=release, served=good)["served"] is None
    assert find(run, release=release, served=answer(0, 200, version=2))["served"] is None
    assert "served" not in find(run, release=release, served=few)
    assert "served" not in find(run, release=release, served=chance)


def test_without_newer_answers_those_that_the_last_run_counted_are_judged_by_its_bounds(release):
    run = replace(a_run(settings={"evaluation": {"served": [{"lower": 0.9}]}}), served=answer(100, 200))
    assert find(run, release=release)["served"] is not None
    assert find(run, release=release, served=answer(200, 200))["served"] is None
    assert "served" not in find(run)
    without = replace(run, run=replace(run.run, settings={"evaluation": {"served": []}}))
    assert "served" not in find(without, release=release)


def test_a_disk_that_is_nearly_full_is_reported(tmp_path):
    folders = (tmp_path, tmp_path / "gone")
    full = find(folders=folders, settings=AlertSettings(min_free_gb=1_000_000.0))["disk"]
    assert str(tmp_path) in full.what and full.do.startswith("edgeline gc --keep 8 --dry-run ")
    assert find(folders=folders)["disk"] is None
