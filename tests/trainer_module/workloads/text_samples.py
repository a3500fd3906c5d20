"""Samples for the tests of texts: generated reviews, hostile texts, and a real Transform of texts."""

import random
from pathlib import Path
from typing import Any

from data.reviews.generator import write_week
from tests.examples import transform

LABELS = ["negative", "positive"]
SETTINGS = {"text_length": 32, "vocabulary_size": 5000, "vocabulary_min_count": 2, "weights": "none"}
REVIEWS = [row for span in (1, 2) for row in write_week(span, 500, 3, {})]


def hostile_texts() -> list[bytes]:
    """Returns texts that are hard to tokenise, and bytes that are not text; the same in every run."""
    rng = random.Random(5)
    texts = [
        *("", " ", "\t\n"),
        *("\0", "a\0b", "\ufeffhi", "x" * 10_000, "it's " * 2_000, "é " * 5_000, "'" * 3_000),
        *("👍🏽 ❤️ 👨‍👩‍👧 great👍great", "مرحبا، بالعالم؟", "שָׁלוֹם עולם", "नमस्ते।दुनिया", "我很喜欢。", "좋아요"),
        *("ที่นี่เร็ว ABCเเที่5 เ", "ខ្ញុំស្ត្រី្។" + "ក្ក" * 9, "ကျွန်တော်၊", "ຂ້ອຍມັກ", "ཀ་མ་ལག།", "ｶﾞｷﾞ ｶﾞ"),
        *("\u0e48x\u0e48 ก\u200bข", "\u17d2ខ"),
        *("cafe\u0301 café", "ﬁne ﬂat", "İSTANBUL \u0131I", "ẞ ß SS", "ΟΔΟΣ Σ", "Ⅷ ⅷ", "\u212a\u2126"),
        *("'a' 'b'", "' '' '''", "don't it\u2019s o`clock \u2018so\u2019", "rock'n'roll'", "a'  'b", "'!'?'"),
        *("R2-D2: 50% [x] {y} a_b c\\d e^f g~h #i @j 1,5 2.5", "!!??..."),
        *("a\u00a0b\u2003c\u3000d\u200be\u202ef", "z" + "\u0335" * 500),
        *("\ufdd0\ufffe\U0010ffff", "\x85\x1c\x1d\x0b\x0c"),
    ]  # fmt: skip
    places = [*range(0x250), *range(0x250, 0x3100, 7), *range(0x3100, 0x11_0000, 997), *(39, 32) * 100]
    places = [place for place in places if not 0xD800 <= place < 0xE000]
    texts += ["".join(map(chr, rng.choices(places, k=80))) for _ in range(600)]
    return [*(text.encode() for text in texts), *(rng.randbytes(60) for _ in range(300))]


def transform_texts(rows: list[dict[str, str]], folder: Path, **settings: Any) -> str:
    """Runs a Transform on these rows and returns its output folder, as TFX writes it."""
    from trainer_module.workloads import texts

    feature = 'feature { name: "%s" type: BYTES value_count { min: 1 max: 1 } }'
    schema = "".join(feature % name for name in ("text", "label"))
    examples = [{name: row[name] for name in ("text", "label")} for row in rows]
    config = {"labels": LABELS, **SETTINGS, **settings}
    return transform(texts.preprocessing_fn, config, examples, schema, folder)
