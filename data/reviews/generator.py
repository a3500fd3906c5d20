"""Writes weekly spans of customers' reviews: labelled short texts, with a few labels wrong.

The seed and the number of the span decide everything, so the same two give the same bytes. Moods, sources and
lengths come in exact shares, so that a drift check finds nothing where nothing is wrong.
"""

import csv
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from data.reviews.faults import FAULTS, LONG_CLAUSES, ONE_REVIEW, spoil
from data.reviews.phrases import BAD, GOOD, Style, write_review
from data.spans.layout import Span
from data.spans.sample import add_weeks, assign_faults, check_arguments

LABELS = {BAD: "negative", GOOD: "positive"}
LABEL_NOISE = 0.03
SOURCES = {"app": 0.5, "web": 0.3, "mail": 0.2}
FILE, COLUMNS = "reviews.csv", ("text", "label", "source", "group")
_GOOD_SHARE = 0.55
# The number of clauses of a review; each entry is equally frequent.
_CLAUSES = (1, 1, 2, 2, 2, 3, 3, 4, 5, 6)
_REVIEWS_PER_CUSTOMER = 3

_T = TypeVar("_T")


def generate(
    data_dir: Path, *, weeks: int, per_week: int, seed: int, faults: Mapping[str, float], workers: int = 1
) -> list[Span]:
    """Writes weekly spans, see `data/spans/sample.py`; one process writes 18,000 reviews a second.

    Args:
        data_dir: The folder of spans.
        weeks: The number of spans.
        per_week: The number of reviews of each, before duplicates.
        seed: With the number of the span, it decides every byte.
        faults: Rates by name, 0..1.
        workers: It is checked, and not used: one process writes all spans.
    """
    check_arguments(faults, FAULTS, weeks=weeks, per_week=per_week, seed=seed, workers=workers)

    def fill(number: int, folder: Path) -> None:
        with (folder / FILE).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(write_week(number, per_week, seed, faults))

    return add_weeks(data_dir, weeks, per_week, "reviews", fill)


def write_week(span: int, reviews: int, seed: int, faults: Mapping[str, float]) -> list[dict[str, str]]:
    """Returns the rows of one week, with faults.

    Args:
        span: The number of the span, which the names of its customers have.
        reviews: The number of reviews before duplicates.
        seed: With the number of the span, it decides every row.
        faults: Rates by name, 0..1.
    """
    rng = random.Random(f"reviews {seed} {span}")
    good_count = round(reviews * _GOOD_SHARE)
    moods = [GOOD] * good_count + [BAD] * (reviews - good_count)
    rng.shuffle(moods)
    shifted = round(faults.get("label-shift", 0.0) * good_count)
    for index in [index for index, mood in enumerate(moods) if mood == GOOD][:shifted]:
        moods[index] = BAD
    mislabelled = set(rng.sample(range(reviews), round(LABEL_NOISE * reviews)))
    clauses = _repeat_in_shares(_CLAUSES, reviews, rng)
    sources = _repeat_in_shares(
        [name for name, share in SOURCES.items() for _ in range(round(10 * share))], reviews, rng
    )
    order = random.Random(f"faults {seed} {span}").sample(range(reviews), reviews)
    spoiled = assign_faults(faults, ONE_REVIEW, order)
    rows = []
    for index, mood in enumerate(moods):
        review_rng = random.Random(f"review {seed} {span} {index}")
        style = Style(
            LONG_CLAUSES if "length-shift" in spoiled.get(index, ()) else clauses[index],
            new_words=faults.get("vocabulary-drift", 0.0),
            emoji=sources[index] == "app" and review_rng.random() < 0.3,
            shouts=review_rng.random() < 0.03,
        )
        row = {
            "text": write_review(mood, style, review_rng),
            "label": LABELS[-mood if index in mislabelled else mood],
            "source": sources[index],
            "group": f"customer-{span:05d}-{index // _REVIEWS_PER_CUSTOMER:05d}",
        }
        copies = []
        for fault in spoiled.get(index, ()):
            if fault == "duplicate":
                copies.append(spoil(fault, row, review_rng))
            else:
                row = spoil(fault, row, review_rng)
        rows += [row, *copies]
    return rows


def _repeat_in_shares(values: Sequence[_T], count: int, rng: random.Random) -> list[_T]:
    """Returns `count` values in their shares, shuffled."""
    repeated = [values[index % len(values)] for index in range(count)]
    rng.shuffle(repeated)
    return repeated
