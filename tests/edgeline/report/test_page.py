"""The HTML of a run; `test_in_chromium.py` tests it in a browser."""

import json
import math
import re
import xml.dom.minidom
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from msgspec import structs

from edgeline.records.evaluation import Confusion
from edgeline.records.ingest import Quarantined
from edgeline.records.run import Step
from edgeline.records.served import PushedVersion
from edgeline.records.training import Epoch
from edgeline.records.verdict import Verdict
from edgeline.report import charts
from edgeline.report.compare import Comparison, pair_slices, render_diff
from edgeline.report.drawing import render_svg
from edgeline.report.facts import Data, Distribution, Evaluation, Facts, Feature, Slice, Training
from edgeline.report.index import render_index
from edgeline.report.page import SECTIONS, View, render_run
from edgeline.report.sources import Sources
from edgeline.report.step_pages import render_page
from edgeline.report.timelines import make_row
from edgeline.report.words import UNKNOWN
from tests.edgeline.report.runs import HOSTILE, a_failed_run, a_hostile_run, a_run, pictures


class Tags(HTMLParser):
    """The tags of a page, its ids and all that it would load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name.startswith("on"):
                self.handlers.append(name)
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "srcset", "data") and value[:1] != "#":
                self.loads.append(value)


def sections(page: str) -> list[str]:
    return re.findall(r'<section id="([^"]+)">', page)


def plain_run() -> Facts:
    """Makes a run whose page has only one chart, since charts take most of the time."""
    facts = a_run()
    return replace(facts, training=None, reliability=None, data=replace(facts.data, features=()))


@pytest.fixture(scope="module")
def page() -> str:
    return render_run(a_run(), pictures(), a_run(id="20260928-030000", weeks=7))


def test_answers_of_phones_are_a_table_by_version_and_one_by_each_kind_of_slice(page):
    text = page[page.index('<section id="served">') :]
    text = text[: text.index("</section>")]
    assert re.findall("<h3>By (.+?)</h3>", text) == ["class", "lane", "variant", "device", "week"]
    first = text[text.index("<tbody>") :]
    assert re.findall('<tr><th>(.+?)</th><td class="minor">100</td>', first[: first.index("</tbody>")]) == [
        "3",
        "2",
    ]
    assert "served" not in sections(render_run(a_failed_run(), {}, None))
    # An accuracy on eval below that of phones is on the scale.
    pushed = {2: PushedVersion("2026-09-28T03:00:00Z", {"overall": {"all": 0.2}})}
    below = render_run(replace(plain_run(), pushed=pushed), {}, None)
    assert "--before: 0.0%" in below and "--before: -" not in below


def test_the_trials_of_a_search_are_a_table_with_the_best_marked_and_as_a_file_to_pin(page):
    text = page[page.index('<section id="search">') : page.index('<section id="training">')]
    rows = re.findall(r"<tr><th>\d.*?</tr>", text, re.DOTALL)
    assert [re.sub("<[^>]+>", " ", row).split()[:4] for row in rows] == [
        ["1", "0.001", "64", "0.4100"],
        ["2", "0.003123", "32", "0.3050"],
        ["3", "0.1", "64", UNKNOWN],
    ]
    assert ["best" in row for row in rows] == [False, True, False]
    assert "failed" in rows[2] and HOSTILE not in rows[2]
    assert "trainer:\n  learning_rate: 0.0031234" in text and "tune:\n  max_trials: 0" in text


def test_a_whole_run_has_every_section_in_order_and_the_page_holds_all_that_it_shows(page):
    assert sections(page) == list(SECTIONS)
    assert page.index("Version 3 of shelf went into production") < page.index("<section")
    assert page.index("<th>Logistic regression</th>") < page.index("<th>The most frequent class</th>")
    tags = Tags(page)
    assert not {"script", "iframe", "object", "embed", "base", "form"} & set(tags.tags)
    assert all(load.startswith("data:") for load in tags.loads)
    assert tags.tags.count("img") == 24 + 12
    assert len(tags.ids) > 50 and len(set(tags.ids)) == len(tags.ids)
    # Neither style.css nor the charts load anything.
    assert not re.search(r"url\((?!#)|@import", page)


def test_a_class_whose_name_is_a_colour_keeps_its_name_in_charts_which_are_the_same_each_time():
    chart = render_svg("t", "", lambda axes: axes.set_xlabel("#000001"))
    assert ">#000001</text>" in chart and chart.count("#000001") == 1 and "var(--muted)" in chart
    assert render_svg("t", "", lambda axes: axes.set_xlabel("#000001")) == chart


def test_charts_are_well_formed_have_only_colours_of_the_theme_and_each_mark_has_its_value_as_a_title(page):
    svgs = re.findall(r"<svg class=.chart.*?</svg>", page, flags=re.DOTALL)
    assert len(svgs) == 1 + 3 + 2 + 1
    for svg in svgs:
        xml.dom.minidom.parseString(
            svg.replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1)
        )
        assert not re.search(r"#[0-9a-fA-F]{6}\b", re.sub(r'(?:id|href)="[^"]*"|url\([^)]*\)', "", svg))
        assert "DejaVu" not in svg and "var(--" in svg
    titles = re.findall(r"<g><title>(.*?)</title>", page)
    assert any(re.fullmatch(r"span-00008: [\d,]+ quarantined", title) for title in titles)
    assert any(re.match(r"epoch 1, eval: accuracy [\d.]+%", title) for title in titles)
    # A training that resumed, or never improved, is drawn too.
    assert charts.draw_training("t", (Epoch(1, math.nan), Epoch(2)), "loss", None).startswith("<svg")


def test_markup_in_labels_names_and_reasons_stays_text():
    page = render_run(a_hostile_run(), pictures(), a_hostile_run())
    assert "<script" not in page and "&lt;script&gt;" in page
    tags = Tags(page)
    assert set(tags.loads) == {load for load in tags.loads if load.startswith("data:")}
    assert tags.tags.count("img") == 2 and "script" not in tags.tags
    assert "a &amp; b $x_1$" in page


def test_settings_that_differ_from_those_of_the_workload_come_first_in_the_lineage_of_spans_that_were_read():
    settings = {"seed": 20, "trainer": {"flip": True, "epochs": 3}}
    facts = plain_run()
    spans = facts.data.spans
    run = replace(facts.run, settings=settings, changed=("trainer.epochs",), tuned={})
    facts = replace(facts, run=run, data=replace(facts.data, spans=(spans[0], *spans[3:])))
    assert list(facts.run.used_settings) == ["trainer.epochs", "seed", "trainer.flip"]
    page = render_run(facts, {}, None)
    assert "Changed from the workload's: trainer.epochs." in page
    assert f"<code>{spans[0].name}, {spans[3].name} to {spans[-1].name}</code>" in page


def test_a_quote_ends_no_attribute_of_any_page(tmp_path):
    quote = "\"'><img src=x onerror=alert(1)>"
    facts = a_run((quote, f"b{quote}"), lanes=2, weeks=2, id=quote)
    feature = Feature(quote, Distribution(values=((quote, 1.0),)))
    steps = (Step(quote, quote, 1.0),)
    mistake = structs.replace(facts.mistakes[0], label=quote, predicted=quote, slices={quote: quote})
    facts = replace(
        facts,
        run=replace(facts.run, steps=steps, libraries={quote: quote}, settings={quote: quote}),
        data=replace(facts.data, features=(feature,), thumbnails=(Quarantined(*[quote] * 6),)),
        mistakes=(mistake,),
        gates=(Verdict(quote, quote, (quote,)),),
        training=None,
        reliability=None,
    )
    (tmp_path / "verdict.json").write_text(json.dumps({"gate": "data", "result": "fail", "reasons": [quote]}))
    pages = [
        render_run(facts, {quote: b"jpeg"}, facts),
        render_index(quote, [make_row(facts, f"file:///{quote}"), make_row(facts, None)]),
        render_diff(Comparison(facts, facts, pair_slices(facts, facts)), [f"file:///{quote}", None]),
        render_page("DataValidator", Sources(data_verdict=tmp_path)),
    ]
    for page in pages:
        tags = Tags(page)
        assert "&lt;img" in page and not tags.handlers
        assert set(tags.loads) <= {f"file:///{quote}", *(load for load in tags.loads if load[:5] == "data:")}


def test_a_run_that_failed_before_its_first_step_says_so_in_three_parts():
    page = render_run(a_failed_run(), {}, None)
    for part in ("The run failed before its first step", "is full.", "could not write.", "Free some space."):
        assert part in page
    assert HOSTILE not in page
    assert "did not get that far: data, training, metrics, edge files" in page


@pytest.mark.parametrize("part", ["data", "evaluation", "edge"])
def test_any_part_may_be_missing(part):
    facts = plain_run()
    page = render_run(replace(facts, **{part: None}), {}, None)
    assert set() < {*sections(page)} < {*View(facts, {}).sections}
    assert "Missing, because files are gone or cannot be read: " in page


def test_a_window_without_a_photo_has_a_page_and_figures_that_are_no_numbers_are_dashes():
    empty = Data(
        splits={"train": 0, "eval": 0},
        classes={"ok": 0},
        spans=(replace(a_run().data.spans[0], rows=0, accepted=0, classes={}, rejected={}),),
    )
    assert "0 photos in train" in render_run(replace(plain_run(), data=empty), {}, None)
    facts = Facts(
        run=a_run().run,
        training=Training(epochs=(Epoch(1), Epoch(2, val_loss=0.5))),
        evaluation=Evaluation((Slice("overall", "all", 0), Slice("class", "ok", 0))),
        data=Data(
            features=(Feature("brightness", Distribution()), Feature("lane_id", Distribution(values=()))),
            spans=a_run().data.spans,
        ),
    )
    page = render_run(facts, {}, facts)
    assert not re.search(r"\bnan\b", page, flags=re.IGNORECASE)
    assert ">\u2013<" in page


@pytest.mark.parametrize(
    "text",
    [
        "14,400 photos a second in batches of 32,",
        "the weights of epoch 12 kept (mean recall of classes 90.0 %)",
        "Waiting for input took 1.2 % of the step time.",
        "<details><summary>The network, layer by layer</summary><pre>Model: dense (Dense) &lt;b&gt;190,803",
        "<th>damaged</th><td>51</td><td>12</td><td>80.0 %</td><td>62.0 % to 94.0 %</td>",
        "70 % of 10<",
        "<tr><th>Logistic regression</th><td>93.1 %</td>"
        '<td class="muted minor">90 % to 95 %</td><td>+0.6</td>',
        "1,200 of 2,000 photos have a suspect label, the surest first.",
        "Judged by the network, and by logistic regression: none of them learned",
        "edgeline data relabel label_issues.csv",
        "<tr><th>temperature</th><td>+12.0</td><td>30.0 %</td></tr>\n<tr><th>colour</th><td>-0.4</td>",
        "21.0 % of 300 photos of span-00008 are unlike all earlier photos (95 % CI 16.6 to 26.2 %",
    ],
)
def test_a_whole_run_has_its_figures(page, text):
    assert text in page.replace("\u00a0", " ").replace("\u2212", "-")


def test_a_held_run_says_what_to_do_next_and_one_without_mistakes_or_the_kept_epoch_says_so():
    training = a_run().training
    short = replace(training, epochs=training.epochs[:8])
    facts = replace(plain_run(), run=a_run(outcome="held").run, training=short, mistakes=())
    page = render_run(replace(facts, edge=structs.replace(facts.edge, eval_examples=100)), {}, None)
    assert "the weights of epoch 12 kept," in page
    assert "no mistake on the eval photos that files were measured on (a sample of 400)." in page
    next_step = "<code>.venv/bin/edgeline diff production 20261005-030000 --workload shelf</code>"
    assert "<h3>Next</h3>" in page and next_step in page


def test_figures_have_their_number_of_groups_and_those_out_of_fold_stand_first():
    facts = plain_run()
    overall = Slice("overall", "all", 4780, 0.92, 0.55, 0.99, groups=4)
    by_folds = Slice("overall", "all", 28_000, 0.784, 0.71, 0.84, groups=34)
    worst = Slice("experiment", "e-17", 900, 0.41, 0.38, 0.44)
    evaluation = Evaluation((overall, worst), None, None, "experiment", (by_folds, worst))
    before = render_run(replace(facts, evaluation=replace(evaluation, out_of_fold=())), {}, None)
    assert "55.0\u00a0% to 99.0\u00a0%, 4 experiments" in before and "<h3>Out of fold</h3>" not in before
    assert ": accuracy 92.0\u00a0% on 4,780 eval photos of 4 experiments." in before
    page = render_run(replace(facts, evaluation=evaluation), {}, None)
    assert "Out-of-fold accuracy" in page and "71.0\u00a0% to 84.0\u00a0%, 34 experiments" in page
    other = replace(evaluation, out_of_fold=(), group="kind of shop")
    assert ", 4 kind of shops</dd>" in render_run(replace(facts, evaluation=other), {}, None)
    assert ": accuracy 78.4\u00a0% on 28,000 out-of-fold photos of 34 experiments." in page
    assert page.index("<h3>Out of fold</h3>") < page.index("<h3>Eval split, by the model itself</h3>")
    assert page.count("<h3>By experiment, worst first</h3>") == page.count("e-17") == 2
    assert "<th>Recall</th>" not in page
    classes = [
        replace(worst, kind="class", name=name, accuracy=share) for name, share in (("a", 0.1), ("b", 0.3))
    ]
    split = replace(evaluation, slices=(overall, classes[0]), out_of_fold=(by_folds, classes[1]))
    figures = {each.name: each.note for each in View(replace(facts, evaluation=split), {}).figures}
    assert figures["Weakest class"] == "b"  # out of fold, as the accuracy beside it
    html = render_run(replace(facts, training=a_run().training, evaluation=evaluation), {}, None)
    assert "measured on experiments that it" in html and "<th>Experiments</th>" in html
    assert "<td>4,780</td><td>4</td><td>92.0\u00a0%</td>" in page


@pytest.mark.e2e
def test_forty_classes_and_forty_lanes_stay_a_small_page():
    facts = a_run(tuple(f"class {n}" for n in range(40)), lanes=40, weeks=26)
    assert len(render_run(facts, pictures(), None)) < 1_500_000


def test_only_the_classes_with_the_most_mistakes_of_hundreds_are_on_the_page():
    facts = plain_run()
    labels = tuple(f"class-{n}" for n in range(300))
    rows = tuple(tuple(9 * (row == column) for column in range(300)) for row in range(299))
    confusion = Confusion(labels, (*rows, (3, *(0 for _ in range(299)))))
    page = render_run(replace(facts, evaluation=replace(facts.evaluation, confusion=confusion)), {}, None)
    matrix = page[page.index('<section id="confusion">') :].partition("</section>")[0]
    assert "The 50 of 300 classes with the most mistakes." in matrix and matrix.count("<td") == 50**2
    assert "<th>class-0</th>" in matrix and "<th>class-299</th>" in matrix


def test_a_page_without_pictures_has_their_texts_and_the_links_that_it_gets(page):
    uri = a_run().run.artifacts[0].uri
    bare = render_run(plain_run(), {}, None, {"All runs": "../index-shelf.html", uri: "../a"})

    assert "<img" not in bare and "It is a copy of 1.jpg." in bare
    assert set(re.findall(r'href="([^#"][^"]*)"', bare)) == {"data:,", "../index-shelf.html", "../a"}
    assert set(re.findall(r'href="([^#"][^"]*)"', page)) == {"data:,"}


def test_the_terms_of_the_sections_that_a_page_has_are_explained_at_its_end(page):
    assert re.findall(r"<dt>(Near twin|Calibration)</dt>", page) == ["Near twin", "Calibration"]
    assert "<code>data.window</code>" in page
    assert not re.findall(r"<dt>(Near twin|Calibration)</dt>", render_run(a_failed_run(), {}, None))
