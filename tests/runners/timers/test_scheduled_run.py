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


def get_shell_command(run, folds_backslashes=True):
    """Returns the command of cron for sh: \\% is %, and in Debian, unlike in cronie, \\\\ is \\."""
    line = render_crontab(run)
    assert line.startswith("0 3 * * 1 ")
    pattern = r"\\([%\\])" if folds_backslashes else r"\\(%)|\\(.)"
    command = line.removeprefix("0 3 * * 1 ")
    assert not re.search(r"(?<!\\)%", command)
    return re.sub(pattern, lambda match: match[1] or match[0], command)


def call(command, code="0"):
    """Runs a command as cron does, with the exit code of the program in it."""
    environment = {**os.environ, "CODE": code}
    return subprocess.run(
        ["/bin/sh", "-c", command], cwd="/", env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("folds_backslashes", [True, False], ids=["Debian", "cronie"])
@pytest.mark.parametrize("more", [(), ("\\\\", "\\%", "a\\\\\\%b%", "%\\", "'\\'%'")], ids=["odd", "odder"])
def test_the_shell_starts_the_command_word_by_word_in_its_folder(run, more, folds_backslashes):
    run = replace(run, command=(*run.command, *more))
    result = call(get_shell_command(run, folds_backslashes))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert json.loads((run.folder / "called.json").read_text()) == [str(run.folder), [*run.command[1:]]]
    assert locate_log(run).read_text() == "printed by the run\n"


@pytest.mark.parametrize("code", ["0", "4"])
def test_a_run_that_does_not_end_well_prints_for_cron_and_any_end_sends_the_alert(run, code):
    after = ("/bin/sh", "-c", "cp called.json alert.json; echo alert", "a 100% ü")
    printed = "printed by the run\n" if code == "4" else ""
    assert call(get_shell_command(run), code).stdout == printed
    assert call(get_shell_command(replace(run, after=after)), code).stdout == printed
    assert (run.folder / "alert.json").is_file()


def test_a_run_that_overlaps_the_next_one_prints_its_whole_end(run):
    slow, refused = (
        get_shell_command(replace(run, command=("/bin/sh", "-c", script)))
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
