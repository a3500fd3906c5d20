"""The requests of the client of TF Serving, and its errors."""

import io
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from PIL import Image

from data.photos.checks import check_photo
from data.settings import DataSettings
from deploy.serving.client import ask_rest, main, make_request
from edgeline.records.rejection import RowRejected
from tests.data.sample_photos import encode, jpeg, phone_exif, pixels
from tests.edgeline.edge.contracts.test_image import contract, with_alpha


def request_jpeg(tmp_path, photo, contract):
    """Returns the JPEG in the request for a photo."""
    (tmp_path / "photo").write_bytes(photo)
    signature, inputs = make_request(tmp_path / "photo", json.loads(json.dumps(contract)))
    assert signature == "serve_jpeg"
    [content] = inputs["jpeg"]
    return content


def test_a_request_has_the_levels_of_the_contract(tmp_path):
    photo = encode(Image.fromarray(np.asarray(pixels().convert("L"), np.uint16) + 27_000), "PNG")
    stored = Image.open(io.BytesIO(check_photo(photo, DataSettings(levels=(27_050, 27_200))).stored))
    content = request_jpeg(tmp_path, photo, contract(version=4, levels=[27_050, 27_200]))
    image = Image.open(io.BytesIO(content)).convert("L")
    assert np.abs(np.asarray(image, int) - np.asarray(stored, int)).max() <= 1


@pytest.mark.parametrize(
    "photo",
    [
        jpeg(),
        jpeg(600, 450, exif=phone_exif(6)),
        jpeg(1280, 721),
        encode(with_alpha(pixels()), "PNG"),
        encode(pixels().convert("CMYK")),
        encode(pixels(600, 100).convert("LA"), "PNG"),
        encode(Image.fromarray(np.asarray(pixels().convert("L"), np.uint16) * 257), "PNG"),
    ],
    ids=["plain", "sideways", "large", "alpha", "CMYK", "grey", "16 bits"],
)
def test_a_request_has_the_pixels_that_ingest_would_have_stored(tmp_path, photo):
    stored = Image.open(io.BytesIO(check_photo(photo, DataSettings()).stored))
    image = Image.open(io.BytesIO(request_jpeg(tmp_path, photo, contract())))
    assert image.size == stored.size
    # Ingest turns a photo after it has scaled it, and Pillow rounds between its two passes.
    assert np.abs(np.asarray(image.convert("RGB"), int) - np.asarray(stored.convert("RGB"), int)).max() <= 1


@pytest.mark.parametrize(
    ("file", "bundle", "message"),
    [
        (b"not a photo", "1", "is not a photo that Pillow reads"),
        (jpeg(), "", "is not a bundle, PUSH/edge/MODEL/VERSION"),
        (jpeg(), "1", "refused: 502: <html>Bad Gateway"),
    ],
    ids=["file", "version forgotten", "proxy"],
)
def test_a_request_that_is_impossible_ends_with_one_sentence(tmp_path, file, bundle, message):
    (tmp_path / "1").mkdir()
    for name, content in (("manifest", {"model": "shelf", "version": 1}), ("preprocessing", contract())):
        (tmp_path / f"1/{name}.json").write_text(json.dumps(content))
    (tmp_path / "1/labels.txt").write_text("ok\ndamaged\n")
    (tmp_path / "photo.jpg").write_bytes(file)
    proxy = b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>Bad Gateway</html>"
    with serve_answer(proxy) as server, pytest.raises(SystemExit, match=message):
        main([str(tmp_path / bundle), str(tmp_path / "photo.jpg"), "--server", server])


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\n\r\n<html>", b"HTTP/1.1 200 OK\r\n\r\n{}", b"\0\0\x12\4\0\0\0\0\0"],
    ids=["a page", "other JSON", "gRPC"],
)
def test_an_answer_of_another_server_ends_with_one_sentence(answer):
    with serve_answer(answer) as server, pytest.raises(SystemExit, match="not answer as TF Serving"):
        ask_rest(server, "shelf", 1, "serve_raw", {})


@contextmanager
def serve_answer(content):
    """Answers each request with these bytes."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.wfile.write(content)

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


TOKENS = {"kind": "tokens", "input": "text", "normalization": "NFC"}


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        # Letter and accent become one character; a Mac writes two.
        ("e\u0301clair".encode(), "\u00e9clair"),
        ("don\u00e2\x80\x99t".encode(), "don\u2019t"),
        ("caf\u00e9 cr\u00e8me".encode("cp1252"), "caf\u00e9 cr\u00e8me"),
    ],
    ids=["accents", "decoded twice", "Windows"],
)
def test_a_text_is_sent_as_the_model_read_it_in_training(tmp_path, text, sent):
    (tmp_path / "review").write_bytes(text)
    assert make_request(tmp_path / "review", TOKENS) == ("serve_raw", {"text": [sent.encode()]})


def test_a_text_that_training_refuses_is_not_sent(tmp_path):
    (tmp_path / "review").write_text("bell \a", encoding="utf-8")
    with pytest.raises(RowRejected, match=r"control character U\+0007"):
        make_request(tmp_path / "review", TOKENS)
