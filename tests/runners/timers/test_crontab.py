import json
import os
import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from errors import EdgelineError
from runners.timers import crontab
from runners.timers.weekly_time import parse_weekly_time

SPOOL = "/var/spool/cron/crontabs"
OTHERS = "# mine, with ü\nMAILTO=me@example.org\n\n5 4 * * * echo 100\\% >/dev/null\n"


@pytest.fixture
def spool(tmp_path, monkeypatch):
    """The real crontab command, with a folder of the test in the place of the machine's crontabs."""
    real = shutil.which("crontab")
    if os.geteuid() != 0 or real is None or not os.path.isdir(SPOOL) or not shutil.which("unshare"):
        pytest.skip("a crontab of one's own needs root, unshare and cron")
    (tmp_path / "spool").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "crontab").write_text(
        "#!/bin/sh\n"
        f'exec unshare -m sh -c \'mount --bind {tmp_path}/spool {SPOOL} && exec {real} "$@"\' crontab "$@"\n'
    )
    (tmp_path / "bin" / "crontab").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    if subprocess.run(["crontab", "-l"], capture_output=True).returncode not in (0, 1):
        pytest.skip("this machine lets nobody mount a folder")
    return tmp_path / "spool"


def listed():
    return subprocess.run(["crontab", "-l"], capture_output=True, text=True, check=True).stdout


def set_crontab(text):
    subprocess.run(["crontab", "-"], input=text.encode("utf-8", "surrogateescape"), check=True)


def fake_crontab(tmp_path, monkeypatch, script):
    """In the place of crontab, for what the real one does only on a machine that is in trouble."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    (tmp_path / "bin" / "crontab").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "bin" / "crontab").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")


def shell_command(run, folds_backslashes=True):
    """What cron hands to sh: \\% as %, and where it folds them (as Debian's, unlike cronie) \\\\ as \\."""
    _, line, _ = crontab.block(run).splitlines()
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
    assert (run.workspace / "schedule-shelf.log").read_text() == "said by the run\n"


def test_a_run_that_does_not_end_well_says_so_to_cron_and_a_good_one_says_nothing(run):
    environment = {**os.environ, "CODE": "4"}
    ended = subprocess.run(
        ["/bin/sh", "-c", shell_command(run)], env=environment, capture_output=True, text=True
    )

    assert ended.stdout == "said by the run\n"


@pytest.mark.parametrize("code", ["0", "4"])
def test_who_is_to_be_told_is_told_however_the_run_ended(run, code):
    after = ("/bin/sh", "-c", "cp called.json told.json; echo told", "a 100% ü")
    command = shell_command(replace(run, after=after))
    environment = {**os.environ, "CODE": code}

    ended = subprocess.run(["/bin/sh", "-c", command], env=environment, capture_output=True, text=True)

    assert (run.folder / "told.json").is_file()
    assert ended.stdout == ("said by the run\n" if code == "4" else "")


def test_a_first_schedule_makes_a_crontab(run, spool):
    crontab.install(run)

    assert listed() == crontab.block(run)
    assert crontab.installed() == [run.name]


def test_other_lines_stay_as_they_are_byte_by_byte(run, spool):
    set_crontab(OTHERS)
    crontab.install(run)
    set_crontab(listed() + "# after it\n")
    crontab.install(replace(run, at=parse_weekly_time("Tue 04:00")))

    assert listed().startswith(OTHERS) and listed().endswith("# after it\n")
    assert "\n0 4 * * 2 " in listed() and "\n0 3 * * 1 " not in listed()

    crontab.remove(run.name)
    assert listed() == OTHERS + "# after it\n"


def test_two_schedules_live_side_by_side(run, spool):
    other = replace(run, name="edgeline-bottles-0123abcd")
    crontab.install(run)
    crontab.install(other)
    assert crontab.installed() == ["edgeline-bottles-0123abcd", "edgeline-shelf-0123abcd"]

    crontab.remove(run.name)

    assert listed() == crontab.block(other)


def test_bytes_that_are_not_utf_8_stay(run, spool):
    subprocess.run(["crontab", "-"], input=b"# caf\xe9\n", check=True)
    crontab.install(run)
    crontab.remove(run.name)

    assert subprocess.run(["crontab", "-l"], capture_output=True).stdout == b"# caf\xe9\n"


@pytest.mark.parametrize(
    "damaged",
    ["# {name}: begin\n", "# {name}: end\n", "# {name}: end\n# {name}: begin\n", 3 * "# {name}: begin\n"],
)
def test_damaged_marks_are_told_and_nothing_is_changed(run, spool, damaged):
    set_crontab(OTHERS + damaged.format(name=run.name) + "# after it\n")
    before = listed()

    for change in (lambda: crontab.install(run), lambda: crontab.remove(run.name)):
        with pytest.raises(EdgelineError, match="not one begin and one end") as refused:
            change()
        assert "crontab -e" in refused.value.do
    assert listed() == before


def test_a_line_that_is_too_long_for_cron_is_told_and_the_crontab_stays(run, spool):
    set_crontab(OTHERS)
    long = replace(run, command=(*run.command, "x" * 2000))

    with pytest.raises(EdgelineError, match="command too long") as refused:
        crontab.install(long)

    assert "profile" in refused.value.do
    assert listed() == OTHERS


def test_a_crontab_that_cannot_be_read_is_not_written_over(run, tmp_path, monkeypatch):
    fake_crontab(
        tmp_path, monkeypatch, f'echo "$*" >> {tmp_path}/asked; echo "cannot open spool" >&2; exit 1'
    )

    with pytest.raises(EdgelineError, match="cannot open spool") as refused:
        crontab.install(run)

    assert "not changed" in refused.value.why and refused.value.do
    assert (tmp_path / "asked").read_text() == "-l\n"


def test_a_crontab_that_cannot_be_written_is_told(run, tmp_path, monkeypatch):
    fake_crontab(tmp_path, monkeypatch, '[ "$1" = -l ] && exit 0; echo "No space left on device" >&2; exit 1')

    with pytest.raises(EdgelineError, match="No space left on device"):
        crontab.install(run)
