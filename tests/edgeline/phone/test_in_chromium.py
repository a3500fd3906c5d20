"""The page in a real browser: its proofs, its refusals with their reasons, and its work offline."""

import csv
import io
import json
import re
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data.photos.labels_file import read_labels
from data.spans.layout import find_spans
from edgeline.cli.phone import find_address
from edgeline.edge.interpreter import preprocess
from edgeline.errors import EdgelineError
from edgeline.phone import site as sites
from edgeline.phone.certificate import make_certificate
from edgeline.release import store
from edgeline.tables.sheets import unmark_cell
from runners.cli.main import main
from tests.edgeline.edge.contracts.test_image import KINDS, jpeg, scene
from tests.edgeline.phone.pages import MS, Phone, serve, wait
from tests.edgeline.phone.releases import CANARY, CONTENTS, CONTRACTS, FAULTS, at, forge, make_files, push
from tests.edgeline.phone.releases import KINDS as RELEASES
from tests.edgeline.release.candidates import make_key, vouch

pytestmark = pytest.mark.e2e

KEY = make_key()


@pytest.mark.parametrize("kind", RELEASES)
def test_a_release_of_each_kind_is_verified_and_answers_as_the_interpreter_does(
    stores, open_phone, kind, tmp_path
):
    with serve(stores, kind) as server:
        phone = open_phone(server.url)
        assert phone.is_fine and f"{len(CONTENTS[kind])} golden vectors checked" in phone.status()
        close, values, decisions, vectors = phone.read_details()
        assert close >= 0.999 * values and decisions == vectors == len(CONTENTS[kind])
        label, scores = phone.answer()
        golden = json.loads((stores / f"edge/{kind}/1/golden/golden.json").read_text())["examples"][0]
        expected = golden["scores"]["fp32" if kind == "text" else "int8"]
        assert [scores[name] for name in ("ok", "misplaced", "damaged")] == pytest.approx(expected, abs=0.01)
        assert label == max(scores, key=scores.__getitem__)


def test_photos_of_every_form_give_the_tensors_of_python(tmp_path, open_phone):
    """Decoders of JPEG may differ in a few values by more than a level."""
    # No browser reads TIFF, and Chromium reads no HEIC.
    left_out = ("TIFF", "HEIC")
    photos = [make(scene(640, 480)) for name, make in KINDS.items() if name not in left_out]
    photos += [KINDS["JPEG"](scene(4000, 3000)), KINDS["orientation 6"](scene(2250, 3000)), jpeg(6000, 400)]
    push(tmp_path / "push", tmp_path / "work", "camera", contents=photos)
    with serve(tmp_path / "push", "camera") as server:
        phone = open_phone(server.url)
        assert phone.is_fine, phone.status()
        close, values, decisions, vectors = phone.read_details()
        assert close >= 0.999 * values and decisions == vectors == len(photos)


def test_a_new_release_comes_into_use_and_works_in_flight_mode_after_the_server_is_gone(
    root, tmp_path, open_phone
):
    with serve(root, "row") as server:
        phone = open_phone(server.url)
        before = phone.answer()
        push(root, tmp_path / "two", "row", 2)
        assert "Version 2: signature" in phone.look() and phone.version() == "v2"
        after = phone.answer()
        assert after != before
        wait(phone.page, "caches.match('wasm/litert_wasm_internal.js').then(found => !!found)")
        server.end()
        phone.context.set_offline(True)
        phone.page.reload()
        phone.page.wait_for_selector("#ask:not([hidden])", timeout=MS)
        assert "Version 2: signature" in phone.look() and phone.is_fine
        phone.page.click("#example")
        assert phone.answer() == after
        versions = phone.page.evaluate(
            "new Promise(ok => { const open = indexedDB.open('edgeline / row'); open.onsuccess = () => {"
            " const all = open.result.transaction('kept').objectStore('kept').getAll();"
            " all.onsuccess = () => ok(all.result.flatMap(each => each.seen?.version ?? [])) } })"
        )
        assert versions == [2]  # the bundle before is gone


def test_a_page_that_was_renewed_still_answers_in_flight_mode(stores, open_phone, tmp_path, monkeypatch):
    with serve(stores, "row") as server:
        phone = open_phone(server.url)
        wait(phone.page, "caches.match('wasm/litert_wasm_internal.js').then(found => !!found)")
        shutil.copytree(sites._PAGE, tmp_path / "page")
        worker = tmp_path / "page/worker.js"
        worker.write_text(re.sub(r"\b[0-9a-f]{16}\b", "f" * 16, worker.read_text()))
        monkeypatch.setattr(sites, "_PAGE", tmp_path / "page")
        phone.page.reload()
        wait(
            phone.page,
            "caches.keys().then(names => names.length == 1 && names[0].endsWith(' ffffffffffffffff'))",
        )
        server.end()
        phone.context.set_offline(True)
        phone.page.reload()
        assert phone.answer()[1]


def test_a_network_that_does_not_answer_does_not_hold_up_the_page(stores, open_phone):
    with serve(stores, "row") as server:
        phone = open_phone(server.url)
        wait(phone.page, "caches.match('wasm/litert_wasm_internal.js').then(found => !!found)")
        over = threading.Event()
        server.faults["phone.json"] = lambda raw: raw if over.wait(MS / 1000) else None
        phone.page.reload()
        phone.page.wait_for_selector("#ask:not([hidden])", timeout=MS / 2)
        over.set()


def test_a_browser_that_asks_a_person_before_it_keeps_the_release_goes_on(root, open_phone, tmp_path):
    with serve(root, "row") as server:
        phone = open_phone(server.url)
        phone.context.add_init_script("navigator.storage.persist = () => new Promise(() => {})")
        push(root, tmp_path / "two", "row", 2)
        phone.reload()
        assert "Version 2: signature" in phone.look()


def test_a_login_page_in_place_of_the_configuration_is_not_kept(stores, open_phone):
    with serve(stores, "row") as server:
        phone = open_phone(server.url)
        wait(phone.page, "caches.match('wasm/litert_wasm_internal.js').then(found => !!found)")
        server.faults["phone.json"] = lambda _: b"<html>log in</html>"
        phone.reload()
        assert phone.is_fine and phone.answer()[1]
        server.end()
        phone.context.set_offline(True)
        phone.reload()
        assert phone.is_fine and phone.answer()[1]


def test_a_kept_release_that_can_no_longer_be_opened_is_replaced(root, open_phone, tmp_path):
    with serve(root, "row") as server:
        phone = open_phone(server.url)
        phone.page.evaluate(SPOIL)
        phone.reload()
        assert "Version 1: signature" in phone.look() and phone.answer()[1]
        phone.page.evaluate(SPOIL)
        push(root, tmp_path / "two", "row", 2)
        phone.reload()
        assert "Version 2: signature" in phone.look() and phone.answer()[1]


# Changes the kept contract to another version, which this page does not read.
SPOIL = """new Promise((ok, failed) => {
  const open = indexedDB.open("edgeline / row");
  open.onsuccess = () => {
    const work = open.result.transaction("kept", "readwrite"), store = work.objectStore("kept");
    const get = store.get("bundle"), name = "preprocessing.json";
    get.onsuccess = () => {
      const bundle = get.result, text = new TextDecoder().decode(bundle.files[name]);
      const changed = text.replace('"version": 3', '"version": 2');
      bundle.files[name] = new TextEncoder().encode(changed).buffer;
      store.put(bundle, "bundle");
    };
    [work.oncomplete, work.onabort] = [ok, failed];
  };
})"""


@pytest.fixture(scope="module")
def two(stores, tmp_path_factory):
    """Copies the stores and pushes a second release of rows."""
    folder = tmp_path_factory.mktemp("two")
    shutil.copytree(stores, folder / "push")
    push(folder / "push", folder / "work", "row", 2)
    return folder / "push"


def test_each_fault_of_a_server_is_refused_by_name_and_the_last_good_release_goes_on(two, stores, open_phone):
    with serve(two, "row") as server:
        first = (stores / "edge/row/current.json").read_bytes()
        server.faults["current.json"] = lambda raw: first
        phone = open_phone(server.url)
        assert phone.is_fine and phone.version() == "v1"
        before = phone.answer()
        # The counter of the phone is above 1 now.
        server.faults["current.json"] = lambda raw: forge(counter=2)(first)
        assert "Version 1: signature" in phone.look()
        for name, (path, fault, _, reason) in FAULTS.items():
            server.faults = {"current.json": forge(counter=3), path: fault}
            status = phone.look()
            assert reason in status and "version 1 stays" in status and not phone.is_fine, (name, status)
            assert phone.version() == "v1"
        for _ in CONTENTS["row"][1:]:
            phone.page.click("#example")
        assert phone.answer() == before
        server.faults = {"current.json": forge(counter=3)}
        assert "Version 2: signature" in phone.look() and phone.is_fine
        server.faults = {
            "current.json": forge(
                counter=4,
                production={"version": 1, "manifest_sha256": store.releases(two, "row")[0].manifest_sha256},
            )
        }
        assert "version 1 is lower than 2, and no rollback was signed" in phone.look()


def test_a_phone_takes_its_side_of_a_canary_and_says_which(root, tmp_path, open_phone):
    push(root, tmp_path / "two", "row", 2)
    store.rollback(root, "row", "one is enough", key=KEY)
    with serve(root, "row") as server:
        phones = [open_phone(server.url) for _ in range(2)]
        for phone, device in zip(phones, ("phone-15679", "phone-11057"), strict=True):
            phone.page.evaluate(f"localStorage.setItem('edgeline device', '{device}')")
        store.rollout(root, "row", 2, 0.07, "a first try", KEY)
        for phone in phones:
            phone.look()
        tries, stays = phones
        assert tries.version() == "v2" and tries.is_fine and stays.version() == "v1" and stays.is_fine
        sentence = "It is a candidate, which 0.07 % of phones try, this one too; the others run version 1."
        assert sentence in tries.status()
        assert "0.07 % of phones try the candidate, version 2; this one does not." in stays.status()
        stays.page.evaluate("localStorage.setItem('edgeline device', 'phone-15679')")
        assert sentence in stays.look() and stays.version() == "v2" and stays.is_fine
        answer = tries.answer()
        tries.page.reload()
        tries.page.wait_for_selector("#ask:not([hidden])", timeout=MS)
        assert tries.version() == "v2" and tries.answer() == answer
        canary = (root / "edge/row/current.json").read_bytes()
        store.rollback(root, "row", "two is worse", key=KEY)
        for phone in phones:
            assert "candidate" not in phone.look() and phone.version() == "v1" and phone.is_fine
        server.faults["current.json"] = lambda _: canary
        assert "an old pointer was replayed" in tries.look() and tries.version() == "v1"


@contextmanager
def open_with_module(path: str, stores: Path, open_phone: Callable[..., Any], folder: Path) -> Iterator[Any]:
    """Opens the page, with a module of its sources as the global `tested`."""
    web = Path(sites.__file__).parents[2] / "clients/web"
    bundler = web / "node_modules/.bin/esbuild"
    if not bundler.is_file():
        pytest.skip("the page was built elsewhere")
    script = folder / "tested.js"
    options = ("--bundle", "--format=iife", "--global-name=tested", f"--outfile={script}")
    subprocess.run([bundler, web / "src" / path, *options], check=True, capture_output=True)
    with serve(stores, "row") as server:
        page = open_phone(server.url).page
        page.evaluate(script.read_text(encoding="utf-8").replace("var tested", "globalThis.tested"))
        yield page


def test_the_page_takes_the_side_of_each_example_of_the_rule(stores, open_phone, tmp_path):
    examples = json.loads(CANARY.read_text())
    with open_with_module("release.ts", stores, open_phone, tmp_path) as page:
        sides = page.evaluate(
            "examples => Promise.all(examples.map(async each => (await tested.chooseRelease("
            "{model: each.model, production: {}, candidate: each}, each.client)) === each))",
            examples,
        )
    assert sides == [each["candidate"] for each in examples]


def prepare_rows(page: Any, examples: list[Any]) -> list[Any]:
    """Compares the tensors of the page with those of Python; returns these, with None for a refusal."""
    expected = []
    for content, contract in examples:
        try:
            expected.append(preprocess(content, contract).ravel().tolist())
        except EdgelineError:
            expected.append(None)
    tensors = page.evaluate(
        "examples => examples.map(([content, contract]) => { try {"
        " return [...tested.preprocessRow(content, contract)[0]] } catch { return null } })",
        examples,
    )
    assert [each and pytest.approx(each, abs=1e-5) for each in expected] == tensors
    return expected


def test_the_page_reads_the_blanks_around_a_cell_as_python_does(stores, open_phone, tmp_path):
    row, contract = CONTENTS["row"][0], CONTRACTS["row"]
    blanks = ("\ufeff", "\xa0", "\u2003", "\u200b", "\x1c", "\x85", " \t", "\n")
    rows = [{**row, name: f"{blank}{row[name]}"} for name in ("machine", "celsius") for blank in blanks]
    with open_with_module("contracts/row.ts", stores, open_phone, tmp_path) as page:
        expected = prepare_rows(page, [(each, contract) for each in rows])
    assert None in expected and expected[0] != expected[1]


def test_the_page_takes_the_times_and_windows_that_python_takes(stores, open_phone, tmp_path):
    row, window, examples = CONTENTS["row"][0], CONTENTS["window"][0], []
    # These are years that databases write for none, and zones in several forms.
    for when in ("2026-03-01", "0001-01-01", "0005-12-31", "9999-12-31T23:59", "9999-12-31T23:59-01:00"):
        examples.append(({**row, "at": when}, CONTRACTS["row"]))
    for zone in ("+23:59", "+25:00", "+0130", "+01:", "-00", "Z"):
        examples.append(({**row, "at": f"2026-03-01T12:30{zone}"}, CONTRACTS["row"]))
    for changes in ({}, {"machine": ["m-01"]}, {"machine": ["m-01"] * 2}, {"celsius": ["1"]}):
        cells = {name: list(column) for name, column in {**window, **changes}.items()}
        examples.append((cells, CONTRACTS["window"]))
    with open_with_module("contracts/row.ts", stores, open_phone, tmp_path) as page:
        expected = prepare_rows(page, examples)
    assert [each is None for each in expected[-4:]] == [False, False, True, True]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"expires_days": 1}, "version 2 expired at"),
        ({"labels": ("ok", "damaged")}, "labels.txt has 2 labels for 3 outputs"),
        ({"preprocessing": {**CONTRACTS["row"], "clip": 0.5}}, "golden vector 1: "),
        ({"preprocessing": {**CONTRACTS["row"], "version": 9}}, "not supported: version is 9"),
        ({"variant": "int8", "late": {"fp32": 3, "int8": 3}}, "golden vector 1: a probability differs by"),
        ({"late": {"fp32": b"no model at all"}}, "model_fp32.tflite cannot be run"),
    ],
)
def test_a_signed_release_that_this_phone_cannot_run_or_reproduce_is_refused(
    root, tmp_path, open_phone, monkeypatch, changes, reason
):
    with serve(root, "row") as server:
        phone = open_phone(server.url)
        late = changes.pop("late", {})
        if late:
            stage = store.stage

            def swap(candidate: Any, *arguments: Any) -> bytes:
                for name, content in late.items():
                    path = candidate.edge_files[f"model_{name}.tflite"]
                    path.write_bytes(
                        content if isinstance(content, bytes) else make_files("row", content)[name]
                    )
                return stage(candidate, *arguments)

            monkeypatch.setattr(store, "stage", swap)
        push(root, tmp_path / "two", "row", 2, **changes)
        if "expires_days" in changes:
            phone.page.clock.install(time=datetime.now() + timedelta(days=2))
            server.faults["current.json"] = forge(expires=at(9))
        assert reason in phone.look() and "version 1 stays" in phone.status()


def test_the_page_over_plain_http_predicts_and_says_that_it_cannot_verify(stores, open_phone):
    with serve(stores, "row") as server:
        phone = open_phone(server.url.replace("localhost", find_address()))
        assert phone.status().startswith("Cannot verify") and not phone.is_fine
        phone.answer()
        phone.look()
        assert phone.status().startswith("Cannot verify")


def test_the_page_over_plain_http_has_no_camera(stores, open_phone):
    with serve(stores, "photo") as server:
        phone = open_phone(server.url.replace("localhost", find_address()))
        assert phone.page.is_hidden("#camera") and phone.answer()


def test_the_page_by_https_with_the_certificate_of_the_command_verifies_and_is_kept(
    stores, tmp_path, browser
):
    certificate = make_certificate(tmp_path, find_address())
    assert make_certificate(tmp_path, find_address()).authority == certificate.authority
    with serve(stores, "row", certificate) as server:
        phone = Phone(browser, server.url.replace("localhost", find_address()), ignore_https_errors=True)
        assert phone.is_fine
        authority = phone.context.request.get(f"{server.url}ca.crt", ignore_https_errors=True).body()
        assert authority == certificate.authority
        phone.close()


def test_a_store_without_a_key_is_never_called_fine(tmp_path, open_phone):
    push(tmp_path / "push", tmp_path / "one", "text", signing_key=None)
    with serve(tmp_path / "push", "text") as server:
        phone = open_phone(server.url)
        assert "not signed: its origin cannot be verified" in phone.status() and not phone.is_fine
        vouch(tmp_path / "push", make_key(), "text")
        push(tmp_path / "push", tmp_path / "two", "text", 2)
        assert "Version 2: signature" in phone.look()  # it has to be this key from now on


def test_a_phone_without_room_keeps_what_it_has(root, tmp_path, open_phone):
    # The page takes ten megabytes, which do not count without a service worker.
    with serve(root, "row") as server:
        phone = open_phone(server.url, quota=400_000, service_workers="block")
        before = phone.answer()
        push(root, tmp_path / "two", "row", 2, fp32=make_files("row", 2)["fp32"] + bytes(10**6))
        assert "not enough room" in phone.look() and "version 1 stays" in phone.status()
        assert phone.answer() != before


def test_an_answer_has_the_version_that_gave_it_although_another_is_in_use_since(root, tmp_path, open_phone):
    with serve(root, "photo") as server:
        phone = open_phone(server.url)
        phone.page.evaluate(  # it takes long as on a phone with a large photo
            "() => { const decode = createImageBitmap; globalThis.createImageBitmap = async (...all) => {"
            " if (all[0].size > 50_000) await new Promise(ok => { globalThis.goOn = ok });"
            " return decode(...all) } }"
        )
        photo = {"name": "x.jpg", "mimeType": "image/jpeg", "buffer": jpeg(1000, 700)}
        phone.page.set_input_files("input[type=file]", photo)
        wait(phone.page, "!!globalThis.goOn")
        push(root, tmp_path / "two", "photo", 2)
        assert "Version 2: signature" in phone.look()
        phone.page.evaluate("goOn()")
        assert phone.read_answer() and "version 1 (int8)" in phone.page.inner_text("#took")
        assert "\u00b7 v1 \u00b7" in phone.page.inner_text("#entries")


def count_answers(phone: Phone) -> int:
    return int((re.search(r"\d+", phone.page.inner_text("#counts")) or ["0"])[0])


def test_an_answer_that_has_room_only_when_it_is_checked_is_kept_once(stores, open_phone):
    with serve(stores, "row") as server:
        phone = open_phone(server.url)
        phone.page.evaluate(
            "() => { const {put} = IDBObjectStore.prototype; IDBObjectStore.prototype.put = function () {"
            " IDBObjectStore.prototype.put = put; throw new DOMException('', 'QuotaExceededError') } }"
        )
        assert phone.answer() and count_answers(phone) == 0
        for label in ("damaged", "ok"):
            phone.page.select_option("#right", label)
            phone.page.click("#save")
            wait(phone.page, f"document.querySelector('#saved').textContent == 'Saved: {label}.'")
            wait(phone.page, "document.querySelectorAll('#entries li').length > 0")
        wait(phone.page, "document.querySelector('#entries').textContent.includes('checked: ok')")
        assert count_answers(phone) == 1


def test_two_models_at_one_address_have_a_state_of_their_own(stores, open_phone):
    with serve(stores, "row") as server:
        phone = open_phone(server.url)
        before = phone.answer()
        port = int(server.url.split(":")[2].strip("/"))
    with serve(stores, "text", port=port):
        phone.reload()
        assert phone.is_fine and count_answers(phone) == 0
        assert phone.page.locator("#text").count() == 1
    with serve(stores, "row", port=port):
        phone.reload()
        assert phone.is_fine and count_answers(phone) == 1 and phone.answer() == before


def test_answers_from_the_state_that_models_once_shared_are_still_there(stores, open_phone):
    with serve(stores, "row") as server:
        phone = open_phone(server.url)
        phone.answer()
        phone.page.evaluate(MOVE, ["kept", "answers"])
        phone.reload()
        assert count_answers(phone) == 1 and phone.is_fine


# Moves stores of the state of `row` to the one that earlier pages had for all models.
MOVE = """async names => {
  const wait = request => new Promise((ok, failed) => {
    [request.onsuccess, request.onerror] = [() => ok(request.result), failed];
  });
  const from = await wait(indexedDB.open("edgeline / row")), to = await wait(indexedDB.open("edgeline /"));
  for (const name of names) {
    const [value] = await wait(from.transaction(name).objectStore(name).getAll());
    const store = to.transaction(name, "readwrite").objectStore(name);
    await wait(name === "kept" ? store.put(value, "bundle") : store.put(value));
    await wait(from.transaction(name, "readwrite").objectStore(name).clear());
  }
}"""


def test_a_photo_is_taken_with_the_camera(stores, open_phone):
    with serve(stores, "photo") as server:
        phone = open_phone(server.url, permissions=["camera"])
        phone.page.click("#camera")
        phone.page.wait_for_selector("#video:not([hidden])", timeout=MS)
        phone.page.click("#camera")
        assert sum(phone.read_answer()[1].values()) == pytest.approx(1, abs=0.02)
        assert phone.page.is_hidden("#video")
        assert phone.page.get_attribute("#shown", "src").startswith("blob:")


def test_a_photo_unlike_those_of_training_is_marked(stores, open_phone):
    with serve(stores, "photo") as server:
        phone = open_phone(server.url)
        for level, is_unlike in ((255, True), (90, False)):
            photo = io.BytesIO()
            Image.new("L", (64, 48), level).save(photo, "PNG")
            file = {"name": "x.png", "mimeType": "image/png", "buffer": photo.getvalue()}
            phone.page.set_input_files("input[type=file]", file)
            assert phone.read_answer()
            wait(phone.page, f"document.querySelector('#odd').checkVisibility() == {str(is_unlike).lower()}")


@pytest.mark.parametrize(
    ("kind", "content", "reason"),
    [
        ("photo", b"\0\0\0\x18ftypheic" + bytes(50), "cannot read the photo (62 bytes"),
        ("row", b"celsius;price\n1;2\n", ""),
        (
            "row",
            b"celsius,price,people,seen,born,at,machine,weight,lap,half\nwarm,1,2,,,,m-01,,,\n",
            "warm\u201d is not a",
        ),
        ("window", b"celsius,price,people,machine\n1,2,3,m-01\n", "celsius has 1 readings, not 4"),
    ],
)
def test_an_input_that_cannot_be_read_is_named(stores, open_phone, kind, content, reason):
    with serve(stores, kind) as server:
        phone = open_phone(server.url)
        name, type_ = ("IMG_1.HEIC", "image/jpeg") if kind == "photo" else ("rows.csv", "text/csv")
        file = {"name": name, "mimeType": type_, "buffer": content}
        phone.page.set_input_files("input[type=file]", file)
        if kind != "photo":
            wait(phone.page, "document.querySelector('#input input').value != ''")
            phone.page.click("#go")
        if not reason:  # a cell that is missing is a missing number
            assert phone.read_answer()
            return
        phone.page.wait_for_selector("#problem:not([hidden])", timeout=MS)
        assert reason in phone.page.inner_text("#problem") and phone.page.is_hidden("#answer")


def test_a_table_replaces_all_cells_of_the_one_before(stores, open_phone):
    with serve(stores, "row") as server:
        phone = open_phone(server.url)
        for content in (b"celsius,price\n1,2\n", b"celsius\n3\n"):
            file = {"name": "rows.csv", "mimeType": "text/csv", "buffer": content}
            phone.page.set_input_files("input[type=file]", file)
            wait(
                phone.page,
                f"document.querySelector('#input input').value == '{content.split()[1][:1].decode()}'",
            )
        assert phone.page.evaluate("document.getElementById('cell price').value") == ""


def test_a_text_of_ten_megabytes_is_answered(stores, open_phone):
    with serve(stores, "text") as server:
        phone = open_phone(server.url)
        phone.page.evaluate("document.querySelector('#text').value = 'sun '.repeat(2_500_000)")
        phone.page.click("#go")
        assert phone.read_answer()[1]


def test_a_text_that_a_run_rejects_is_not_answered(stores, open_phone):
    reasons = {" \n\u200b": "The text is empty.", "sun \x07": "the control character U+0007."}
    with serve(stores, "text") as server:
        phone = open_phone(server.url)
        for text, reason in reasons.items():
            phone.page.evaluate("text => { document.querySelector('#text').value = text }", text)
            phone.page.click("#go")
            wait(phone.page, f"document.querySelector('#problem').textContent.includes({reason!r})")
            assert phone.page.is_visible("#problem") and phone.page.is_hidden("#answer")


def test_corrections_come_back_as_a_span(stores, open_phone, tmp_path):
    with serve(stores, "photo") as server:
        phone = open_phone(server.url)
        for right in ("damaged", None, "ok"):
            phone.answer()
            if right:
                phone.page.select_option("#right", right)
                phone.page.click("#save")
                wait(phone.page, "document.querySelector('#saved').textContent")
        with phone.page.expect_download() as download:
            phone.page.click("#export")
        content = Path(download.value.path()).read_bytes()
        archive = zipfile.ZipFile(io.BytesIO(content))
        labels = list(csv.DictReader(io.TextIOWrapper(archive.open("labels.csv"))))
        served = list(csv.DictReader(io.TextIOWrapper(archive.open("served.csv"))))
        assert [row["label"] for row in labels] == ["damaged", "ok"] and len(served) == 3
        assert {f"photos/{row['photo']}" for row in labels} <= set(archive.namelist())
        assert served[0]["example"] == labels[0]["photo"] and served[0]["version"] == "1"
        assert {row["chosen"] for row in (served[0], served[2])} <= {"random", "person"}
        (tmp_path / "export.zip").write_bytes(content)
        assert main(["data", "import", str(tmp_path / "export.zip"), "--data", str(tmp_path / "data")]) == 0
        (span,) = find_spans(tmp_path / "data")
        rows = [(row.photo, row.label) for row in read_labels(span)]
        assert sorted(rows) == sorted((row["photo"], row["label"]) for row in labels)
        assert (span.path / "served.csv").read_bytes() == archive.read("served.csv")


def test_checked_rows_of_releases_with_other_columns_come_back_by_the_names_of_columns(
    root, open_phone, tmp_path, monkeypatch
):
    def check(phone: Phone) -> None:
        phone.answer()
        phone.page.select_option("#right", "damaged")
        phone.page.click("#save")
        wait(phone.page, "document.querySelector('#saved').textContent")

    with serve(root, "row") as server:
        phone = open_phone(server.url)
        check(phone)
        numbers = CONTRACTS["row"]["numbers"]
        monkeypatch.setitem(CONTRACTS, "row", {**CONTRACTS["row"], "numbers": [*numbers[3:], *numbers[:3]]})
        push(root, tmp_path / "two", "row", 2)
        assert "Version 2: signature" in phone.look()
        check(phone)
        with phone.page.expect_download() as download:
            phone.page.click("#export")
        archive = zipfile.ZipFile(download.value.path())
    rows = list(csv.DictReader(io.TextIOWrapper(archive.open("rows.csv"), encoding="utf-8")))
    assert len(rows) == 2
    for row in rows:
        assert {name: unmark_cell(row[name]) for name in CONTENTS["row"][0]} in CONTENTS["row"]
        assert row["edgeline.label"] == "damaged"


def luminance(color: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(("kind", "scheme"), [("photo", "dark"), ("window", "light")])
def test_the_page_fits_a_phone_and_has_names_for_all_controls_and_contrast(stores, open_phone, kind, scheme):
    with serve(stores, kind) as server:
        phone = open_phone(server.url, color_scheme=scheme, locale="de-DE")
        phone.answer()
        assert phone.page.evaluate("document.documentElement.scrollWidth") == 390
        assert phone.page.get_attribute("html", "lang") == "de"
        assert "auf diesem Telefon geprüft" in phone.status()
        unnamed = phone.page.evaluate(
            "[...document.querySelectorAll('button, input, select')].filter(e => e.checkVisibility()"
            " && !(e.textContent.trim() || e.labels?.[0]?.textContent.trim())).map(e => e.outerHTML)"
        )
        assert unnamed == []
        for selector in ("body", "#status", "#go" if kind == "window" else "#camera", "#took", "#label"):
            text, behind = phone.page.eval_on_selector(
                selector,
                "e => { let b = e; const back = () => getComputedStyle(b).backgroundColor;"
                " while (back() == 'rgba(0, 0, 0, 0)') b = b.parentElement;"
                " return [getComputedStyle(e).color, back()] }",
            )
            dark, light = sorted(map(luminance, (text, behind)))
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (selector, text, behind)  # WCAG 2.2, 1.4.3
        phone.page.keyboard.press("Tab")
        assert phone.page.evaluate("document.activeElement.matches('button, input, select, summary')")
