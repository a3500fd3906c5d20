"""A canary that a push opened is ended by the next run, or waits with a reason."""

import json
import shutil

import pytest

from components.canary import ReleaseSettings, end_canary, find_pushed, judge_canary, list_endings
from edgeline.errors import DataRefused
from edgeline.gates.settings import ServedBound
from edgeline.records.served import SERVED, Served, ServedVersion
from edgeline.records.verdict import VERDICT, Verdict
from edgeline.release import store
from edgeline.release.history import read_history
from edgeline.release.layout import PushFolder
from tests.components.steps import admit
from tests.components.test_releases import Run
from tests.edgeline.gates.test_served import tally

GOOD, BAD, FEW = ((190, 200), (120, 200), (9, 9))
SETTINGS = {
    "push": {"canary_percent": 10},
    "evaluation": {"served": [{"lower": 0.9, "min_checked": 50}]},
    "seed": 20,
}


@pytest.fixture(scope="module")
def opened_once(tmp_path_factory):
    """A store with a release in production, and a canary that the next push opened."""
    folder = tmp_path_factory.mktemp("opened")
    assert Run(folder / "1").push_to(folder / "push", canary_percent=10)[:2] == ("pushed", 1)
    outcome, version, reasons = Run(folder / "2", "second").push_to(folder / "push", canary_percent=10)
    assert (outcome, version) == ("pushed", 2)
    assert reasons[0] == "10 % of phones run the candidate, version 2."
    return folder / "push"


@pytest.fixture
def opened(opened_once, tmp_path):
    return shutil.copytree(opened_once, tmp_path / "push", symlinks=True)


def state(root):
    """The version in production, and whether a canary is open."""
    return store.current(root, "shelf").version, store.find_rollout(root, "shelf") is not None


def end(root, counts, may_promote=True, settings=SETTINGS):
    served = Served((ServedVersion(2, tally(*counts)),)) if counts else None
    given = ReleaseSettings.model_validate_json(json.dumps(settings))
    end_canary(str(root), "shelf", "run-7", given, served, may_promote)
    return state(root)


@pytest.mark.parametrize(
    ("counts", "may_promote", "after"),
    [
        (GOOD, True, (2, False)),
        (GOOD, False, (1, True)),
        (BAD, True, (1, False)),
        (FEW, True, (1, True)),
        (None, True, (1, True)),
    ],
)
def test_it_is_promoted_or_withdrawn_by_what_phones_answered_or_waits(opened, counts, may_promote, after):
    assert end(opened, counts, may_promote) == after
    last = read_history(PushFolder(opened), "shelf").last
    if not after[1]:
        assert last.reason.startswith("run run-7: Of 200 answers of version 2 that were drawn")
        (ending,) = list_endings(str(opened), "shelf", "run-7")
        assert ending.startswith(f"This run ended a canary, {last.action} from version ")
        assert ": Of 200 answers of version 2" in ending
    assert not list_endings(str(opened), "shelf", "run-70") and store.verify(opened, "shelf") == []


def test_what_a_person_opened_is_ended_by_a_person(opened):
    assert end(opened, BAD, settings={**SETTINGS, "push": {}}) == (1, True)


def test_what_was_answered_before_the_canary_does_not_end_it(opened):
    store.promote(str(opened), "shelf", 2, "drill")
    store.rollback(str(opened), "shelf", "drill")
    store.rollout(str(opened), "shelf", 2, 1, "another try")
    store.rollout(str(opened), "shelf", 2, 5, "more of it")
    assert end(opened, GOOD) == (1, True) and end(opened, BAD) == (1, True)
    assert store.rollback(str(opened), "shelf", "a person ends it").version == 1


@pytest.mark.parametrize(("counts", "end_by_hand"), [(GOOD, "rollback"), (BAD, "promote")])
def test_a_person_who_ended_it_while_it_was_judged_has_the_last_word(
    opened, monkeypatch, caplog, counts, end_by_hand
):
    def judge_and_be_overtaken(*arguments):
        judged = judge_canary(*arguments)
        if end_by_hand == "promote":
            store.promote(str(opened), "shelf", 2, "a person ends it")
        else:
            store.rollback(str(opened), "shelf", "a person ends it")
        return judged

    monkeypatch.setattr("components.canary.judge_canary", judge_and_be_overtaken)
    assert end(opened, counts) == (2 if end_by_hand == "promote" else 1, False)
    assert "The canary is over. Nothing was changed." in caplog.text


def test_a_canary_that_cannot_be_ended_stays_open_and_the_log_says_why(opened, caplog):
    with (opened / "serving/shelf/2/saved_model.pb").open("ab") as file:
        file.write(b"bit rot")
    assert end(opened, GOOD) == (1, True)
    assert "The canary was not ended: shelf 2 is damaged" in caplog.text
    assert end(opened, BAD) == (1, False)


def test_while_it_waits_a_new_model_is_held_and_the_same_one_is_tried_already(opened, tmp_path):
    outcome, _, reasons = Run(tmp_path / "3", "third").push_to(opened, canary_percent=10)
    assert outcome == "held" and reasons == [
        "10 % of phones run the candidate, version 2. A new model waits until that canary has ended: with"
        " more answers, or by `edgeline promote 2 --reason R` or `edgeline rollback --to 1 --reason R`.",
        "No bound on what is served is set: evaluation.served.",
    ]
    outcome, version, reasons = Run(tmp_path / "4", "second", run="run-4").push_to(opened)
    assert (outcome, version) == ("unchanged", 2)
    assert reasons == ["This model is tried already: 10 % of phones run the candidate, version 2."]
    assert state(opened) == (1, True)


@pytest.mark.parametrize(
    ("result", "counts", "after"), [("pass", GOOD, 2), ("fail", GOOD, 1), ("fail", BAD, 1)]
)
def test_the_gate_ends_it_before_the_run_goes_on_and_a_refused_week_promotes_nothing(
    opened, tmp_path, result, counts, after
):
    VERDICT.write(tmp_path / "found", Verdict("data", result, ("Dark.",), spans=("span-00002",)))
    SERVED.write(tmp_path / "found", Served((ServedVersion(2, tally(*counts)),)))
    given = {"model_name": "shelf", "push": str(opened), "recorded": json.dumps(SETTINGS), "run": "run-7"}
    try:
        admit(tmp_path, **given)
    except DataRefused as refused:
        assert result == "fail"
        ended = "This run ended a canary, rollback from version 2 to 1: Of 200 answers"
        assert (ended in refused.found) == (counts is BAD)
    assert state(opened) == (after, counts is GOOD and result == "fail")


def test_a_collected_version_is_known_and_one_that_never_was_is_not(tmp_path):
    push = tmp_path / "push"
    for name in ("first", "second", "third"):
        Run(tmp_path / name, name).push_to(push)
    store.collect(push, "shelf", keep=1)

    pushed = find_pushed(str(push), "shelf", [1, 3, 9])
    assert pushed[3].created and not pushed[3].damage
    assert pushed[1].accuracy == {}
    assert 9 not in pushed


def test_a_damaged_manifest_is_named_where_an_accuracy_of_its_version_is_needed(opened):
    (opened / "edge/shelf/2/manifest.json").unlink()
    damage = find_pushed(str(opened), "shelf", [1, 2])[2].damage
    assert damage == "edge/shelf/2/manifest.json: found no file."
    served = Served((ServedVersion(2, tally(*GOOD)),))
    _, judgement = judge_canary(str(opened), "shelf", served, [ServedBound(max_drop=0.1)])
    assert judgement.result == "too_few" and judgement.sentences[0].endswith(f"is not known: {damage}")
    assert end(opened, BAD) == (1, False)
