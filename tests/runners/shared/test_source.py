"""The commit that a run names, read from real repositories."""

import subprocess

import pytest

from edgeline.errors import UsageError
from edgeline.records.source import VARIABLE, Source
from runners.shared import source
from runners.shared.source import read_source


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Makes a repository with one commit that has a workload, and a project in no repository beside it."""
    monkeypatch.setattr(source, "ROOT", tmp_path / "project")
    # Nothing above is a repository, whatever the temporary folder is in.
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("project", "mine"):
        (tmp_path / name).mkdir()
    folder = tmp_path / "mine"
    (folder / "workload.yaml").write_text("name: mine\n")
    (folder / ".gitignore").write_text("workspace/\n")
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=First")
    return folder


def git(folder, *arguments):
    own = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *own, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def read(folder):
    return read_source(str(folder / "workload.yaml"))


def test_a_committed_workload_has_its_commit_and_branch_and_is_clean(repository):
    (repository / "workspace").mkdir()
    (repository / "workspace" / "ignored.py").touch()
    (repository / "photo.jpg").write_bytes(b"data")
    found = read(repository)
    assert found == Source(git(repository, "rev-parse", "HEAD"), "main")
    assert found.sentence == f"Commit {found.commit} of main."
    assert Source.parse(found.to_json()) == found
    found.check_clean()


def test_each_difference_from_the_commit_has_its_own_digest(repository):
    (repository / "workload.yaml").write_text("name: other\n")
    changed = read(repository)
    assert changed.is_dirty and len(changed.difference) == 64 and read(repository) == changed
    (repository / "features.py").write_text("NEW = 1\n")
    with_new = read(repository)
    (repository / "features.py").write_text("NEW = 2\n")
    assert len({changed.difference, with_new.difference, read(repository).difference}) == 3
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message=Second")
    assert not read(repository).is_dirty
    with pytest.raises(UsageError, match="that nobody committed"):
        changed.check_clean()


def test_a_workload_in_no_repository_has_the_commit_of_the_project(repository, monkeypatch, tmp_path):
    monkeypatch.setattr(source, "ROOT", repository)
    (tmp_path / "workload.yaml").touch()
    assert read(tmp_path) == read_source("shelf") == read(repository)
    git(repository, "checkout", "--quiet", "--detach")
    assert read_source("shelf").branch == "" and read_source("shelf").commit


def test_where_no_commit_can_be_read_a_sentence_says_why_and_nothing_fails(repository, monkeypatch, tmp_path):
    nowhere = read_source("shelf")
    assert nowhere.commit == "" and nowhere.sentence.startswith("The commit is not known: git says of ")
    assert "not a git repository" in nowhere.sentence
    git(tmp_path / "project", "init", "--quiet")
    assert read_source("shelf").commit == "" and "HEAD" in read_source("shelf").unknown
    monkeypatch.setenv("PATH", "")
    assert read(repository).sentence == "The commit is not known: git is not installed."
    with pytest.raises(UsageError, match="The commit is not known"):
        read(repository).check_clean()


def test_a_container_image_names_its_commit_in_a_variable(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert VARIABLE in Source.parse("").sentence
    monkeypatch.setenv(VARIABLE, Source("ab" * 20, "main").to_json())
    assert Source.parse("").commit == "ab" * 20


def test_no_program_of_the_repository_is_started(repository, tmp_path):
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    trap.chmod(0o755)
    for name in ("core.fsmonitor", "diff.external", "diff.own.textconv", "diff.own.command"):
        git(repository, "config", name, str(trap))
    (repository / ".gitattributes").write_text("* diff=own\n")
    (repository / "workload.yaml").write_text("name: other\n")
    assert read(repository).is_dirty and not (tmp_path / "started").exists()
