"""The pages in a real browser without a network: they load nothing, log nothing, and fit."""

from pathlib import Path

import pytest

from edgeline.records.json_file import encode
from edgeline.report.compare import render_diff
from edgeline.report.index import render_index
from edgeline.report.page import render_run
from edgeline.report.sources import Sources
from edgeline.report.step_pages import render_page
from edgeline.report.timelines import make_row
from tests.edgeline.report.runs import a_failed_run, a_hostile_run, a_run, pictures
from tests.edgeline.report.test_compare import compare
from tests.edgeline.report.test_decay import HISTORY
from tests.edgeline.report.test_index import weeks

pytestmark = pytest.mark.e2e

# In CSS pixels: a narrow phone, and a desk.
PHONE, DESK = 360, 1400
# The sections of tables that are wider than their column.
SPILLING = """
[...document.querySelectorAll(".scroll")].filter((box) => box.scrollWidth > box.clientWidth)
  .map((box) => box.closest("section").id)
"""
# The texts of charts that are wider than their chart.
CUT_OFF = """
[...document.querySelectorAll("svg.chart")].flatMap((chart) => {
  const { left, right } = chart.getBoundingClientRect();
  const boxes = [...chart.querySelectorAll("text")].map((it) => [it.textContent, it.getBoundingClientRect()]);
  return boxes.filter(([, box]) => box.left < left - 1 || box.right > right + 1).map(([text]) => text);
})
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """Writes a file for each page."""
    folder = tmp_path_factory.mktemp("pages")
    many = tuple(f"a class with a name that is long {n}" for n in range(12))
    texts = {
        "run": render_run(a_run(), pictures(), a_run(id="20260928-030000", weeks=7)),
        "wide": render_run(a_run(many, weeks=26), pictures(), None),
        "hostile": render_run(a_hostile_run(), pictures(), a_hostile_run()),
        "failed": render_run(a_failed_run(), {}, None),
        "index": render_index("shelf", [*weeks(60), make_row(a_failed_run(), None)]),
        "aged": render_index("shelf", [*HISTORY, make_row(a_run(("x" * 60, "ok")), None)]),
        "diff": render_diff(compare(a_run(many), a_hostile_run()), [None, None]),
    }
    for name, page in texts.items():
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


class Tab:
    """A page in a context of its own, with its messages and requests."""

    def __init__(self, browser, path, width=DESK, scheme="light"):
        self.context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        self.context.set_offline(True)
        self.page = self.context.new_page()
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.messages.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.close()

    def color(self, selector, name="color"):
        return self.page.eval_on_selector(selector, f"e => getComputedStyle(e).{name}")


@pytest.mark.parametrize("name", ["run", "wide", "hostile", "failed", "index", "aged", "diff"])
def test_a_page_logs_nothing_loads_nothing_and_fits_a_phone_and_a_desk(browser, pages, name):
    with Tab(browser, pages[name], PHONE) as tab:
        outside = [url for url in tab.requests if not url.startswith("data:")]
        assert outside == [pages[name].as_uri()]
        assert tab.messages == []
        assert tab.page.evaluate("document.documentElement.scrollWidth") == PHONE
        # Text of the charts too stays readable: 11 pixels on a desk, and at least 9 here.
        sizes = tab.page.evaluate(
            "[...document.querySelectorAll('svg.chart')].filter(s => s.clientWidth)"
            ".map(s => 11 * s.clientWidth / s.viewBox.baseVal.width)"
        )
        assert all(size > 9 for size in sizes)
        assert tab.page.evaluate(CUT_OFF) == []
        # On a desk each table is shown whole, but those with a column for each of many weeks or classes.
        tab.page.set_viewport_size({"width": DESK, "height": 800})
        assert name == "wide" or tab.page.evaluate(SPILLING) == []


def test_two_runs_are_chosen_and_compared_without_a_server(browser, pages):
    with Tab(browser, pages["index"], PHONE) as tab:
        first, second = tab.page.locator("#compare select").all()
        # The newest is the run that failed.
        assert "failed" in second.inner_text().splitlines()[0]
        first.select_option(index=2)
        second.select_option(index=5)
        rows = [row.split("\t") for row in tab.page.inner_text("#compare table").splitlines()]
        assert ["Outcome", "pushed", "data refused"] in rows
        second.select_option(index=6)
        assert "within noise" in tab.page.inner_text("#compare table")
        assert tab.page.evaluate("document.documentElement.scrollWidth") == PHONE
        assert tab.messages == []


@pytest.mark.parametrize("name", ["run", "wide"])
def test_the_report_fits_the_panel_of_a_cluster_s_ui_and_its_links_stay_in_it(browser, pages, tmp_path, name):
    """The UI of Kubeflow Pipelines shows it as text in a frame that may only run scripts."""
    (tmp_path / "report.html").write_text(pages[name].read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "facts.json").write_bytes(encode(a_run()))
    frame = '<iframe src="about:blank" sandbox="allow-scripts" width="480" height="600"></iframe>'
    with Tab(browser, pages[name]) as tab:
        tab.page.route(
            "http://ui/**",
            lambda route: route.fulfill(body=f"<!DOCTYPE html>{frame}", content_type="text/html"),
        )
        tab.page.goto("http://ui/#/runs/details/1")
        html = render_page("RunReport", Sources(report=tmp_path))
        tab.page.eval_on_selector("iframe", "(frame, html) => { frame.srcdoc = html }", html)
        panel = tab.page.frames[1]
        panel.click("nav a[href='#metrics']")
        # The page's policy lets Playwright's `wait_for_function` evaluate nothing in it.
        panel.evaluate(
            """async () => {
              const top = () => document.querySelector("#metrics").getBoundingClientRect().top;
              while (Math.abs(top()) >= 40) await new Promise(requestAnimationFrame);
            }"""
        )
        assert panel.evaluate("document.documentElement.scrollWidth <= innerWidth")
        spilling = panel.evaluate(SPILLING)
        # These have a column for each week or setting; on the wide page long names may not fit either.
        assert name == "wide" or set(spilling) <= {"quarantine", "search"}


def luminance(color: str) -> float:
    red, green, blue = (int(part) for part in color.removeprefix("rgb(").rstrip(")").split(","))
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255


def test_each_theme_has_its_colours_in_charts_too(browser, pages):
    levels = {}
    for scheme in ("light", "dark"):
        with Tab(browser, pages["run"], scheme=scheme) as tab:
            behind = tab.color("section", "backgroundColor")
            text = tab.color("section h2")
            chart = tab.color("svg.chart text", "fill")
            assert abs(luminance(text) - luminance(behind)) > 0.6
            assert abs(luminance(chart) - luminance(behind)) > 0.25
            levels[scheme] = luminance(behind)
    assert levels["light"] > 0.9 and levels["dark"] < 0.2


def test_it_prints_in_light_colours_with_every_row(browser, pages, tmp_path):
    with Tab(browser, pages["run"], scheme="dark") as tab:
        tab.page.emulate_media(media="print", color_scheme="dark")
        assert luminance(tab.color("section", "backgroundColor")) > 0.9
        cut = tab.page.evaluate(
            "[...document.querySelectorAll('.scroll')]"
            ".filter(box => box.scrollHeight > box.clientHeight + 1).length"
        )
        assert cut == 0
        # The width of an A4 page between its margins.
        tab.page.set_viewport_size({"width": 718, "height": 1000})
        assert tab.page.evaluate("document.documentElement.scrollWidth") == 718
        paper = tmp_path / "report.pdf"
        tab.page.pdf(path=str(paper), format="A4")
        assert paper.read_bytes().startswith(b"%PDF") and paper.stat().st_size > 20_000


def test_every_picture_is_shown(browser, pages):
    with Tab(browser, pages["run"]) as tab:
        widths = tab.page.evaluate("[...document.images].map(image => image.naturalWidth)")
        assert len(widths) == 36 and set(widths) == {96}
