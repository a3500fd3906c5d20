"""The package as `make wheel` builds it, installed alone beside a user's own modules."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from deploy.environment.uv import find_uv
from tests.conftest import make_workspace
from tests.edgeline.cli.test_verify import push_with_golden

ROOT = Path(__file__).parents[2]
COMMANDS = """
import sys
locks = []
{}
from edgeline.cli.main import main
for command in sys.argv[1:]:
    locks.clear()
    code = main(command.split())
    print(f"ended with {{code}} and {{len(locks)}} locks", end="\\0", flush=True)
"""
# Removes what Windows lacks, and adds a lock as Windows has it.
AS_ON_WINDOWS = """
import os, signal, subprocess, types  # subprocess looks for msvcrt when it is imported
del os.fchmod, signal.alarm
sys.modules.update(dict.fromkeys(("fcntl", "resource", "pwd", "grp")))
sys.modules["msvcrt"] = types.SimpleNamespace(LK_NBLCK=2, locking=lambda *lock: locks.append(lock))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    copy = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "edgeline", copy / "edgeline", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.py", copy)
    command = (sys.executable, "-W", "ignore", "setup.py", "--quiet", "bdist_wheel")
    subprocess.run(command, cwd=copy, check=True, capture_output=True)
    return next((copy / "dist").glob("edgeline-*.whl"))


@pytest.fixture(scope="module", params=["lowest-direct", "highest"])
def python(wheel, request, tmp_path_factory):
    """Returns the Python of an environment that has the package alone, with the oldest or newest versions."""
    uv, folder = find_uv(ROOT, os.environ["PATH"]), tmp_path_factory.mktemp("bare") / "venv"
    options = ("--resolution", request.param, "--only-binary", ":all:")
    for command in (
        ("venv", "--python", sys.executable, str(folder)),
        ("pip", "install", "--python", str(folder), *options, f"{wheel}[s3]"),
    ):
        subprocess.run((uv, "--quiet", *command), cwd=ROOT, check=True)
    return folder / "bin" / "python"


@pytest.fixture
def here(tmp_path, make_run):
    """Makes a folder of a user with a workspace, and with modules whose names the project has too."""
    (tmp_path / "errors.py").write_text("raise SystemExit('this is not the package')")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "__init__.py").write_text("raise SystemExit('nor is this')")
    make_workspace(tmp_path / "workspace", make_run)
    push_with_golden(tmp_path)
    return tmp_path


def run(python, here, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(here)}
    environment.pop("VIRTUAL_ENV", None)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.run((python, *arguments), cwd=here, env=environment, text=True, **streams)


def test_a_wheel_has_the_package_alone(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"edgeline"}
    kinds = {".css", ".html", ".js", ".json", ".mplstyle", ".txt", ".yaml"}
    read = {str(path.relative_to(ROOT)) for path in ROOT.glob("edgeline/*/**/*") if path.suffix in kinds}
    assert "edgeline/report/templates/base.html" in read
    assert read <= set(names)
    if (ROOT / "edgeline/phone/page/index.html").is_file():
        page = {"index.html", "page.js", "worker.js", "wasm/litert_wasm_internal.wasm"}
        assert {f"edgeline/phone/page/{name}" for name in page} <= set(names)


@pytest.mark.parametrize("target", ["phone", "wheel"])
def test_without_node_no_package_is_built_without_its_page(tmp_path, target):
    for name in ("sh", "find", "awk", "nproc"):
        (tmp_path / name).symlink_to(shutil.which(name))
    changed = ("-W", "edgeline/release/refusals.json")  # so that the page has to be built again
    command = (shutil.which("make"), *changed, target)
    process = subprocess.run(command, cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    found, why, do, _ = process.stderr.splitlines()
    assert process.returncode == 2 and process.stdout == ""
    assert found.startswith("Node 20") and why.endswith("Nothing was built.") and "apt install npm" in do


def call(python, here, commands, before=""):
    """Runs commands one after the other in one process; returns what each printed."""
    process = run(python, here, "-c", COMMANDS.format(before), *commands)
    assert process.returncode == 0, process.stdout
    return dict(zip(commands, process.stdout.split("\0")[:-1], strict=True))


def test_commands_of_the_package_work_without_the_project(python, here):
    (here / "rows.csv").write_text("celsius\n21.5\n30\n")
    expected = {
        "status": (0, "shelf: version 1 is in production"),
        "runs": (0, "20261005-091233    shelf        held"),
        "show latest": (0, "at least 0.850 is needed"),
        "report latest": (0, "report.html"),
        "diff latest latest": (0, "20261005-091233"),
        "verify": (0, "2 golden vectors pass, tensors and the scores of fp16, int8"),
        "predict rows.csv": (0, "bright 0."),
        "promote 1 --reason again": (2, "shelf 1 is in production already"),
        "alert --set alerts.command=[cat]": (0, "Held back: the model was trained and not pushed"),
        "alert --set alerts.comand=[cat]": (2, "Did you mean alerts.command?"),
        "keys --help": (0, "Makes and changes the keys"),
        "run": (2, "The command run needs the project, and only its package is installed here."),
    }
    for command, output in call(python, here, expected).items():
        code, text = expected[command]
        assert text in output and output.endswith(f"ended with {code} and 0 locks"), (command, output)


def test_releases_in_a_bucket_are_read(python, here, bucket):
    from edgeline.store.locations import get_filesystem, locate

    files = get_filesystem(locate(bucket))
    files.put(str(here / "workspace" / "push"), f"{bucket}/push", recursive=True)
    verify = f"verify --store {bucket}/push"
    output = call(python, here, [verify])[verify]
    assert "2 golden vectors pass" in output and output.endswith("ended with 0 and 0 locks"), output


def test_runs_and_releases_are_read_from_python_and_a_pipeline_needs_the_project(python, here):
    script = """
import edgeline, json
history = edgeline.open("workspace")
run, model = history.run("2026"), history.model()
scores = model.predict({"celsius": ["21.5", "30"]})["probabilities"]
print(json.dumps([run.id, run.outcome, [each.id for each in history.runs()], run.report().path.name, scores]))
print(hasattr(edgeline, "pipeline"))
try:
    edgeline.pipeline("shelf")
except edgeline.errors.UsageError as error:
    print(error.found)
"""
    process = run(python, here, "-c", script)
    assert process.returncode == 0, process.stdout
    document, has_pipeline, message = process.stdout.splitlines()
    id, outcome, ids, page, scores = json.loads(document)
    assert ids == [id] and (outcome, page) == ("held", "report.html")
    assert list(scores) == ["bright", "dark"] and sum(scores.values()) == pytest.approx(1, abs=1e-5)
    assert has_pipeline == "True" and "edgeline.pipeline needs the project" in message


def test_the_package_works_without_the_modules_that_windows_lacks(python, here):
    expected = {"status": (0, 0), "verify": (0, 0), "promote 1 --reason again": (2, 1)}
    for command, output in call(python, here, expected, AS_ON_WINDOWS).items():
        assert output.endswith("ended with {} and {} locks".format(*expected[command])), (command, output)
