"""Splits a text into words in TensorFlow, by the rules of `edgeline/records/words.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeline.records.words import FOLDED, REPLACEMENTS, RULES

if TYPE_CHECKING:
    import tensorflow as tf


def split_words(texts: tf.Tensor) -> tf.RaggedTensor:
    """Splits texts, string [N], into words, ragged string [N, words]."""
    import tensorflow as tf

    table = list(range(FOLDED))
    for old, new in zip(RULES["fold_from"], RULES["fold_to"], strict=True):
        table[ord(old)] = ord(new)
    codes = tf.strings.unicode_decode(texts, "UTF-8")
    low = tf.gather(tf.constant(table), tf.minimum(codes.flat_values, FOLDED - 1))
    folded = codes.with_flat_values(tf.where(codes.flat_values < FOLDED, low, codes.flat_values))
    plain = tf.strings.unicode_encode(folded, "UTF-8")
    for rule, replacement in REPLACEMENTS:
        plain = tf.strings.regex_replace(plain, RULES[rule], replacement)
    return tf.strings.split(plain)
