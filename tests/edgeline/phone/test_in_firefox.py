"""The page in a real Firefox: its proofs, its refusals, its deadlines and its work offline."""

import threading
from typing import Any

import pytest

from tests.edgeline.firefox import FIREFOX, start
from tests.edgeline.phone.pages import MS, SETTLED, serve
from tests.edgeline.phone.releases import CONTENTS, KINDS, forge, push
from tests.edgeline.release.candidates import make_key

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(FIREFOX is None, reason="no Firefox on this machine")]


@pytest.fixture(scope="module")
def firefox(tmp_path_factory):
    with start(tmp_path_factory.mktemp("firefox") / "profile") as firefox:
        yield firefox


def look(firefox) -> str:
    """Asks for a new release, as the button does."""
    firefox.evaluate("document.querySelector('#look').click()")
    firefox.wait("!document.querySelector('#look').disabled")
    return read(firefox, "#status")


def read(firefox, selector: str) -> str:
    return str(firefox.evaluate(f"document.querySelector('{selector}').innerText"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_release_of_each_kind_is_verified_and_answers(stores, firefox, kind):
    with serve(stores, kind) as server:
        firefox.open(server.url)
        firefox.wait(SETTLED)
        assert f"{len(CONTENTS[kind])} golden vectors checked" in read(firefox, "#status")
        assert firefox.evaluate("document.querySelector('#status').className") == "fine"
        details = str(firefox.evaluate("document.querySelector('#details').textContent"))
        assert "3 of 3 decisions as published" in details
        firefox.evaluate("document.querySelector('#example').click()")
        if kind != "photo":
            firefox.evaluate("document.querySelector('#go').click()")
        firefox.wait("document.querySelector('#scores').children.length == 3")


def test_a_forged_pointer_is_refused_a_signed_one_followed_and_the_page_works_offline(
    root, tmp_path, firefox
):
    with serve(root, "row") as server:
        firefox.open(server.url)
        firefox.wait(SETTLED)
        firefox.wait("caches.keys().then(names => names.some(name => name.startsWith(document.baseURI)))")
        push(root, tmp_path / "two", "row", 2)
        server.faults["current.json"] = forge(make_key(2), counter=9)
        assert "not signed with a key that this phone trusts" in look(firefox)
        assert read(firefox, "#version") == "v1"
        server.faults = {}
        assert "Version 2: signature" in look(firefox)
        firefox.wait("caches.match('wasm/litert_wasm_internal.wasm').then(hit => !!hit)")
        url = server.url
    firefox.open(url)
    firefox.wait(SETTLED)
    assert "Version 2: signature" in look(firefox)
    assert "Nothing newer could be asked for since" in read(firefox, "#status")
    firefox.evaluate("document.querySelector('#example').click()")
    firefox.evaluate("document.querySelector('#go').click()")
    firefox.wait("document.querySelector('#scores').children.length == 3")


# Firefox has no clock that a test moves: `expire` ends what the page waits for.
CLOCK = """(() => {
  const set = window.setTimeout, calls = [];
  window.setTimeout = (call, ms) => { calls.push(call); return set(call, ms); };
  window.expire = () => calls.forEach(call => call());
})()"""


def test_an_answer_that_stops_in_its_middle_is_dropped_at_its_deadline(root, tmp_path, firefox):
    asked, over = threading.Event(), threading.Event()

    def stop(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(b"{")
        asked.set()
        over.wait(2 * MS / 1000)

    with serve(root, "row") as server:
        firefox.open(server.url)
        firefox.wait(SETTLED)
        firefox.evaluate(CLOCK)
        push(root, tmp_path / "two", "row", 2)
        server.answers["2/manifest.json"] = stop
        firefox.evaluate("document.querySelector('#look').click()")
        assert asked.wait(MS / 1000)
        firefox.evaluate("window.expire()")
        firefox.wait("!document.querySelector('#look').disabled")
        assert "manifest.json did not arrive within 30 s" in read(firefox, "#status")
        over.set()
