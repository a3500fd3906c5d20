"""A canary that a push opened is ended by the next run, or waits with a reason."""

import json
import shutil

import pytest

from components.canary import ReleaseSettings, end_canary, find_pushed, judge_canary
from edgeline.errors import DataRefused
from edgeline.gates.settings import ServedBound
from edgeline.records.served import SERVED, Served, ServedVersion
from edgeline.records.verdict import ENDED_CANARY, PUSH, VERDICT, EndedCanary, Verdict
from edgeline.release import store, upkeep
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
def store_with_canary(tmp_path_factory):
    """Pushes a release into production, and a second one that opens a canary; returns the store."""
    folder = tmp_path_factory.mktemp("canary")
    assert Run(folder / "1").push_to(folder / "push", canary_percent=10)[:2] == ("pushed", 1)
    outcome, version, reasons = Run(folder / "2", "second").push_to(folder / "push", canary_percent=10)
    assert (outcome, version) == ("pushed", 2)
    assert reasons[0] == "After this push, 10 % of phones run the candidate, version 2."
    return folder / "push"


@pytest.fixture
def push(store_with_canary, tmp_path):
    return shutil.copytree(store_with_canary, tmp_path / "push", symlinks=True)


def read_state(root):
    """Returns the version in production, and whether a canary is open."""
    return store.current(root, "shelf").version, store.find_rollout(root, "shelf") is not None


def end(root, counts, settings=SETTINGS):
    end_by_run(root, counts, True, settings)
    return read_state(root)


def end_by_run(root, counts, may_promote, settings=SETTINGS):
    served = Served((ServedVersion(2, tally(*counts)),)) if counts else None
    release_settings = ReleaseSettings.model_validate_json(json.dumps(settings))
    return end_canary(str(root), "shelf", "run-7", release_settings, served, may_promote)


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
def test_a_canary_is_promoted_withdrawn_or_waits_by_the_answers_of_phones(push, counts, may_promote, after):
    ended = end_by_run(push, counts, may_promote)
    assert read_state(push) == after and (ended is None) == after[1]
    last = read_history(PushFolder(push), "shelf").last
    if ended:
        assert last.reason.startswith("run run-7: Of 200 answers of version 2 that were drawn")
        assert all(getattr(ended, name) == getattr(last, name) for name in ("action", "from_version"))
        assert ended.to_version == last.to_version
        assert ended.sentence.startswith(f"This run ended a canary, {last.action} from version ")
        assert ": Of 200 answers of version 2" in ended.sentence
    assert store.verify(push, "shelf") == []


def test_a_canary_that_a_person_opened_is_ended_by_a_person(push):
    assert end(push, BAD, settings={**SETTINGS, "push": {}}) == (1, True)


def test_answers_before_the_canary_do_not_end_it(push):
    store.promote(str(push), "shelf", 2, "drill")
    store.rollback(str(push), "shelf", "drill")
    store.rollout(str(push), "shelf", 2, 1, "another try")
    store.rollout(str(push), "shelf", 2, 5, "more of it")
    assert end(push, GOOD) == (1, True) and end(push, BAD) == (1, True)
    assert store.rollback(str(push), "shelf", "a person ends it").version == 1


@pytest.mark.parametrize(("counts", "end_by_hand"), [(GOOD, "rollback"), (BAD, "promote")])
def test_a_person_who_ends_a_canary_while_it_is_judged_has_the_last_word(
    push, monkeypatch, caplog, counts, end_by_hand
):
    def judge_and_be_overtaken(*arguments):
        judgement = judge_canary(*arguments)
        if end_by_hand == "promote":
            store.promote(str(push), "shelf", 2, "a person ends it")
        else:
            store.rollback(str(push), "shelf", "a person ends it")
        return judgement

    monkeypatch.setattr("components.canary.judge_canary", judge_and_be_overtaken)
    assert end(push, counts) == (2 if end_by_hand == "promote" else 1, False)
    assert "The canary is over. Nothing was changed." in caplog.text


def test_a_canary_that_cannot_be_ended_stays_open_and_the_log_says_why(push, caplog):
    with (push / "serving/shelf/2/saved_model.pb").open("ab") as file:
        file.write(b"bit rot")
    assert end(push, GOOD) == (1, True)
    assert "The canary was not ended: shelf 2 is damaged" in caplog.text
    assert end(push, BAD) == (1, False)


def test_while_a_canary_waits_a_new_model_is_held_and_the_same_one_is_unchanged(push, tmp_path):
    outcome, _, reasons = Run(tmp_path / "3", "third").push_to(push, canary_percent=10)
    assert outcome == "held" and reasons == [
        "A canary of version 2 was open, and a new model waits until that has ended: with more answers, or"
        " by `edgeline promote 2 --reason R` or `edgeline rollback --to 1 --reason R`.",
        "evaluation.served has no bound that blocks.",
    ]
    outcome, version, reasons = Run(tmp_path / "4", "second", run="run-4").push_to(push)
    assert (outcome, version) == ("unchanged", 2)
    assert reasons == ["This model was tried already: 10 % of phones run the candidate, version 2."]
    assert read_state(push) == (1, True)


@pytest.mark.parametrize(
    ("result", "counts", "after"), [("pass", GOOD, 2), ("fail", GOOD, 1), ("fail", BAD, 1)]
)
def test_the_gate_ends_a_canary_before_the_run_goes_on_and_a_refused_week_promotes_nothing(
    push, tmp_path, result, counts, after
):
    VERDICT.write(tmp_path / "found", Verdict("data", result, ("Dark.",), spans=("span-00002",)))
    SERVED.write(tmp_path / "found", Served((ServedVersion(2, tally(*counts)),)))
    properties = {"model_name": "shelf", "push": str(push), "recorded": json.dumps(SETTINGS), "run": "run-7"}
    try:
        admit(tmp_path, **properties)
    except DataRefused as error:
        assert result == "fail"
        ending = "This run ended a canary, rollback from version 2 to 1: Of 200 answers"
        assert (ending in error.found) == (counts is BAD)
    assert read_state(push) == (after, counts is GOOD and result == "fail")
    ended = ENDED_CANARY.find(tmp_path / "accepted")
    assert (ended is not None and ended.action == "promote") == (result == "pass")


def test_a_run_that_ended_a_canary_says_so_with_its_push(push, tmp_path):
    ended = EndedCanary("promote", 1, 2, "Of 200 answers 190 were right.")
    ENDED_CANARY.write(tmp_path / "3" / "accepted", ended)
    run = Run(tmp_path / "3", "third", evaluation="fail")
    _, _, reasons = run.push_to(push)
    assert reasons[-1] == ended.sentence and PUSH.read(tmp_path / "3" / "pushed").ended_canary == ended


def test_a_collected_version_is_known_and_one_that_never_was_is_not(tmp_path):
    push = tmp_path / "push"
    for name in ("first", "second", "third"):
        Run(tmp_path / name, name).push_to(push)
    upkeep.collect_releases(push, "shelf", keep=1)

    versions = find_pushed(str(push), "shelf", [1, 3, 9])
    assert versions[3].created and not versions[3].damage
    assert versions[1].accuracy == {}
    assert 9 not in versions


def test_a_damaged_manifest_is_named_where_an_accuracy_of_its_version_is_needed(push):
    (push / "edge/shelf/2/manifest.json").unlink()
    damage = find_pushed(str(push), "shelf", [1, 2])[2].damage
    assert damage == "edge/shelf/2/manifest.json: found no file."
    served = Served((ServedVersion(2, tally(*GOOD)),))
    _, judgement = judge_canary(str(push), "shelf", served, [ServedBound(max_drop=0.1)])
    assert judgement.result == "too_few" and judgement.sentences[0].endswith(f"is not known: {damage}")
    assert end(push, BAD) == (1, False)
