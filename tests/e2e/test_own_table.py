"""Three weeks of a realistic table, from the import of its files to predictions for them."""

import random
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.e2e.conftest import QUICK, edgeline, run_dag

pytestmark = pytest.mark.e2e

HEADER = "Kundennr;PLZ;Geburt;Bestellt;Betrag;Menge;Ort;Mahnstufe;Konto;Bezahlt"
SETTINGS = (
    *QUICK,
    "model.hidden=16",
    "trainer.epochs=2",
    "edge.variants=[fp32]",
    "evaluation.bounds=[{slice: overall, metric: accuracy, lower: 0.1}]",
)


def write_week(path: Path, week: int, first: date, days: int, towns: Sequence[str]) -> Path:
    """Writes a table like a German Excel: decimal commas, points at thousands, dates, a leak, empty cells."""
    rng = random.Random(week)
    lines = [HEADER]
    for number in range(300):
        paid = rng.choice(("ja", "nein"))
        amount = f"{rng.uniform(100, 900) * (1 + 4 * (paid == 'ja')):,.2f}"
        cells = (
            1000 + 150 * week + number // 2,
            rng.choice(("01067", "80331", "20095")),
            (date(1950, 1, 1) + timedelta(rng.randrange(18_000))).strftime("%d.%m.%Y"),
            (first + timedelta(rng.randrange(days))).strftime("%d.%m.%Y"),
            amount.translate(str.maketrans(",.", ".,")),
            rng.choice(("NA", *range(1, 40))),
            rng.choice(towns),
            {"ja": 0, "nein": 3}[paid],
            rng.randrange(10**9, 10**10),
            "" if number % 50 == 7 else paid,
        )
        lines.append(";".join(map(str, cells)))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def import_table(folder: Path, src: Path) -> dict[str, object]:
    options = ("--label", "Bezahlt", "--group", "Kundennr", "--data", str(folder / "data"))
    result = edgeline(folder / "workspace", "data", "import", str(src), *options, "--json")
    assert result.code == 0, result.stderr
    report: dict[str, object] = result.json
    return report


def predict(folder: Path, *tables: Path) -> list[dict[str, float]]:
    options = ("--workspace", str(folder / "workspace"), "--json")
    result = edgeline(folder / "workspace", "predict", *map(str, tables), *options)
    assert result.code == 0, result.stderr
    return [answer["probabilities"] for answer in result.json["answers"]]


def test_weeks_have_one_form_and_files_have_the_predictions_of_their_span(tmp_path: Path) -> None:
    towns = ("Ulm", "Kiel", "Jena")
    first = write_week(tmp_path / "januar.csv", 0, date(2026, 1, 1), 28, towns)
    # The second week has only days up to 12, which could be months; the third has a new town.
    second = write_week(tmp_path / "februar.csv", 1, date(2026, 2, 1), 12, towns)
    third = write_week(tmp_path / "maerz.csv", 2, date(2026, 3, 1), 28, (*towns, "Trier"))
    report = import_table(tmp_path, first)
    assert report["numbers"] == ["Geburt_weekday", "Geburt_month", "Bestellt_weekday", "Betrag", "Menge"]
    assert report["categories"] == ["PLZ", "Ort"]
    assert [name for name, _ in report["left_out"]] == ["Mahnstufe", "Konto"]
    assert (report["rows"], report["unlabelled"]) == (294, 6)
    assert import_table(tmp_path, second)["rows"] == import_table(tmp_path, third)["rows"] == 294
    assert import_table(tmp_path, second)["known"] == 294

    options = ("--workload", str(tmp_path / "data" / "workload.yaml"), "--data", str(tmp_path / "data"))
    result = run_dag(tmp_path / "workspace", *options, settings=SETTINGS)
    assert result.code == 0, result.stderr + result.stdout

    answers = predict(tmp_path, first, second, third, tmp_path / "data" / "span-00001" / "table.csv")
    of_file, of_span = answers[:300], answers[900:]
    assert [answer for number, answer in enumerate(of_file) if number % 50 != 7] == of_span
    assert len({answer["ja"] for answer in of_span}) > 200
