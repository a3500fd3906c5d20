"""The model card; the parts that it shares with the page of a run have tests there."""

from dataclasses import replace

import pytest

from edgeline.records.evaluation import Confusion
from edgeline.report.card import list_limits, render_card
from edgeline.report.facts import Facts
from edgeline.report.page import View
from tests.edgeline.report.runs import HOSTILE, a_hostile_run, a_run, a_slice
from tests.edgeline.report.test_page import Tags, sections

LABELS = ("ok", "misplaced", "damaged")


@pytest.fixture(scope="module")
def card() -> str:
    return render_card(a_run(version=None, seconds=None), 4, LABELS, "MIT", "Photos of our own shelves.")


def get_limits(facts: Facts) -> list[str]:
    return [each.replace("\xa0", " ") for each in list_limits(facts, View(facts, {}).nouns)]


def test_a_card_names_its_run_labels_licence_and_data(card):
    assert "<h1>Model card: shelf, version 4</h1>" in card
    assert "Made by run 20261005-030000 on 2026-10-05." in card
    assert "ok, misplaced, damaged" in card and "MIT" in card and "Photos of our own shelves." in card
    empty = render_card(Facts(run=a_run().run), 4, LABELS, None, None)
    assert "not stated (push.licence)" in empty and "not stated (push.data_statement)" in empty


def test_a_card_has_data_metrics_files_and_settings_but_no_photo_nor_text_and_loads_nothing(card):
    assert sections(card)[:2] == ["use", "limits"] and "<li>Weakest class: " in card
    assert {"data", "metrics", "confusion", "edge", "training", "search", "lineage"} <= {*sections(card)}
    tags = Tags(card)
    assert tags.handlers == [] and all(url.startswith("data:,") for url in tags.loads)
    assert "script" not in tags.tags and len(tags.ids) == len({*tags.ids})
    assert not {"mistakes", "quarantine", "label_issues", "photo_drift", "features"} & {*sections(card)}
    assert "<img" not in card and "data:image" not in card


def test_a_card_says_on_how_many_examples_the_temperature_was_fitted(card):
    text = card.replace("\xa0", " ")
    assert "Logits were divided by 0.87" in text
    assert "fitted on 214 photos of train that the answering models did not learn from." in text
    assert "The threshold of <code>unlike</code> is from 210." in text
    assert "The model did not learn from 214 photos of train, which were held out for this." in text
    assert '<th class="minor">Oldest TFLite</th>' in card


def test_markup_in_texts_of_people_is_shown_as_text():
    uncharted = replace(a_hostile_run(), data=None, training=None, reliability=None)
    hostile = render_card(uncharted, 4, (HOSTILE, "ok"), HOSTILE, HOSTILE)
    assert "<script" not in hostile and "&lt;script&gt;" in hostile


def test_limits_are_those_that_the_run_measured():
    facts = a_run()
    limits = get_limits(facts)
    assert limits[0].startswith("It learned from span-00001 to span-00008; nothing is known of photos unlike")
    assert any(each.startswith("Weakest class: ") and "95 % CI" in each for each in limits)
    assert "A processor" in limits[-1] and limits[-1].endswith("not of a phone.")
    evaluation = replace(
        facts.evaluation,
        slices=(
            a_slice("overall", "all", 90, 100),
            a_slice("class", "ok", 80, 85),
            a_slice("class", "torn", 10, 15),
            replace(a_slice("lane", "lane-01", 30, 40), groups=1),
            a_slice("session", "s1", 1, 2),
        ),
        group="session",
        confusion=None,
    )
    limits = get_limits(Facts(run=facts.run, evaluation=evaluation))
    assert limits == [
        "Weakest class: torn, right on 66.7 % of 15 examples (95 % CI 41.7 % to 84.8 %).",
        "Measured on fewer than 30 examples, by class: torn.",
        "Weakest lane: lane-01, right on 75.0 % of 40 examples (of one session).",
    ]
    matrix = Confusion(("ok", "torn", "wet"), ((80, 5, 0), (5, 10, 0), (0, 0, 0)))
    limits = get_limits(Facts(run=facts.run, evaluation=replace(evaluation, confusion=matrix)))
    assert limits[-1] == "Not measured, for lack of eval examples: wet."
    assert get_limits(Facts(run=facts.run)) == []
