import json
from pathlib import Path

from runners.local import artifact_records
from runners.local.artifact_records import ArtifactRecord
from runners.local.details import detail_lines
from runners.shared.runs import RunFolder


def leave(folder: RunFolder, step: str, output: str, name: str, content: object) -> None:
    place = folder.path / step
    place.mkdir(parents=True)
    (place / name).write_text(json.dumps(content))
    artifact_records.append(folder.artifacts, ArtifactRecord(step, output, str(place), {}, {}))


def text(folder: RunFolder) -> str:
    return "\n".join(detail_lines(folder))


def test_photos_set_aside_are_counted_by_span_and_the_file_with_reasons_is_named(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    spans = [
        {"name": "span-00001", "number": 1, "rows": 10, "rejected": {}},
        {"name": "span-00002", "number": 2, "rows": 12, "rejected": {"corrupt": 2, "duplicate": 1}},
    ]
    ingest = {"splits": {"train": 15, "eval": 4}, "classes": {"ok": 11, "damaged": 8}, "spans": spans}
    leave(folder, "PhotoIngest", "quarantine", "ingest.json", ingest)
    assert "15 train, 4 eval (11 ok, 8 damaged)" in text(folder)
    assert "span-00002: 3 of 12 set aside: 2 corrupt, 1 duplicate" in text(folder)
    assert str(folder.path / "PhotoIngest" / "quarantine.csv") in text(folder)
    assert "span-00001" not in text(folder)


def test_accuracy_by_slice_stands_beside_that_of_production(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    now = {"overall": {"all": {"example_count": 40, "accuracy": 0.9}}, "class": {}}
    before = {"overall": {"all": {"example_count": 40, "accuracy": 0.85}}}
    leave(folder, "ModelEvaluator", "evaluation", "metrics.json", {"candidate": now, "baseline": before})
    (line,) = [line for line in detail_lines(folder) if "overall" in line]
    assert line.split() == ["overall", "all", "40", "0.900", "0.850"]


def test_without_production_the_column_is_empty(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    now = {"overall": {"all": {"example_count": 40, "accuracy": 0.9}}}
    leave(folder, "ModelEvaluator", "evaluation", "metrics.json", {"candidate": now, "baseline": None})
    (line,) = [line for line in detail_lines(folder) if "overall" in line]
    assert line.split()[-1] == "-"


def test_every_edge_file_is_listed_with_the_default_marked(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    measured = {"size_bytes": 204_000, "accuracy": 0.9, "agreement": 1.0, "max_difference": 1e-3}
    variants = [
        {"name": "fp16", "reasons": [], "measured": {**measured, "latency": {"p50_ms": 0.2}}},
        {"name": "int8", "reasons": ["It could not be converted."]},
    ]
    leave(
        folder,
        "EdgeValidator",
        "verdict",
        "edge.json",
        {"default_variant": "fp16", "eval_photos": 40, "variants": variants},
    )
    assert "fp16" in text(folder) and "(default)" in text(folder)
    assert "int8       could not be made" in text(folder)
