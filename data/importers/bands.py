"""Bands of a column of numbers: what to learn instead, since a model answers with one label of few."""

import json
import shlex
from collections import Counter
from pathlib import Path

from data.importers.column_forms import find_form
from data.importers.column_profile import ColumnProfile
from edgeline.records.columns import NUMBER, parse_cell
from edgeline.store.locations import is_url

ONE_LABEL = "A model answers with one label of few: no number, no boxes, not several labels."
_NAMES = ("low", "middle", "high")
_SCRIPT = (
    'import pandas; t = pandas.read_csv({path}, sep=None, engine="python"); t[{band}] = pandas.cut('
    't.pop({name}), [-float("inf"), {bounds}, float("inf")], right=False, labels={labels}); '
    "t.to_csv({target}, index=False)"
)


def suggest_bands(shown: str, column: ColumnProfile) -> str:
    """Returns how to add a column of bands, of about as many rows each, to the table `shown`."""
    form = find_form(column)
    path = Path(shown)
    name = column.name
    counts = column.sampled if column.values is None else column.values
    numbers = Counter[float]()
    for cell, count in counts.items():
        try:
            numbers[parse_cell(cell, form)] += count
        except ValueError:
            continue  # a typing error

    bounds = _find_bounds(numbers)
    labels = _NAMES if len(bounds) > 1 else (_NAMES[0], _NAMES[-1])
    band = f"{name}_band"

    if is_url(shown):
        cases = " ".join(f"WHEN {name} < {b} THEN '{n}'" for b, n in zip(bounds, labels, strict=False))
        return f"Write bands into the query, in place of the column: CASE {cases} ELSE 'high' END AS {band}."

    if path.suffix.lower() == ".csv" and path.is_file() and form == NUMBER:
        target = str(path.with_name(f"{path.stem}_bands.csv"))
        texts = {"path": shown, "band": band, "name": name, "labels": labels, "target": target}
        quoted = {key: json.dumps(text) for key, text in texts.items()}
        script = _SCRIPT.format(bounds=", ".join(bounds), **quoted)
        learn = f"import {target} with --label {shlex.quote(band)}"
        return f"Make bands of it with this command, and {learn}: .venv/bin/python -c {shlex.quote(script)}"

    parts = [f"{name} below {bound}" for name, bound in zip(labels, bounds, strict=False)]
    return f"Put a column of bands in its place ({', '.join(parts)}, else high), and name that with --label."


def _find_bounds(numbers: Counter[float]) -> list[str]:
    """Returns the lowest number of the second third of the rows, and that of the last third if it differs."""
    bounds = list[float]()
    below = 0
    for number, count in sorted(numbers.items()):
        if len(bounds) < 2 and 0 < below >= numbers.total() * (len(bounds) + 1) / 3:
            bounds.append(number)
        below += count
    return [f"{bound:g}" for bound in bounds or [max(numbers, default=0.0)]]
