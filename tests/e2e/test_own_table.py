"""Three weeks of a table as people have it, from the files to the answers about those very files."""

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
    "trainer.folds=2",
    "edge.variants=[fp32]",
    "evaluation.bounds=[{slice: overall, metric: accuracy, lower: 0.1}]",
)


def write_week(path: Path, week: int, first: date, days: int, towns: Sequence[str]) -> Path:
    """Writes a week as a German Excel does: decimal commas, points at thousands, two dates, empty cells."""
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


def load(folder: Path, src: Path) -> dict[str, object]:
    named = ("--label", "Bezahlt", "--group", "Kundennr", "--data", str(folder / "data"))
    ended = edgeline(folder / "workspace", "data", "import", str(src), *named, "--json")
    assert ended.code == 0, ended.stderr
    report: dict[str, object] = ended.json
    return report


def answers(folder: Path, src: Path) -> list[dict[str, float]]:
    given = ("--workspace", str(folder / "workspace"), "--json")
    ended = edgeline(folder / "workspace", "predict", str(src), *given)
    assert ended.code == 0, ended.stderr
    return [answer["probabilities"] for answer in ended.json["answers"]]


def test_three_weeks_have_the_form_of_the_first_and_each_file_is_answered_as_its_span_row_by_row(
    tmp_path: Path,
) -> None:
    towns = ("Ulm", "Kiel", "Jena")
    first = write_week(tmp_path / "januar.csv", 0, date(2026, 1, 1), 28, towns)
    # Days up to 12 only, of which nobody could tell the month; then a town that nobody knows.
    second = write_week(tmp_path / "februar.csv", 1, date(2026, 2, 1), 12, towns)
    third = write_week(tmp_path / "maerz.csv", 2, date(2026, 3, 1), 28, (*towns, "Trier"))
    report = load(tmp_path, first)
    assert report["numbers"] == ["Geburt_weekday", "Geburt_month", "Bestellt_weekday", "Betrag", "Menge"]
    assert report["categories"] == ["PLZ", "Ort"]
    assert [name for name, _ in report["left_out"]] == ["Mahnstufe", "Konto"]
    assert (report["rows"], report["unlabelled"]) == (294, 6)
    assert load(tmp_path, second)["rows"] == load(tmp_path, third)["rows"] == 294
    assert load(tmp_path, second)["known"] == 294

    named = ("--workload", str(tmp_path / "data" / "workload.yaml"), "--data", str(tmp_path / "data"))
    ended = run_dag(tmp_path / "workspace", *named, settings=SETTINGS)
    assert ended.code == 0, ended.stderr + ended.stdout

    of_file = answers(tmp_path, first)
    of_span = answers(tmp_path, tmp_path / "data" / "span-00001" / "table.csv")
    assert len(of_file) == 300
    assert [answer for number, answer in enumerate(of_file) if number % 50 != 7] == of_span
    assert len({answer["ja"] for answer in of_span}) > 200
    assert {len(answers(tmp_path, src)) for src in (second, third)} == {300}
