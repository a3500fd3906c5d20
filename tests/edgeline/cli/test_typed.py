"""Every command that a message, a page or the README names can be typed as it stands there."""

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from data.photos.labels_file import LabelRow, write_span
from edgeline.cli.main import Commands
from edgeline.cli.stdout import make_rewriter, name_program
from runners.cli.main import COMMANDS, main
from tests.data.sample_photos import jpeg

ROOT = Path(__file__).parents[3]
ROOMS = ("components", "data", "drill", "edgeline", "pipeline", "runners")
PAGES = sorted(str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))
# A line of a shell; assignments and a pipe may stand before the command.
SHELL = re.compile(r"^    ((?:\w+=\S+ |[\w .-]+\| )*(?:\.venv/bin/\w+|make) .*)$", re.MULTILINE)
# Debian has no `python`, and nothing puts the environment on a reader's PATH.
BARE = re.compile(r"(?:^ *(?:\w+=\S+ )*|`)(?:python|pip|edgeline) [^`\n]*", re.MULTILINE)
# This marks a value that is filled in, or that only the reader knows; it is parsed as a number.
FILLED_IN = "\x00"
EDGELINE = re.compile(r"((?:\S*/)?edgeline .*)$", re.MULTILINE)
QUOTED = re.compile(r"`((?:\S*/)?edgeline [^`]+)`", re.DOTALL)
LINE = re.compile(r"(?:^|[:;,] |  )((?:\S*/)?edgeline (?!command)[a-z][^`\n]*)$", re.MULTILINE)
ELSEWHERE = re.compile(r"\.\.\.|[()\[\]]| \| ")


def read_page(page):
    return (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ")


def find_texts(path):
    """Yields the texts of a source but docstrings, with a mark for each value that is filled in."""
    source = path.read_text(encoding="utf-8")
    if "edgeline " not in source:
        return
    tree = ast.parse(source)
    inner = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inner |= {id(part) for part in node.values}
        if isinstance(node, ast.Expr):
            inner.add(id(node.value))
    for node in ast.walk(tree):
        if id(node) in inner:
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else FILLED_IN for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def find_printed():
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            for text in find_texts(path):
                for match in (*QUOTED.finditer(text), *LINE.finditer(text)):
                    yield str(path.relative_to(ROOT)), match[1]


def find_documented():
    for page in PAGES:
        text = read_page(page)
        lines = "\n".join(SHELL.findall(text))
        for match in (*QUOTED.finditer(text), *EDGELINE.finditer(lines)):
            if not ELSEWHERE.search(match[1]):  # a line of usage
                yield page, match[1]


def parse(command):
    """Parses a command as the real command line does, and runs nothing."""
    command = command.replace(f"--{FILLED_IN}", "--label=1")
    words = shlex.split(command.replace(FILLED_IN, "1").rstrip(".,"), comments=True)
    words = [re.sub(r"^[A-Z]+(_[A-Z]+)*$", "1", word) for word in words]
    name, *arguments = words[1:]
    target = Commands(COMMANDS).load(name)
    if isinstance(target, click.Group):
        if not arguments:  # it lists its actions
            return
        target, arguments = target.commands[arguments[0]], arguments[1:]
    if target.name == "schedule":
        arguments = [*arguments, *(["--cron", "0 0 3 * * 1"] if "kubeflow" in words else [])]
    required = [parameter.name for parameter in target.params if parameter.required]
    if not arguments and required:  # named and not spelt out, as `edgeline keys new`
        return
    try:
        target.make_context(name, [*arguments])
    except click.UsageError:
        if not command.endswith(f" {FILLED_IN}"):
            raise
        if arguments[:-1]:  # options are filled in there
            target.make_context(name, arguments[:-1])


def test_each_command_that_is_printed_or_documented_can_be_parsed():
    commands = sorted({*find_printed(), *find_documented()})
    wrong = []
    for place, command in commands:
        try:
            parse(command)
        except Exception as error:
            wrong.append(f"{place}: {command!r}: {type(error).__name__} {error}")
    assert wrong == [] and len(commands) > 100


@pytest.mark.parametrize("page", PAGES)
def test_each_command_on_a_page_names_the_environment(page):
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.M | re.S)
    assert page == "CHANGELOG.md" or BARE.findall(text) == []


def find(name):
    return Commands(COMMANDS).load(name) if name in COMMANDS else None


@pytest.fixture
def plain(monkeypatch):
    """Puts `edgeline` on the PATH."""
    monkeypatch.setenv("PATH", f"{Path(sys.prefix, 'bin')}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("given", "text", "typed"),
    [
        (
            ["run", "--workspace", "my runs"],
            "Look with `edgeline show latest`.",
            "Look with `edgeline show --workspace 'my runs' latest`.",
        ),
        (["run", "--workspace=w"], "`edgeline show 1 --workspace v`", "`edgeline show 1 --workspace v`"),
        (
            ["run", "--workspace", "w"],
            "`edgeline data exclude S --data d`",
            "`edgeline data exclude S --data d`",
        ),
        (["status", "--store", "s"], "`edgeline verify`, then", "`edgeline verify --store s`, then"),
        (
            ["kubeflow", "submit", "--settings", "c.yaml", "--workload", "text"],
            "Follow it: edgeline kubeflow watch 7",
            "Follow it: edgeline kubeflow watch --settings c.yaml --workload text 7",
        ),
        (
            ["verify", "--workload", "row"],
            "`edgeline promote V --reason R`, `edgeline run`",
            "`edgeline promote --workload row V --reason R`, `edgeline run --workload row`",
        ),
        (["edge", "bench", "--workload=row"], "`edgeline status`", "`edgeline status --workload row`"),
        (
            ["run", "--workload", "w.yaml"],
            "Go: edgeline show latest",
            "Go: edgeline show --workload w.yaml latest",
        ),
        ([], "See `edgeline --help`.", "See `edgeline --help`."),
        (["run"], "the edgeline command, edgeline nothing", "the edgeline command, edgeline nothing"),
    ],
)
def test_a_printed_command_has_the_options_of_the_place_that_were_typed(plain, given, text, typed):
    assert make_rewriter(given, find)(text) == typed


def test_edgeline_is_printed_with_its_path_if_it_is_not_on_the_path(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    assert name_program() == str(Path(sys.prefix, "bin", "edgeline"))
    monkeypatch.chdir(Path(sys.prefix).parent)
    program = f"{Path(sys.prefix).name}/bin/edgeline"
    assert name_program() == program
    texts = ("See `edgeline --help`.", "Details: edgeline show latest")
    assert [make_rewriter([], find)(text) for text in texts] == [
        f"See `{program} --help`.",
        f"Details: {program} show latest",
    ]


def test_the_command_that_an_error_prints_works_in_a_shell(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    for week in range(2):
        write_span(tmp_path / "my data", [(LabelRow("a.jpg", "ok", "", "", ""), jpeg(seed=week))])
    exclude = ["data", "exclude", "span-00002", "--reason", "dark", "--data", "my data"]
    assert main(exclude) == 0 and main(exclude) == 2
    lead = "To include it again: "
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith(lead))
    process = subprocess.run(line.removeprefix(lead), shell=True, capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (0, "")
