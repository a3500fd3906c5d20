"""`edgeline phone` without a browser: the files that it serves and writes, and its errors."""

import json
import mimetypes
import re
import shutil
import socket
import socketserver
import ssl
import threading
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from edgeline.errors import EdgelineError
from edgeline.phone import site as sites
from edgeline.phone.certificate import make_certificate, wrap
from edgeline.release import store
from edgeline.release.signing import PUBLIC, load_public_key, make_pair
from runners.cli.main import main
from tests.edgeline.release.candidates import make_candidate, make_key, name_key, spoil_signature

SIGNER = name_key()


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Writes a page as `make phone` would build it."""
    (tmp_path / "page/wasm").mkdir(parents=True)
    for name in ("index.html", "app.webmanifest", "wasm/a.wasm", "worker.js"):
        (tmp_path / "page" / name).write_text(f"this is {name}")
    monkeypatch.setattr(sites, "_PAGE", tmp_path / "page")
    return tmp_path / "page"


@pytest.fixture
def root(tmp_path):
    candidate = make_candidate(tmp_path / "one", size=50, signing_key=make_key())
    (vectors := tmp_path / "golden.json").write_text("{}")
    candidate = replace(candidate, edge_files={**candidate.edge_files, "golden/golden.json": vectors})
    store.push(tmp_path / "push", "shelf", candidate)
    return tmp_path / "push"


def test_a_pointer_with_a_wrong_signature_is_named_and_nothing_is_written(root, page, tmp_path, capsys):
    spoil_signature(root)
    assert main(["phone", "--store", str(root), "--out", str(tmp_path / "out")]) == 1
    err = capsys.readouterr().err
    assert "edge/shelf/current.json: its signed pointer is not valid: it names the key" in err
    assert not (tmp_path / "out").exists()


def test_a_folder_for_a_web_server_has_page_release_and_pointer(root, page, tmp_path, capsys):
    assert main(["phone", "--store", str(root), "--out", str(tmp_path / "out")]) == 0
    assert "Serve it by https" in capsys.readouterr().out
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert names == {
        *("index.html", "app.webmanifest", "wasm/a.wasm", "worker.js"),
        *("phone.json", "store/current.json"),
        *(
            f"store/1/{name}"
            for name in ("manifest.json", "manifest.sig", "labels.txt", "preprocessing.json")
        ),
        *(f"store/1/{name}" for name in ("model.sig", "serving.sig", "model.pub.pem")),
        *(f"store/1/{name}" for name in ("provenance.json", "mlbom.cdx.json")),
        *(f"store/1/model_{name}.tflite" for name in ("fp16", "int8")),
        "store/1/golden/golden.json",
    }
    config = json.loads((tmp_path / "out/phone.json").read_text())
    assert config == {"model": "shelf", "keys": [SIGNER], "store": "store", "expired": "warn"}


def test_the_keys_of_a_change_and_what_follows_when_a_release_is_over_are_settings_of_a_folder(
    root, page, tmp_path
):
    options = ["--expired", "refuse"]
    for name in ("old", "new"):
        make_pair(tmp_path / name)
        options += ["--key", str(tmp_path / name / PUBLIC)]
    assert main(["phone", "--store", str(root), "--out", str(tmp_path / "out"), *options]) == 0
    config = json.loads((tmp_path / "out/phone.json").read_text())
    assert config["keys"] == [load_public_key(str(tmp_path / name / PUBLIC)) for name in ("old", "new")]
    assert config["expired"] == "refuse"


def test_a_folder_gets_no_pointer_to_a_release_that_cannot_be_read_whole(root, page, tmp_path, capsys):
    (file := next((root / "edge/shelf/1").glob("*.tflite"))).unlink()
    file.mkdir()
    assert main(["phone", "--store", str(root), "--out", str(tmp_path / "out")]) != 0
    assert file.name in capsys.readouterr().err
    assert not (tmp_path / "out/store/current.json").exists()


def test_a_folder_is_never_half_of_two_states_to_a_phone(root, page, tmp_path, capsys):
    arguments = ["phone", "--store", str(root), "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    before = (tmp_path / "out/store/current.json").read_bytes()
    with (tmp_path / "out/store/current.json").open("rb") as reader:
        store.push(root, "shelf", make_candidate(tmp_path / "two", "2", size=50, signing_key=make_key()))
        assert main(arguments) == 0
        assert reader.read() == before != (tmp_path / "out/store/current.json").read_bytes()
    # If a file of a new page cannot be written, the old worker stays, so phones keep the old page.
    (page / "worker.js").write_text("a new one")
    shutil.rmtree(tmp_path / "out/wasm")
    (tmp_path / "out/wasm").write_text("no folder")
    assert main(arguments) != 0
    assert "out/wasm" in capsys.readouterr().err
    assert (tmp_path / "out/worker.js").read_text() == "this is worker.js"


def test_an_unsigned_release_is_a_warning(tmp_path, page, capsys):
    store.push(tmp_path / "push", "shelf", make_candidate(tmp_path / "one", size=50))
    assert main(["phone", "--store", str(tmp_path / "push"), "--out", str(tmp_path / "out")]) == 0
    assert "shelf 1 is not signed: the page will say" in capsys.readouterr().err


def test_only_page_and_bundles_are_served_as_they_are_now_by_http_and_https(
    root, page, tmp_path, monkeypatch
):
    monkeypatch.setattr(mimetypes, "guess_type", lambda *_: (None, None))  # a machine without types
    site, certificate = sites.Site(str(root), "shelf"), make_certificate(tmp_path / "ca", "127.0.0.1")
    context = ssl.create_default_context(cadata=certificate.authority.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default of Python 3.13
    for scheme in ("http", "https"):
        server = site.serve(0, certificate.authority)
        if scheme == "https":
            wrap(server, certificate)
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def get(path: str, server=server, scheme=scheme):
            url = f"{scheme}://127.0.0.1:{server.server_port}/{path}"
            return urllib.request.urlopen(url, context=context if scheme == "https" else None)

        assert get("").read() == b"this is index.html"
        assert get("wasm/a.wasm").headers["Content-Type"] == "application/wasm"
        assert get("ca.crt").read() == certificate.authority
        assert get("ca.crt").headers["Content-Type"] == "application/x-x509-ca-cert"
        assert get("store/1/labels.txt?x").headers["Cache-Control"] == "no-cache"
        assert json.loads(get("store/current.json").read())["version"] == 1
        for path in ("history.jsonl", "1/../history.jsonl", "../../.lock", "2/a", "../x"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                get(f"store/{path}")
        for folder in ("wasm", "wasm/", "wasm/?x"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                get(folder)
        server.shutdown()
        server.server_close()


def test_a_phone_that_hangs_up_or_does_not_trust_the_certificate_leaves_no_traceback(
    root, page, tmp_path, capsys
):
    site, certificate = sites.Site(str(root), "shelf"), make_certificate(tmp_path / "ca", "127.0.0.1")
    (page / "large.js").write_bytes(bytes(10**7))
    for scheme in ("http", "https"):
        server = site.serve(0, certificate.authority)
        server.daemon_threads = False  # so that closing waits for them
        if scheme == "https":
            wrap(server, certificate)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        if scheme == "https":
            with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
                urllib.request.urlopen(f"https://localhost:{server.server_port}/")
        else:
            with socket.create_connection(("localhost", server.server_port)) as phone:
                phone.sendall(b"GET /large.js HTTP/1.0\r\n\r\n")
                phone.recv(1)
        server.shutdown()
        server.server_close()
    assert capsys.readouterr().err == ""


def test_a_store_that_cannot_be_read_is_not_a_file_that_is_missing(root, page, monkeypatch):
    site = sites.Site(str(root), "shelf")
    with site.serve(0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://localhost:{server.server_port}/store"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{url}/1/golden")
        for error in (EdgelineError("The bucket does not answer."), PermissionError(13, "denied")):

            def fail(path: str, error: Exception = error) -> None:
                raise error

            monkeypatch.setattr(site, "_read", fail)
            with pytest.raises(urllib.error.HTTPError, match="503"):
                urllib.request.urlopen(f"{url}/current.json")
        server.shutdown()


@pytest.mark.parametrize(("options", "scheme"), [([], "http"), (["--tls"], "https")])
def test_the_command_serves_until_ctrl_c_and_prints_the_address(
    root, page, tmp_path, monkeypatch, capsys, options, scheme
):
    def interrupt(server):
        raise KeyboardInterrupt

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(socketserver.BaseServer, "serve_forever", interrupt)
    assert main(["phone", "--store", str(root), "--port", "0", *options]) == 0
    assert f"shelf 1: {scheme}://" in capsys.readouterr().out


def test_a_page_that_was_not_built_a_missing_model_and_a_port_in_use_are_bad_usage(
    root, page, monkeypatch, capsys
):
    with socket.socket() as server:
        server.bind(("", 0))
        server.listen()
        port = server.getsockname()[1]
        assert main(["phone", "--store", str(root), "--port", str(port)]) == 2
    assert f"port {port} cannot be used" in capsys.readouterr().err
    assert main(["phone", "--store", str(root), "--workload", "other"]) == 2
    assert "has no model 'other'" in capsys.readouterr().err
    (page / "index.html").unlink()
    assert main(["phone", "--store", str(root)]) == 2
    found, why, do = capsys.readouterr().err.splitlines()
    assert "was not built" in found and "Node" in why and "make phone" in do


def test_every_word_of_the_page_is_there_once_in_both_languages_with_the_same_facts():
    sources = Path(__file__).parents[3] / "clients/web/src"
    text = (sources / "words.ts").read_text()
    rows = re.findall(r'^  (\w+): \["(.*?)",\s*"(.*?)"\],$', text, re.M | re.S)
    assert len(rows) == len(re.findall(r"^  \w+: \[", text, re.M)) > 50
    refusals = json.loads((Path(store.__file__).parent / "refusals.json").read_text())
    rows += [(key, words["en"], words["de"]) for key, words in refusals.items()]
    assert len({key for key, _, _ in rows}) == len(rows)
    for key, english, german in rows:
        facts = [sorted(re.findall(r"\{(\w+)\}", text)) for text in (english, german)]
        assert facts[0] == facts[1] and (english != german or key == "text"), key
    code = "".join(path.read_text() for path in sources.rglob("*.ts"))
    assert {*re.findall(r'(?:say|Refused)\("(\w+)"', code)} <= {key for key, _, _ in rows}
