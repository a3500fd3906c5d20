import re
from importlib.metadata import version

import pytest

from data.shelf.faults import FAULTS
from edgeline.cli.main import SECTIONS, Commands
from runners.cli.main import COMMANDS
from tests.runners.cli.process import add_week, edgeline, python

BARE = {"tensorflow", "tfx", "apache_beam", "ml_metadata", "keras", "numpy"}
HEAVY = {*BARE, "pydantic"}
# Packages that commands must not import; each command runs after those above it, which import less.
LIGHT = {
    "kubeflow submit --help": {*HEAVY, "kfp", "yaml", "rich"},
    "--help": HEAVY,
    "run --help": HEAVY,
    "status --json": HEAVY,
    "runs --json": HEAVY,
    "verify --json": HEAVY,
    "rollback --help": HEAVY,
    "report latest": HEAVY,
    "tensorboard --help": HEAVY,
    "alert --help": HEAVY,
    "settings --help": HEAVY,
    "settings trainer": BARE,
    "schedule --systemd --data data": {*BARE, "kfp", "s3fs", "matplotlib"},
}


def test_light_commands_import_no_tensorflow(tmp_path, workspace):
    add_week(tmp_path / "data")
    script = (
        "import sys\nfrom runners.cli.main import main\n"
        f"for arguments, heavy in {LIGHT}.items():\n"
        "    code = main(arguments.split())\n"
        "    print('LIGHT', arguments, code, sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    lines = python("-c", script, cwd=tmp_path).stderr.splitlines()
    # There is no store to verify in this workspace.
    expected = [f"LIGHT {each} {2 if each.startswith('verify') else 0} []" for each in LIGHT]
    assert [line for line in lines if line.startswith("LIGHT")] == expected


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_in_the_list_of_commands_is_that_of_the_command(name):
    command = Commands(COMMANDS).load(name)

    assert (command.name, command.get_short_help_str()) == (name, COMMANDS[name][1])


def test_the_help_lists_every_command_and_tells_the_exit_codes(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    help_ = command("--help").out
    assert command("-h").out == help_
    width = max(map(len, COMMANDS))
    for name, (_, summary) in COMMANDS.items():
        assert f"  {name:<{width}}  {summary}\n" in help_
    for line in ("exit codes:", "0  pushed, or nothing changed", "130  ended by Ctrl-C or SIGTERM"):
        assert line in map(str.strip, help_.splitlines())
    assert "completion" not in help_
    sections = ["Used most", "Start", "Look", "Release", "Operate", "Set up"]
    assert re.findall(r"^(\w[\w ]*):$", help_, re.M)[1:] == sections
    assert re.findall(r"^  (\w+) ", help_.partition("Used most:")[2], re.M)[:5] == list(SECTIONS["Used most"])


def test_the_help_of_a_command_has_the_text_below_its_options(command):
    assert "  4  data refused before training\n" in command("run", "--help").out
    assert "SSL_CERT_FILE names the" in command("kubeflow", "schedule", "--help").out


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_fits_a_narrow_terminal(command, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "60")
    for action in getattr(Commands(COMMANDS).load(name), "commands", {"": None}):
        help_ = command(name, *action.split(), "--help").out
        assert help_ and max(map(len, help_.splitlines())) <= 60


def test_the_help_names_every_fault(command):
    words = command("data", "generate", "--help").out.partition("faults: ")[2].split()
    assert sorted(word.strip(",") for word in words) == sorted(FAULTS)


def test_the_version_is_that_of_the_package(command):
    assert command("--version").out.startswith(f"edgeline {version('edgeline')}, Python 3.")


def test_a_shell_gets_the_completions_of_a_word(tmp_path, monkeypatch):
    monkeypatch.setenv("COMP_WORDS", "edgeline run --wo")
    monkeypatch.setenv("COMP_CWORD", "2")
    monkeypatch.setenv("_EDGELINE_COMPLETE", "bash_complete")
    assert "plain,--workload" in edgeline(cwd=tmp_path).stdout.splitlines()
