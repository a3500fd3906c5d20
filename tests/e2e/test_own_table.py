"""A table as people have it, from the file to the answers about that very file, and two more weeks of it."""

import random
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.e2e.conftest import QUICK, Ended, edgeline, run_dag

pytestmark = pytest.mark.e2e

HEADER = "Kundennr;PLZ;Geburt;Bestellt;Betrag;Menge;Ort;Mahnstufe;Konto;Bezahlt"
SETTINGS = (
    *QUICK,
    "model.hidden=16",
    "trainer.epochs=2",
    "trainer.folds=2",
    "edge.variants=[fp32]",
    "evaluation.bounds=[{slice: overall, metric: auc, lower: 0.1}]",
)


def write_week(path: Path, week: int, first: date, days: int, towns: Sequence[str]) -> Path:
    """As a German Excel has it: decimal commas, points at thousands, ids, two dates, a leak, empty cells."""
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("table")


def load(folder: Path, src: Path) -> dict[str, object]:
    named = ("--label", "Bezahlt", "--group", "Kundennr", "--data", str(folder / "data"))
    ended = edgeline(folder / "workspace", "data", "import", str(src), *named, "--json")
    assert ended.code == 0, ended.stderr
    report: dict[str, object] = ended.json
    return report


def run(folder: Path) -> Ended:
    named = ("--workload", str(folder / "data" / "workload.yaml"), "--data", str(folder / "data"))
    return run_dag(folder / "workspace", *named, settings=SETTINGS)


def answers(folder: Path, src: Path) -> list[dict[str, float]]:
    given = ("--workspace", str(folder / "workspace"), "--json")
    ended = edgeline(folder / "workspace", "predict", str(src), *given)
    assert ended.code == 0, ended.stderr
    return [answer["probabilities"] for answer in ended.json["answers"]]


def test_a_file_that_was_imported_is_answered_as_its_span_is_row_by_row(folder: Path) -> None:
    src = write_week(folder / "januar.csv", 0, date(2026, 1, 1), 28, ("Ulm", "Kiel", "Jena"))
    report = load(folder, src)
    assert report["numbers"] == ["Geburt_weekday", "Geburt_month", "Bestellt_weekday", "Betrag", "Menge"]
    assert report["categories"] == ["PLZ", "Ort"]
    assert [name for name, _ in report["left_out"]] == ["Mahnstufe", "Konto"]
    assert (report["rows"], report["unlabelled"]) == (294, 6)

    ended = run(folder)
    assert ended.code == 0, ended.stderr + ended.stdout

    of_file = answers(folder, src)
    of_span = answers(folder, folder / "data" / "span-00001" / "table.csv")
    assert len(of_file) == 300
    assert [answer for number, answer in enumerate(of_file) if number % 50 != 7] == of_span
    assert len({answer["ja"] for answer in of_span}) > 200


def test_weeks_after_it_have_its_form_and_a_new_category_is_no_reason_to_stop(folder: Path) -> None:
    # Days up to 12 only, of which nobody could tell the month; then a town that nobody knows.
    second = write_week(folder / "februar.csv", 1, date(2026, 2, 1), 12, ("Ulm", "Kiel", "Jena"))
    third = write_week(folder / "maerz.csv", 2, date(2026, 3, 1), 28, ("Ulm", "Kiel", "Jena", "Trier"))
    assert load(folder, second)["rows"] == load(folder, third)["rows"] == 294
    assert load(folder, second)["known"] == 294

    ended = run(folder)
    assert ended.code == 0, ended.stderr + ended.stdout
    assert {len(answers(folder, src)) for src in (second, third)} == {300}
