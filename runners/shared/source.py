"""Reads the git commit of a workload or the project; `python -m runners.shared.source` prints the latter."""

import os
import subprocess
from contextlib import suppress
from pathlib import Path

from edgeline.records.source import Source
from runners.shared.code import ROOT, hash_files

_LONGEST_S = 30
# A new file that git neither has nor ignores changes the code or the settings of a run if its name ends so;
# data and workspaces, which may lie there too, have digests of their own.
_CODE = ("*.py", "*.yaml", "*.yml", "*.pbtxt", "*.toml")


def read_source(workload: str) -> Source:
    """Returns the commit of the repository that a workload's file is in; of the project's, if in none."""
    return _read_commit(find_repository(workload))


def find_repository(workload: str) -> Path:
    """Returns a folder in the repository of a workload's file; the project's, if that is in none."""
    folder = Path(workload).absolute().parent
    if os.path.isfile(workload):
        with suppress(OSError, subprocess.SubprocessError):
            _git(folder, "rev-parse", "HEAD")
            return folder
    return ROOT


def _read_commit(folder: Path) -> Source:
    try:
        top = Path(os.fsdecode(_git(folder, "rev-parse", "--show-toplevel")).strip())
        commit = _git(top, "rev-parse", "HEAD").decode().strip()
        branch = _git(top, "branch", "--show-current").decode().strip()
        difference = _git(top, "diff", "HEAD", "--binary", "--full-index", "--no-ext-diff", "--no-textconv")
        listed = _git(top, "ls-files", "-z", "--others", "--exclude-standard", "--", *_CODE)
        new = [top / os.fsdecode(name) for name in listed.split(b"\0") if name]
        digest = hash_files(difference, new) if difference or new else ""
        return Source(commit, branch, bool(digest), digest)
    except FileNotFoundError:
        return Source(unknown="git is not installed.")
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip().partition("\n")[0].removeprefix("fatal: ")
        return Source(unknown=f"git says of {folder}: {reason}.")
    except (subprocess.TimeoutExpired, OSError) as error:
        return Source(unknown=f"git could not read {folder}: {error}.")


def _git(folder: Path, *arguments: str) -> bytes:
    """Returns what git prints, without the programs for differences that a repository's settings may name."""
    # Within a hook, git's variables name the repository of the hook.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(folder), "-c", "core.fsmonitor=false", "--no-optional-locks", *arguments]
    environment["LC_ALL"] = "C"
    return subprocess.run(
        command, env=environment, capture_output=True, check=True, timeout=_LONGEST_S
    ).stdout


if __name__ == "__main__":
    print(read_source("").to_json())
