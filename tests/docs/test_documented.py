"""Whatever a user can name is on a page and in a test: commands, options, settings, exit codes, files."""

import ast
import inspect
import pkgutil
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import get_args

import click

import edgeline
from edgeline import reading, records, runtime
from edgeline.cli.main import Commands
from edgeline.cli.options import EXIT_CODES
from edgeline.errors import EdgelineError
from edgeline.records.json_file import JsonFile, JsonLines
from edgeline.records.outcome import INTERRUPTED_EXIT
from runners.cli.main import COMMANDS
from runners.cli.settings import _list_settings

ROOT = Path(__file__).parents[2]
# Nobody reads CHANGELOG.md to learn a command.
PAGES = "\n".join(
    path.read_text(encoding="utf-8")
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))
    if path.name != "CHANGELOG.md"
)
# The rooms whose files people and other programs write or read, and the names of such files.
FORMATS = ("data", "edgeline/edge", "edgeline/release", "edgeline/report/archive.py", "edgeline/workspace")
FILE = re.compile(
    r"[a-z][\w-]*(?:\.[\w-]+)*\.(?:json|jsonl|csv|yaml|pbtxt|txt|html|sig|pem|cc|h|db|config|log)"
)
PUBLIC = (reading.History, reading.PastRun, reading.PastStep, reading.Model, runtime.Phone)


@cache
def read_tests():
    """Returns the words of each file of tests: of its texts, and its names."""
    files = []
    for path in ROOT.glob("tests/**/*.py"):
        if path == Path(__file__):
            continue
        words = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                words |= {*re.split(r"[^\w./-]+", node.value)}
            for field in ("attr", "id", "arg", "name"):
                words |= {getattr(node, field, None)}
        files.append(words)
    return files


def is_tested(*words):
    return any(file.issuperset(words) for file in read_tests())


def find_commands(name, command):
    yield name, command
    for part, inner in getattr(command, "commands", {}).items():
        yield from find_commands(f"{name} {part}", inner)


@cache
def list_commands():
    group = Commands(COMMANDS)
    return [each for name in COMMANDS for each in find_commands(name, group.load(name))]


def list_options():
    """Returns the commands and options by what an option is: several commands may share one."""
    options = {}
    for name, command in list_commands():
        for option in command.params:
            if isinstance(option, click.Option):
                options.setdefault(repr(option.to_info_dict()), []).append((name, option))
    return options.values()


def test_each_command_is_on_a_page_and_in_a_test():
    names = [name for name, _ in list_commands()]
    assert len(names) > 40
    assert [name for name in names if not re.search(rf"edgeline {name}\b", PAGES)] == []
    assert [name for name in names if not is_tested(*name.split())] == []


def test_each_option_and_argument_has_a_help():
    params = [(name, param) for name, command in list_commands() for param in command.params]
    assert [(name, param.name) for name, param in params if not getattr(param, "help", None)] == []


def test_each_option_is_in_a_test_of_a_command_that_has_it():
    untested = []
    for shared in list_options():
        pairs = [(*name.split(), *option.opts[-1:]) for name, option in shared]
        if not any(is_tested(*words) for words in pairs):
            untested.append(" ".join(pairs[0]))
    assert untested == []


def test_each_setting_is_described_and_in_a_test():
    settings = _list_settings(None)
    assert len(settings) > 200 and all(setting["description"] for setting in settings)
    names = [setting["name"] for setting in settings if "allowed" in setting]
    # `[]` and `*` stand for what a person names.
    assert [
        name for name in names if not is_tested(name) and not is_tested(re.split(r"[.\[\]*]+", name)[-1])
    ] == []


def list_exit_codes():
    kinds = [EdgelineError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return sorted({0, INTERRUPTED_EXIT, *(kind.exit_code for kind in kinds)})


def test_each_exit_code_is_on_the_page_in_the_help_and_in_a_test():
    codes = list_exit_codes()
    table = PAGES.partition("| exit code | meaning |")[2].partition("\n\n")[0]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == codes
    assert [int(code) for code in re.findall(r"^  (\d+)  ", EXIT_CODES, re.MULTILINE)] == codes
    tests = "\n".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/*.py"))
    compared = set(re.findall(r"(?:code\)?|main\(.*\)|load\(.*\)) == (\d+)", tests))
    assert compared >= {str(code) for code in codes}


def find_file_names():
    for room in FORMATS:
        path = ROOT / room
        for source in [path] if path.is_file() else sorted(path.rglob("*.py")):
            for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
                name = node.value if isinstance(node, ast.Constant) else None
                # A file beside its source belongs to the code.
                if isinstance(name, str) and FILE.fullmatch(name) and not source.with_name(name).exists():
                    yield name


def test_each_file_that_others_write_or_read_is_on_a_page_and_in_a_test():
    names = {*find_file_names()}
    assert len(names) > 30
    assert sorted(name for name in names if name not in PAGES) == []
    tests = "\n".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/*.py"))
    assert sorted(name for name in names if name not in tests) == []


def find_records():
    """Yields the files that steps hand to each other: the name of the constant, and the constant."""
    for found in pkgutil.iter_modules(records.__path__, "edgeline.records."):
        for name, value in vars(import_module(found.name)).items():
            if isinstance(value, JsonFile | JsonLines):
                yield name, value


def list_classes(kind):
    """Returns the classes of ours in the type of a file."""
    classes = [each for part in get_args(kind) for each in list_classes(part)]
    if getattr(kind, "__module__", "").startswith("edgeline."):
        classes.append(kind)
    return classes


def test_each_file_that_a_step_hands_to_another_has_a_described_type_and_is_in_a_test():
    files = dict(find_records())
    assert len(files) > 25
    described = {inspect.getdoc(each) for file in files.values() for each in list_classes(file.kind)}
    # The docstring that a dataclass gets by itself is its signature.
    assert [text for text in described if not text or re.match(r"\w+\(", text)] == []
    assert [name for name, file in files.items() if not is_tested(name) and not is_tested(file.name)] == []


def test_each_public_name_of_the_package_is_on_a_page_documented_and_in_a_test():
    stub = (ROOT / "edgeline" / "__init__.pyi").read_text(encoding="utf-8")
    names = {name: getattr(edgeline, name) for name in re.findall(r"import (\w+) as", stub)}
    for kind in PUBLIC:
        names |= {name: getattr(kind, name) for name in vars(kind) if not name.startswith("_")}
    assert [name for name, value in names.items() if not inspect.getdoc(value)] == []
    assert [name for name in names if not re.search(rf"[.`]{name}\b", PAGES)] == []
    assert [name for name in names if not is_tested(name)] == []
