"""The page in a real Firefox and a real WebKit: its proofs, refusals, deadlines and its work offline."""

import threading
from typing import Any

import pytest

from tests.edgeline.engines import Engine, start_firefox, start_webkit
from tests.edgeline.phone.pages import MS, READY, SETTLED, serve
from tests.edgeline.phone.releases import CONTENTS, KINDS, forge, push
from tests.edgeline.release.candidates import make_key

# Chromium takes the same ways in `make test`.
pytestmark = pytest.mark.exhaustive


# WebKit takes the one for browsers without relaxed SIMD.
HAS_RUNTIME = """caches.keys()
  .then(names => caches.open(names.find(name => name.startsWith(document.baseURI))))
  .then(cache => cache.keys())
  .then(keys => keys.filter(({url}) => url.includes("/wasm/")).length == 2)"""


@pytest.fixture(scope="module", params=[start_firefox, start_webkit], ids=["firefox", "webkit"])
def engine(request, tmp_path_factory):
    with request.param(tmp_path_factory.mktemp("engine")) as engine:
        yield engine


def look(engine: Engine) -> str:
    """Asks for a new release, as the button does."""
    engine.wait(READY)
    engine.evaluate("document.querySelector('#look').click()")
    engine.wait(READY)
    return read(engine, "#status")


def read(engine: Engine, selector: str) -> str:
    return str(engine.evaluate(f"document.querySelector('{selector}').innerText"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_release_of_each_kind_is_verified_and_answers(stores, engine, kind):
    with serve(stores, kind) as server:
        engine.open(server.url)
        engine.wait(SETTLED)
        assert f"{len(CONTENTS[kind])} golden vectors checked" in read(engine, "#status")
        assert engine.evaluate("document.querySelector('#status').className") == "fine"
        details = str(engine.evaluate("document.querySelector('#details').textContent"))
        assert "3 of 3 decisions as published" in details
        engine.evaluate("document.querySelector('#example').click()")
        if kind != "photo":
            engine.evaluate("document.querySelector('#go').click()")
        engine.wait("document.querySelector('#scores').children.length == 3")


def test_a_forged_pointer_is_refused_a_signed_one_followed_and_the_page_works_offline(root, tmp_path, engine):
    with serve(root, "row") as server:
        engine.open(server.url)
        engine.wait(SETTLED)
        push(root, tmp_path / "two", "row", 2)
        server.faults["current.json"] = forge(make_key(2), counter=9)
        assert "not signed with a key that this phone trusts" in look(engine)
        assert read(engine, "#version") == "v1"
        server.faults = {}
        assert "Version 2: signature" in look(engine)
        engine.wait(HAS_RUNTIME)
        url = server.url
    engine.open(url)
    engine.wait(SETTLED)
    assert "Version 2: signature" in look(engine)
    assert "Nothing newer could be asked for since" in read(engine, "#status")
    engine.evaluate("document.querySelector('#example').click()")
    engine.evaluate("document.querySelector('#go').click()")
    engine.wait("document.querySelector('#scores').children.length == 3")


# There is no clock that a test moves: `expire` ends what the page waits 30 seconds for.
CLOCK = """(() => {
  const set = window.setTimeout, calls = [];
  window.setTimeout = (call, ms) => { if (ms === 30000) calls.push(call); return set(call, ms); };
  window.expire = () => calls.forEach(call => call());
})()"""


def test_an_answer_that_stops_in_its_middle_is_dropped_at_its_deadline(root, tmp_path, engine):
    asked, over = threading.Event(), threading.Event()

    def stop(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(b"{")
        asked.set()
        over.wait(2 * MS / 1000)

    with serve(root, "row") as server:
        engine.open(server.url)
        engine.wait(SETTLED)
        engine.evaluate(CLOCK)
        server.answers["2/manifest.json"] = stop
        push(root, tmp_path / "two", "row", 2)
        engine.wait(READY)
        engine.evaluate("document.querySelector('#look').click()")
        assert asked.wait(MS / 1000)
        engine.evaluate("window.expire()")
        engine.wait(READY)
        assert "manifest.json did not arrive within 30 s" in read(engine, "#status")
        over.set()
