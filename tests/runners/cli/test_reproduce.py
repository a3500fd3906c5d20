import itertools
import re
import shlex

import pytest

from data.photos.labels_file import LabelRow, write_span
from data.spans.exclusions import decide
from data.spans.layout import find_spans
from data.spans.window import compute_span_digests
from edgeline.records.run import RUN
from edgeline.records.source import Source
from edgeline.release import store
from edgeline.release.manifest import Code, Data
from pipeline.settings import find_changed
from runners.cli import reproduce
from runners.local import run as local
from runners.shared.run_options import NamedSettings
from runners.shared.source import read_source
from tests.edgeline.release.candidates import make_candidate
from tests.outputs import write_run

ROW = LabelRow("a.jpg", "ok", "lane-01", "s1", "2026-10-05T09:12:33Z")
COMMIT = Source("c" * 40, "main")


@pytest.fixture
def data(tmp_path):
    for _ in range(3):
        write_span(tmp_path / "data", [(ROW, b"not decoded here")])
    return tmp_path / "data"


@pytest.fixture
def release(tmp_path, data, make_run):
    """Pushes version 1, made of the first two of three spans, with the record of its run in a workspace."""

    def release(source=COMMIT, *more):
        overrides = ("trainer.epochs=3", f"push.destination={tmp_path / 'store'}", *more)
        workload, settings = NamedSettings("shelf", None, overrides).load()
        recorded, folder = settings.recorded(), tmp_path / "workspace"
        run = make_run(
            id="20261005-091233",
            workload_source="shelf",
            outcome="pushed",
            data=str(data),
            push=str(tmp_path / "store"),
            settings=recorded,
            changed=tuple(find_changed(settings, workload.settings)),
        )
        write_run(folder, run)
        digests = compute_span_digests(find_spans(data)[:2])
        candidate = make_candidate(
            tmp_path / "made",
            run=run.id,
            data=Data(1, 2, "f" * 8, digests),
            code=Code("c" * 8, "d" * 8, source),
            settings={name: value for name, value in recorded.items() if name != "push"},
        )
        store.push(run.push, "shelf", candidate)
        return run

    return release


def read_settings(out):
    """Returns the settings of the printed command."""
    words = shlex.split(re.search(r"run (--workload .*)", out)[1])
    overrides = tuple(word for before, word in itertools.pairwise(words) if before == "--set")
    return NamedSettings(words[1], None, overrides).load()[1]


def test_the_commands_name_commit_settings_and_spans_and_push_nowhere_else(release, command, data):
    run = release()
    result = command("reproduce", "1")
    assert result.code == 0, result.err
    assert f"checkout {COMMIT.commit}\n" in result.out and "Seed: 20.\n" in result.out
    assert f"Spans: span-00001, span-00002 of {data}.\n" in result.out
    settings = read_settings(result.out)
    assert (settings.trainer.epochs, settings.data.until) == (3, "span-00002")
    assert settings.push.destination is None
    same = {name: getattr(settings, name).model_dump(mode="json") for name in ("model", "trainer", "edge")}
    assert same == {name: run.settings[name] for name in same}
    assert "block" not in settings.gate.severity.values()


def test_spans_that_changed_since_are_named(release, command, data):
    release()
    (data / "span-00001" / "labels.csv").write_text("other\n")
    decide(data, "exclude", "span-00002", "r", ["span-00002"])
    out = command("reproduce").out
    assert "span-00001 has other files or labels than then.\nspan-00002 is gone or excluded.\n" in out


def test_without_the_record_of_its_run_the_release_is_read(release, command, data, tmp_path):
    folder = tmp_path / "workspace" / "runs" / release().id
    (folder / RUN.name).unlink()
    place = ("reproduce", "--store", "store")
    result = command(*place)
    assert result.code == 2 and "no record of run 20261005-091233" in result.err
    assert "--data DIR" in result.err
    settings = read_settings(command(*place, "--data", data).out)
    assert (settings.trainer.epochs, settings.data.until) == (3, "span-00002")
    (tmp_path / "store" / "edge" / "shelf" / "1" / "provenance.json").write_text("{}")
    assert command(*place, "--data", data).code == 1


def test_it_runs_at_the_commit_of_the_release_alone_and_never_in_its_workspace(
    release, command, tmp_path, monkeypatch
):
    release()
    monkeypatch.setattr(reproduce, "read_source", lambda workload: Source("d" * 40, "main"))
    result = command("reproduce", "--run")
    assert result.code == 2 and f"Then: Commit {COMMIT.commit} of main. Here: " in result.err
    result = command("reproduce", "--run", "--out", "workspace")
    assert result.code == 2 and "would be pushed beside its releases" in result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "made", "store", "workspace"]


def test_a_run_without_a_model_has_its_own_exit_code(release, command, data, tmp_path, make_run, monkeypatch):
    release(read_source(""))

    def run(options, listeners):
        assert options.workspace == tmp_path / "mine"
        assert options.named.load()[1].data.until == "span-00002"
        write_run(options.workspace, make_run(id="20261012-091233", outcome="refused"))
        return 4

    monkeypatch.setattr(local, "run", run)
    assert command("reproduce", "--run", "--out", "mine").code == 4
