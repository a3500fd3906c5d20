"""The page against a server that stays silent, never ends, holds back what is new or names another key."""

import csv
import io
import json
import threading
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from data.importers.phone import import_export, unpack
from data.spans.layout import find_spans
from edgeline.release import store
from tests.edgeline.phone.pages import MS, READY, Phone, serve, wait
from tests.edgeline.phone.releases import LABELS, at, forge, push
from tests.edgeline.release.candidates import make_key, name_key

pytestmark = pytest.mark.e2e

OLD, NEW = make_key(), make_key(2)
OLD_NAME, NEW_NAME = name_key(1), name_key(2)
SINCE = f"Nothing newer could be asked for since {date.today():%B} {date.today().day}, {date.today().year}."
NEEDED = ("labels.txt", "preprocessing.json", "model_fp32.tflite", "golden.json", "tensors.bin")
OVER = "goes on, but its answers may be out of date: the pointer expired at"


class Attack:
    """Answers of a server that does not behave; `asked` is set when one began."""

    def __init__(self) -> None:
        self.asked, self.over = threading.Event(), threading.Event()

    def stay_silent(self, _: Any) -> None:
        self.asked.set()
        self.over.wait(10 * MS / 1000)

    def drip(self, handler: Any) -> None:
        self._begin(handler)
        while not self.over.wait(0.5):
            handler.wfile.write(b" ")

    def answer_without_end(self, handler: Any) -> None:
        self._begin(handler)
        while not self.over.is_set():
            handler.wfile.write(bytes(2**16))

    def _begin(self, handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        self.asked.set()


@pytest.fixture
def attack():
    made = Attack()
    yield made
    made.over.set()


def list_sizes(root: Path, version: int) -> dict[str, int]:
    """Returns the size of each file of a release by its name."""
    return {Path(file.path).name: file.size for file in store.get(root, "row", version).manifest.files}


def open_with_clock(open_phone: Callable[..., Phone], url: str) -> Phone:
    """Opens a page whose clock the test moves."""
    phone = open_phone(url)
    phone.page.clock.install()
    phone.reload()
    return phone


def look_past(phone: Phone, attack: Attack, seconds: int) -> str:
    """Asks for a new release, and lets so many seconds go by as soon as the server was asked."""
    attack.asked.clear()
    wait(phone.page, READY)
    phone.page.evaluate("document.querySelector('#look').click()")
    assert attack.asked.wait(MS / 1000)
    phone.page.clock.fast_forward(1000 * seconds)
    wait(phone.page, READY)
    return phone.status()


@pytest.mark.parametrize("kind", ["stay_silent", "drip"])
def test_a_server_that_does_not_end_an_answer_does_not_stop_the_updates_of_any_tab(
    root, tmp_path, open_phone, attack, kind
):
    with serve(root, "row") as server:
        phone = open_with_clock(open_phone, server.url)
        other = phone.open(server.url)
        push(root, tmp_path / "two", "row", 2)
        server.answers["current.json"] = getattr(attack, kind)
        status = look_past(phone, attack, 31)
        assert SINCE in status and "Version 1: signature" in status and phone.is_fine
        sizes = list_sizes(root, 2)
        seconds = 30 + -(-sum(sizes[name] for name in NEEDED) // 10_000)  # they come side by side
        # The clock moves for the files beside the slow one too: the first of those on their way is named.
        for name, beside, most in (
            ("manifest.json", ["manifest.json"], 30),
            ("model_fp32.tflite", NEEDED, seconds),
        ):
            server.answers = {f"2/{name}": getattr(attack, kind)}
            status = look_past(phone, attack, most + 1)
            assert any(f"{file} did not arrive within {most} s" in status for file in beside)
            assert "version 1 stays" in status
            assert SINCE not in status
        server.answers = {}
        assert "Version 2: signature" in phone.look(other)
        wait(phone.page, "document.querySelector('#version').textContent == 'v2'")


def test_an_answer_without_an_end_is_dropped_at_its_bound(root, tmp_path, open_phone, attack):
    with serve(root, "row") as server:
        phone = open_phone(server.url)
        push(root, tmp_path / "two", "row", 2)
        sizes = list_sizes(root, 2)
        for path, most in (
            ("current.json", 4_000_000),
            ("2/manifest.json", 4_000_000),
            ("2/labels.txt", sizes["labels.txt"]),
        ):
            server.answers = {path: attack.answer_without_end}
            status = phone.look()
            assert f"{Path(path).name} has more than the {most} bytes that it may have." in status
            assert "version 1 stays" in status and not phone.is_fine
        server.answers = {}
        assert "Version 2: signature" in phone.look()


@pytest.mark.parametrize("end", ["js", "wasm"])
def test_a_runtime_that_does_not_arrive_is_asked_for_again(stores, browser, attack, end):
    with serve(stores, "row") as server:
        context = browser.new_context(locale="en-US")
        page = context.new_page()
        page.clock.install()
        server.answers[f"wasm/litert_wasm_internal.{end}"] = attack.stay_silent
        page.goto(server.url)
        assert attack.asked.wait(MS / 1000)
        server.answers = {}
        page.clock.fast_forward(1000 * 1031)
        reason = f"litert_wasm_internal.{end} did not arrive within 1030 s"
        wait(page, f"document.querySelector('#status').textContent.includes({reason!r})")
        wait(page, READY)
        page.evaluate("document.querySelector('#look').click()")
        wait(page, "document.querySelector('#status').textContent.startsWith('Version 1: signature')")
        context.close()


def test_a_worker_that_is_not_answered_leaves_the_page_as_it_was(stores, open_phone, attack):
    with serve(stores, "row") as server:
        phone = open_phone(server.url)
        wait(phone.page, "caches.match('wasm/litert_wasm_internal.js').then(found => !!found)")
        server.answers["phone.json"] = attack.answer_without_end
        phone.reload()
        assert phone.is_fine and phone.answer()[1]


def test_a_page_that_stays_open_or_is_opened_says_when_its_release_is_over(root, open_phone):
    with serve(root, "row") as server:
        server.faults["current.json"] = forge(counter=2, expires=at(1))
        phone = open_with_clock(open_phone, server.url)
        wait(phone.page, "caches.match('wasm/litert_wasm_internal.js').then(found => !!found)")
        assert phone.is_fine and "Nothing newer" not in phone.status()
        server.end()
        phone.context.set_offline(True)
        phone.page.clock.fast_forward("25:00:00")
        wait(phone.page, f"document.querySelector('#status').textContent.includes({OVER!r})")
        assert SINCE in phone.status() and not phone.is_fine and phone.answer()[1]
        phone.page.clock.fast_forward(90 * 24 * 3_600_000)
        phone.reload()
        assert "version 1 expired at" in phone.status() and OVER in phone.status()
        assert SINCE in phone.status() and not phone.is_fine and phone.answer()[1]


def test_where_phone_json_says_so_a_release_that_is_over_does_not_answer(root, open_phone):
    with serve(root, "row", expired="refuse") as server:
        server.faults["current.json"] = forge(counter=2, expires=at(1))
        phone = open_with_clock(open_phone, server.url)
        assert phone.is_fine and phone.answer()[1]
        server.answers["current.json"] = lambda handler: handler.send_error(503)
        phone.page.evaluate("document.querySelector('#answer').hidden = true")
        # Between two looks too.
        phone.page.clock.set_system_time(at(2))
        phone.page.click("#go")
        assert phone.page.is_hidden("#ask") and phone.page.is_hidden("#answer")
        assert "Version 1 does not answer any more: the pointer expired at" in phone.status()
        server.answers = {}
        server.faults["current.json"] = forge(counter=3, expires=at(9))
        phone.look()
        assert phone.is_fine and phone.answer()[1]


def test_another_key_in_phone_json_is_used_only_after_a_person_agreed(root, open_phone):
    with serve(root, "row") as server:
        phone = open_phone(server.url)
        assert phone.page.is_hidden("#rekey")
        server.faults["current.json"] = forge(counter=9)
        assert "Version 1: signature" in phone.look()
        server.site.keys = [NEW_NAME]
        phone.reload()
        assert "Version 1: signature" in phone.look() and phone.is_fine
        question = phone.page.inner_text("#keys")
        assert f"({NEW_NAME[:8]} \u2026)" in question and f"({OLD_NAME[:8]} \u2026)" in question
        server.faults["current.json"] = forge(NEW, counter=2)
        assert f"not signed with a key that this phone trusts ({OLD_NAME})" in phone.look()

        phone.page.click("#trust")  # counters start anew
        wait(phone.page, "document.querySelector('#status').className == 'fine'")
        assert phone.page.is_hidden("#rekey") and NEW_NAME in phone.page.text_content("#details")
        server.faults["current.json"] = forge(OLD, counter=10)
        assert f"not signed with a key that this phone trusts ({NEW_NAME})" in phone.look()


def test_a_key_that_phone_json_no_longer_names_stays_required(root, open_phone):
    with serve(root, "row") as server:
        phone = open_phone(server.url)
        server.site.keys = []
        phone.reload()
        assert phone.is_fine and phone.page.is_hidden("#rekey")
        for key in (NEW, None):
            server.faults["current.json"] = forge(key, counter=9)
            assert f"not signed with a key that this phone trusts ({OLD_NAME})" in phone.look()


def test_of_two_keys_that_were_named_from_the_start_the_older_one_ends_with_the_newer(root, open_phone):
    with serve(root, "row", keys=[OLD_NAME, NEW_NAME]) as server:
        phone = open_phone(server.url)
        assert phone.is_fine and OLD_NAME in phone.page.text_content("#details")
        server.faults["current.json"] = forge(NEW)
        assert "Version 1: signature" in phone.look() and phone.is_fine
        server.faults = {}
        assert f"not signed with a key that this phone trusts ({NEW_NAME})" in phone.look()
        phone.reload()
        assert phone.page.is_hidden("#rekey")


# Makes the state that pages kept before they knew of several keys, and of the time of the last answer.
FORGET = """new Promise((ok, failed) => {
  const open = indexedDB.open("edgeline / row");
  open.onsuccess = () => {
    const work = open.result.transaction("kept", "readwrite"), store = work.objectStore("kept");
    store.delete("checked");
    store.get("bundle").onsuccess = ({target: {result: {keys, ...bundle}}}) => store.put(bundle, "bundle");
    [work.oncomplete, work.onabort] = [ok, failed];
  };
})"""


def test_the_state_of_earlier_pages_has_its_release_and_its_key(root, open_phone):
    with serve(root, "row") as server:
        phone = open_phone(server.url)
        phone.page.evaluate(FORGET)
        server.faults["phone.json"] = lambda raw: json.dumps(
            {"model": "row", "key": NEW_NAME, "store": "store"}
        ).encode()
        phone.reload()
        assert phone.is_fine and NEW_NAME[:8] in phone.page.inner_text("#keys")
        server.faults["current.json"] = forge(NEW, counter=9)
        assert f"not signed with a key that this phone trusts ({OLD_NAME})" in phone.look()


def test_a_text_that_begins_like_a_formula_is_none_in_the_export_and_comes_back(stores, open_phone, tmp_path):
    texts = ['=HYPERLINK("http://evil", "sun")', "-2+3 sun", "'=sun", "-7 "]
    with serve(stores, "text") as server:
        phone = open_phone(server.url)
        for text in texts:
            phone.page.fill("#text", text)
            phone.page.click("#go")
            phone.read_answer()
            phone.page.select_option("#right", LABELS[2])
            phone.page.click("#save")
            wait(phone.page, "document.querySelector('#saved').textContent")
        with phone.page.expect_download() as download:
            phone.page.click("#export")
        source = Path(download.value.path())
    with zipfile.ZipFile(source) as archive:
        table = io.TextIOWrapper(archive.open("texts.csv"), encoding="utf-8", newline="")
        cells = [row["text"] for row in csv.DictReader(table)]
    assert cells == [f"'{text}" for text in texts]
    with unpack(source) as (folder, _):
        import_export(folder, tmp_path / "data", lambda: None, lambda *_: None)
    (span,) = find_spans(tmp_path / "data")
    with (Path(str(span.path)) / "texts.csv").open(encoding="utf-8", newline="") as file:
        assert [row["text"] for row in csv.DictReader(file)] == texts
