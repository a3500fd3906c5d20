"""An export of a phone's page becomes a span that a run reads, with served.csv beside it."""

import csv
import zipfile
from pathlib import Path

import pytest

from data.importers.phone import is_export
from data.settings import DataSettings
from data.spans.layout import find_spans
from data.spans.served import read_served
from data.spans.source import Rejected, Row
from data.tables.source import open_source
from data.texts.source import open_source as open_texts
from edgeline.records.served import Answer
from pipeline.workloads import find_workload, with_features
from runners.cli.main import main
from tests.data.importers.named import import_table
from tests.data.sample_photos import jpeg

HEADER = "example,version,variant,said,score,captured_at,device,chosen\n"
SERVED = f"{HEADER}x,1,fp16,ok,0.9,2026-10-05T09:12:33Z,d,\n"
OWN = ("edgeline.label", "edgeline.group", "edgeline.captured_at")


def export(path: Path, model: str, served: str = SERVED, **files: str | bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("release.json", f'{{"model": "{model}", "device": "d"}}')
        archive.writestr("served.csv", served)
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_csv", ".csv").replace("_jpg", ".jpg"), content)
    return path


def load(source: Path, data: Path) -> int:
    return main(["data", "import", str(source), "--data", str(data)])


def test_corrected_photos_are_imported_by_label_once_and_served_stays_beside_them(tmp_path, capsys):
    labels = "photo,label,lane_id,session_id,captured_at,split\n" + "".join(
        f"{n}.jpg,{label},,d-2026-10-05,2026-10-05T09:12:33Z,\n" for n, label in enumerate(("ok", "bad"))
    )
    photos = {f"photos__{n}_jpg": jpeg(seed=n) for n in range(2)}
    zipped = export(tmp_path / "a.zip", "shelf", labels_csv=labels, **photos)
    for _ in range(2):
        assert load(zipped, tmp_path / "data") == 0
    (span,) = find_spans(tmp_path / "data")
    rows = list(csv.DictReader((span.path / "labels.csv").open()))
    assert sorted(row["label"] for row in rows) == ["bad", "ok"]
    assert {row["session_id"] for row in rows} == {"d-2026-10-05"}
    assert (span.path / "served.csv").read_text() == SERVED
    assert "2 new photos" in capsys.readouterr().out


def test_answers_come_along_where_no_photo_is_new(tmp_path):
    labels = "photo,label,lane_id,session_id,captured_at,split\n0.jpg,ok,,s,2026-10-05T09:12:33Z,\n"
    later = SERVED + "y,2,fp16,ok,0.8,2026-10-06T09:12:33Z,d,\n"
    for name, served in (("a.zip", SERVED), ("b.zip", SERVED), ("c.zip", later)):
        export(tmp_path / name, "shelf", served, labels_csv=labels, photos__0_jpg=jpeg())
    assert load(tmp_path / "a.zip", tmp_path / "data") == 0
    (span,) = find_spans(tmp_path / "data")
    (span.path / "served.csv").write_text(SERVED.rstrip("\n"))  # as an editor leaves it
    for name in ("b.zip", "c.zip"):
        assert load(tmp_path / name, tmp_path / "data") == 0
    assert (span.path / "served.csv").read_text() == later
    (span.path / "served.csv").write_text(f"sep=,\n{SERVED}")  # as a spreadsheet may begin it
    assert load(tmp_path / "c.zip", tmp_path / "data") == 0
    assert (span.path / "served.csv").read_text() == later
    apps = "\ufeffversion,example,variant,said,score,captured_at,device,chosen,app"
    row = "\n2,z,int8,ok,0.7,2026-10-06T09:12:33Z,e,,4\n"
    (span.path / "served.csv").write_bytes(f"{apps}{row}".encode() + b"2,z,int8,gr\xfcn,0.7,,e,,4\n")
    for _ in range(2):
        assert load(tmp_path / "c.zip", tmp_path / "data") == 0
    first, fault, *others = read_served(span)
    assert [answer.example for answer in (first, *others)] == [f"{span.name}/{name}" for name in "zxy"]
    assert fault == f"{span.name}/served.csv:3 is not UTF-8"


def test_an_export_of_another_kind_or_with_other_labels_changes_nothing(tmp_path, capsys):
    photos = {f"photos__{n}_jpg": jpeg(seed=n) for n in range(2)}
    labels = "photo,label,lane_id,session_id,captured_at,split\n0.jpg,ok,,s,,\n1.jpg,damaged,,t,,\n"
    assert load(export(tmp_path / "a.zip", "shelf", labels_csv=labels, **photos), tmp_path / "p") == 0
    texts = "text,label,source,group\nIt broke,negative,phone,d\n"
    zipped = export(tmp_path / "b.zip", "text", texts_csv=texts)
    assert load(zipped, tmp_path / "p") == 4
    assert "has data of kind photos" in capsys.readouterr().err
    (tmp_path / "t.csv").write_text("body,label\n" + "It works,positive\nIt broke,negative\n" * 5)
    import_table(tmp_path / "t.csv", tmp_path / "t", "label", text="body")
    assert load(zipped, tmp_path / "t") == 4
    assert "was exported from text, and" in capsys.readouterr().err
    assert load(export(tmp_path / "b.zip", "t", texts_csv=texts), tmp_path / "t") == 0
    other = export(tmp_path / "c.zip", "t", texts_csv=texts.replace("negative", "awful"))
    assert load(other, tmp_path / "t") == 4
    assert "has the label awful, which" in capsys.readouterr().err
    assert (len(find_spans(tmp_path / "p")), len(find_spans(tmp_path / "t"))) == (1, 2)
    # Without workload.yaml in the folder, each week can be imported.
    for name in ("d.zip", "e.zip"):
        assert load(export(tmp_path / name, "reviews", texts_csv=texts), tmp_path / "u") == 0


def test_a_corrected_window_is_one_window_of_readings(tmp_path):
    workload = with_features(find_workload("sensor"))
    names = [*workload.numbers, "machine_id"]
    rows = [[*names, *OWN]]
    for at in range(16):
        time = f"2026-10-05T09:12:{at:02d}Z"
        rows.append([*(str(5 + at) for _ in workload.numbers), "m-02", "leak", "d-1", time])
    zipped = export(tmp_path / "a.zip", "sensor", rows_csv="".join(f"{','.join(row)}\n" for row in rows))
    assert load(zipped, tmp_path / "data") == 0
    (span,) = find_spans(tmp_path / "data")
    items = list(open_source(workload, DataSettings(readings=16, stride=4)).rows(span))
    assert [item.label for item in items if isinstance(item, Row)] == ["leak"] and len(items) == 1


def test_corrected_texts_of_any_length_are_rows_of_a_span(tmp_path):
    long = f"{'too long ' * 20_000},negative,phone,d\n"
    texts = f'text,label,source,group\n"It broke, twice",negative,phone,d-2026-10-05\n{long}'
    assert load(export(tmp_path / "a.zip", "text", texts_csv=texts), tmp_path / "data") == 0
    (span,) = find_spans(tmp_path / "data")
    row, rejected = open_texts(with_features(find_workload("text")), DataSettings()).rows(span)
    assert (row.label, row.content) == ("negative", ("It broke, twice", "phone"))
    assert isinstance(rejected, Rejected) and rejected.reason == "oversized"


def test_a_second_export_of_a_phone_adds_its_new_rows_under_their_new_lines(tmp_path, capsys):
    header, name = "text,label,source,group\n", "texts.csv"
    texts = ['"It broke,\ntwice",negative,phone,d\n', *(f"It works,positive,phone,{x}\n" for x in "de")]
    answers = [f"texts.csv:{line},1,fp16,ok,0.{line},2026-10-05T09:12:33Z,d,random\n" for line in (2, 4, 5)]
    for count in (1, 3, 3):
        served = HEADER + "".join(answers[:count]) + ",1,fp16,ok,0.9,2026-10-05T09:12:33Z,d,\n"
        content = header + "".join(texts[:count])
        zipped = export(tmp_path / f"{count}.zip", "text", served, texts_csv=content)
        assert load(zipped, tmp_path / "data") == 0
    first, second = find_spans(tmp_path / "data")
    assert (first.path / name).read_text() == header + texts[0]
    assert (second.path / name).read_text() == header + "".join(texts[1:])
    assert [answer.example for answer in read_served(first)] == ["span-00001/texts.csv:2", ""]
    names = [(answer.example, answer.score) for answer in read_served(second)]
    assert names == [("span-00002/texts.csv:2", 0.4), ("span-00002/texts.csv:3", 0.5), ("", 0.9)]
    assert "Nothing is new" in capsys.readouterr().out


def test_windows_of_another_phone_are_new_also_where_their_readings_are_those_of_the_first(tmp_path):
    names = with_features(find_workload("sensor")).numbers

    def write(name, *phones):
        lines, answers = [",".join([*names, "machine_id", *OWN])], []
        for phone in phones:
            times = [f"2026-10-05T09:12:{at:02d}Z" for at in range(16)]
            lines += [",".join([*("5" for _ in names), "m-02", "leak", phone, time]) for time in times]
            answers.append(f"rows.csv:{len(lines)},1,fp16,ok,0.5,2026-10-05T09:12:33Z,{phone},random")
        served = HEADER + "".join(f"{answer}\n" for answer in answers)
        zipped = export(tmp_path / name, "sensor", served, rows_csv="\n".join(lines) + "\n")
        assert load(zipped, tmp_path / "data") == 0

    write("a.zip", "d")
    write("b.zip", "d", "e")
    write("c.zip", "e")
    _, second = find_spans(tmp_path / "data")
    assert len((second.path / "rows.csv").read_text().splitlines()) == 17
    (answer,) = read_served(second)
    assert isinstance(answer, Answer) and (answer.example, answer.device) == ("span-00002/rows.csv:17", "e")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"texts_csv": "text,label,source,group\n"}, "no answer in it was checked by a person"),
        ({"texts_csv": "text,label,source,group\nIt broke,x\n"}, "texts.csv:2: It has 2 cells, but"),
        ({"rows_csv": "a\n", "served": SERVED[:-4]}, "served.csv:2: It has 6 cells, but the header has 8."),
        ({"rows_csv": f"a,{','.join(OWN)}\n1,x,d,2026-10-05\n"}, "no column temp"),
    ],
)
def test_an_export_without_a_check_or_of_other_columns_is_refused(tmp_path, capsys, files, message):
    zipped = export(tmp_path / "a.zip", "sensor", **files)
    assert is_export(zipped) and load(zipped, tmp_path / "data") == 4
    assert message in capsys.readouterr().err and not find_spans(tmp_path / "data")
