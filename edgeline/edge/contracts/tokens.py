"""Turns a text into token ids on a phone; needs only numpy, no TensorFlow.

This runs a preprocessing.json of the kind `tokens`; `edgeline/records/words.py` explains the rules.
The ids equal those of the Transform graph. It also repairs marks that were decoded twice and normalises the
text, as ingest does: a phone that leaves this out splits an `é` that was typed as two characters. After the
ids of the words come as many of the pairs that begin with these, 0 for one outside the vocabulary.
"""

import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeline.edge.contracts import find_mismatches, make_contract_error
from edgeline.records.rejection import repair_text
from edgeline.records.words import split_words


def preprocess(content: str | bytes, contract: Mapping[str, Any]) -> NDArray[np.int32]:
    """Turns a text into token ids, int32 [1, 2 * length]; bytes that are not UTF-8 count as separators.

    Raises EdgelineError if this version does not support the contract.
    """
    _check(contract)
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
    text = unicodedata.normalize(contract["normalization"], repair_text(text))
    length, first = contract["length"], contract["first"]
    ids = np.full((1, 2 * length), contract["padding"], np.int32)
    positions = _index_words(tuple(contract["vocabulary"]))
    words = split_words(text, contract["tokenizer"])[:length]
    for column, word in enumerate(words):
        ids[0, column] = first + positions[word] if word in positions else contract["unknown"]
    for column, pair in enumerate(map(" ".join, pairwise(words))):
        if pair in positions:
            ids[0, length + column] = first + positions[pair]
    return ids


@lru_cache(maxsize=4)
def _index_words(vocabulary: tuple[str, ...]) -> Mapping[str, int]:
    return {word: position for position, word in enumerate(vocabulary)}


def _check(contract: Mapping[str, Any]) -> None:
    actual = {**contract, "tokenizer.version": contract.get("tokenizer", {}).get("version")}
    expected = {"version": 3, "kind": "tokens", "tokenizer.version": 1, "normalization": "NFC"}
    mismatches = find_mismatches(actual, expected)
    length = contract.get("length")
    if not isinstance(length, int) or length < 1:
        mismatches.append(f"length is {length!r}, not a number of words")
    if not isinstance(contract.get("vocabulary"), list):
        mismatches.append("vocabulary is not a list of words")
    if mismatches:
        raise make_contract_error("; ".join(mismatches))
