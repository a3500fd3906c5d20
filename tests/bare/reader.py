"""Writes what the commands of README and docs name into the current folder: a reader's own data."""

import csv
import random
import sqlite3
from datetime import datetime, timedelta
from pathlib import Path

from data.reviews.generator import write_week
from tests.e2e.test_own_workload import write_files, write_span


def write_table(path: Path, header: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def write_photos(folder: Path, first: int, last: int) -> None:
    """Writes digits that people drew, of scikit-learn, in a folder for each of three classes."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for label in (0, 1, 2):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(digits.images[digits.target == label][first:last], start=first):
            drawn = Image.fromarray((image * 15).astype("uint8")).convert("RGB").resize((64, 64))
            drawn.save(folder / str(label) / f"{number}.jpg")


def write_tables(folder: Path) -> None:
    """Writes measured tumours as customers and as rows of a database, drawn reviews and readings."""
    from sklearn.datasets import load_breast_cancer

    tumours = load_breast_cancer()
    names = (str(name).replace(" ", "_") for name in tumours.feature_names[:8])
    header = ("size", "town", *names, "churn")
    rng = random.Random(5)
    rows = []
    for row, label in zip(tumours.data.tolist(), tumours.target, strict=True):
        rows.append((rng.choice("SML"), rng.choice(("Rome", "Oslo")), *row[:8], ("yes", "no")[label]))
    write_table(folder / "customers.csv", header, rows)
    write_table(folder / "new.csv", header[:-1], [row[:-1] for row in rows[:30]])
    with sqlite3.connect(folder / "plant.db") as database:
        columns = ", ".join((*header[:-1], "fault"))
        database.execute(f"CREATE TABLE readings ({columns})")
        database.executemany(f"INSERT INTO readings VALUES ({', '.join('?' * len(header))})", rows)

    reviews = write_week(1, 1200, 20, {})
    write_table(folder / "reviews.csv", ("body", "stars"), [(row["text"], row["label"]) for row in reviews])

    rng = random.Random(7)
    readings = []
    for machine in range(10):
        for hour in range(600):
            worn = (hour // 40 + machine) % 2
            at = datetime(2026, 1, 5) + timedelta(hours=hour)
            values = (rng.gauss(20 + 8 * worn, 2), rng.gauss(3, 0.5 + worn))
            readings.append((at.isoformat(), f"m-{machine}", *values, ("fine", "worn")[worn]))
    write_table(folder / "readings.csv", ("at", "machine", "celsius", "vibration", "state"), readings)


def write_data(folder: Path) -> None:
    write_photos(folder / "my_photos", 0, 60)
    write_photos(folder / "photos", 100, 110)
    (folder / "photo.jpg").write_bytes((folder / "photos" / "1" / "100.jpg").read_bytes())
    write_tables(folder)
    write_files(folder / "gestures")
    for week in (1, 2, 3):
        write_span(folder / "spans" / f"span-0000{week}", week)
    (folder / "oncall.yaml").write_text("alerts:\n  command: ['true']\n", encoding="utf-8")


if __name__ == "__main__":
    write_data(Path())
