import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from edgeline.errors import EdgelineError
from runners.timers.scheduled_run import find_program, locate_log, render_crontab


def shell_command(run, folds_backslashes=True):
    """Returns what cron hands to sh: \\% as %, and in Debian's, unlike cronie, \\\\ as \\."""
    line = render_crontab(run)
    assert line.startswith("0 3 * * 1 ")
    pattern = r"\\([%\\])" if folds_backslashes else r"\\(%)|\\(.)"
    command = line.removeprefix("0 3 * * 1 ")
    assert not re.search(r"(?<!\\)%", command)
    return re.sub(pattern, lambda match: match[1] or match[0], command)


@pytest.mark.parametrize("folds_backslashes", [True, False], ids=["Debian", "cronie"])
@pytest.mark.parametrize("more", [(), ("\\\\", "\\%", "a\\\\\\%b%", "%\\", "'\\'%'")], ids=["odd", "odder"])
def test_the_shell_starts_the_command_word_by_word_in_its_folder(run, more, folds_backslashes):
    run = replace(run, command=(*run.command, *more))
    command = shell_command(run, folds_backslashes)

    ended = subprocess.run(["/bin/sh", "-c", command], cwd="/", capture_output=True, text=True)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert json.loads((run.folder / "called.json").read_text()) == [str(run.folder), [*run.command[1:]]]
    assert locate_log(run).read_text() == "printed by the run\n"


def test_a_run_that_does_not_end_well_says_so_to_cron_and_a_good_one_says_nothing(run):
    environment = {**os.environ, "CODE": "4"}
    ended = subprocess.run(
        ["/bin/sh", "-c", shell_command(run)], env=environment, capture_output=True, text=True
    )

    assert ended.stdout == "printed by the run\n"


@pytest.mark.parametrize("code", ["0", "4"])
def test_who_is_to_be_told_is_told_however_the_run_ended(run, code):
    after = ("/bin/sh", "-c", "cp called.json told.json; echo told", "a 100% ü")
    command = shell_command(replace(run, after=after))
    environment = {**os.environ, "CODE": code}

    ended = subprocess.run(["/bin/sh", "-c", command], env=environment, capture_output=True, text=True)

    assert (run.folder / "told.json").is_file()
    assert ended.stdout == ("printed by the run\n" if code == "4" else "")


def test_a_run_that_the_next_one_meets_says_its_end_whole(run):
    slow, refused = (
        shell_command(replace(run, command=("/bin/sh", "-c", script)))
        for script in ("echo begins; touch begun; sleep 0.5; echo ends; exit 3", "echo refused; exit 5")
    )
    first = subprocess.Popen(["/bin/sh", "-c", slow], stdout=subprocess.PIPE, text=True)
    while not (run.folder / "begun").exists():
        time.sleep(0.05)
    subprocess.run(["/bin/sh", "-c", refused], stdout=subprocess.DEVNULL, check=True)
    assert first.communicate()[0] == "refused\nends\n"


def test_a_schedule_needs_the_command_in_its_environment(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(EdgelineError, match="edgeline does not exist"):
        find_program()
