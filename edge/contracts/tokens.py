"""What a phone does with a text: numpy and `re`, no TensorFlow needed.

The executable form of a preprocessing.json of the kind `tokens`; `trainer_module/tokens.py` says the rules in
words. Equal to the Transform graph id by id. Version 2 also says how a text is normalised, as ingest did it
before: a phone that leaves that out splits an `é` that was typed as two characters.
"""

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contracts import refused, wrong_in


def preprocess(content: str | bytes, contract: Mapping[str, Any]) -> NDArray[np.int32]:
    """Turns a text into token ids, int32 [1, length]; in bytes, what is no UTF-8 counts as a separator.

    Raises:
        EdgelineError: The contract asks for what this version does not do.
    """
    _check(contract)
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
    if contract["version"] == 2:
        text = unicodedata.normalize(contract["normalization"], text)
    ids = np.full((1, contract["length"]), contract["padding"], np.int32)
    places = _places(tuple(contract["vocabulary"]))
    for column, word in enumerate(split_words(text, contract["tokenizer"])[: contract["length"]]):
        place = places.get(word)
        ids[0, column] = contract["unknown"] if place is None else place + contract["first"]
    return ids


def split_words(text: str, tokenizer: Mapping[str, str]) -> list[str]:
    """The words of a text, by the rules of a contract."""
    plain = text.translate(str.maketrans(tokenizer["fold_from"], tokenizer["fold_to"]))
    for rule, instead in (("separators", " "), ("alone", r" \1 "), ("leading", " "), ("trailing", " ")):
        plain = re.sub(tokenizer[rule], instead, plain)
    return [word for word in plain.split(" ") if word]


@lru_cache(maxsize=4)
def _places(vocabulary: tuple[str, ...]) -> Mapping[str, int]:
    return {word: place for place, word in enumerate(vocabulary)}


def _check(contract: Mapping[str, Any]) -> None:
    found = {**contract, "tokenizer.version": contract.get("tokenizer", {}).get("version")}
    known: dict[str, Any] = {"version": 1, "kind": "tokens", "tokenizer.version": 1}
    if contract.get("version") == 2:
        known |= {"version": 2, "normalization": "NFC"}
    wrong = wrong_in(found, known)
    length = contract.get("length")
    if not isinstance(length, int) or length < 1:
        wrong.append(f"length is {length!r}, not a number of words")
    if not isinstance(contract.get("vocabulary"), list):
        wrong.append("vocabulary is no list of words")
    if wrong:
        raise refused("; ".join(wrong))
