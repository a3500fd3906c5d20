import json
import shutil
import sys

import pytest

from edgeline.errors import UsageError
from edgeline.records.steps import STEPS
from pipeline.evaluation import build_evaluation_config
from pipeline.workloads import find_workload
from runners.shared import code
from runners.shared.code import digest, digest_step_files

SHELF = ("trainer_module.workloads.photos", "data.photos.source")


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The module of a workload of one's own, and a package that one of its functions imports."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "leaves.py").write_text("def preprocessing_fn(inputs):\n    from greens import shades\n")
    (tmp_path / "greens").mkdir()
    (tmp_path / "greens" / "__init__.py").write_text("from . import shades\n")
    (tmp_path / "greens" / "shades.py").write_text("DARK = 1\n")
    yield "leaves"
    for name in ("greens", "greens.shades", "leaves"):
        sys.modules.pop(name, None)


def test_every_step_names_code_that_is_there():
    files = digest_step_files(*SHELF, {})

    assert set(files) == {step for step, info in STEPS.items() if info.has_code}
    assert digest_step_files(*SHELF, {}) == files and len(set(map(digest, files.values()))) == len(files)


def test_the_code_of_a_step_includes_contracts_and_metrics_that_it_imports_by_name():
    files = digest_step_files(*SHELF, {})
    assert {f"edgeline.edge.contracts.{kind}" for kind in ("image", "row", "tokens")} <= set(
        files["EdgeValidator"]
    )
    config = json.loads(build_evaluation_config(find_workload("shelf"), 0.1))
    metrics = [metric for spec in config["metrics_specs"] for metric in spec["metrics"]]
    modules = {metric["module"] for metric in metrics if "module" in metric}
    assert modules and modules <= set(files["Evaluator"])


@pytest.mark.parametrize("file", ["leaves.py", "greens/shades.py"])
def test_an_edit_of_a_workload_of_ones_own_changes_only_the_steps_that_run_it(module, tmp_path, file):
    before = digest_step_files(module, SHELF[1], {})
    path = tmp_path / file
    path.write_text(path.read_text() + "# another line\n")

    after = digest_step_files(module, SHELF[1], {})

    changed = {step for step in before if before[step] != after[step]}
    assert changed == {"Transform", "Tuner", "Trainer", "EdgeConverter"}
    assert digest(before) != digest(after)


@pytest.mark.parametrize(
    ("module", "found", "more"),
    [
        ("no_such_module", r"no_such_module cannot be loaded", "PYTHONPATH"),
        ("broken_package.model", r"broken_package\.model cannot be loaded", "ZeroDivisionError"),
        ("half_written", r"half_written\.py, line 2", "Fix it."),
    ],
)
def test_a_module_that_cannot_be_read_is_named_with_the_reason(tmp_path, monkeypatch, module, found, more):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken_package").mkdir()
    (tmp_path / "broken_package" / "__init__.py").write_text("1 / 0\n")
    (tmp_path / "half_written.py").write_text("X = 1\ndef (\n")
    with pytest.raises(UsageError, match=found) as caught:
        digest_step_files(module, SHELF[1], {})
    assert more in f"{caught.value.why} {caught.value.do}"


def test_an_edit_of_the_release_store_trains_nothing_again(tmp_path, monkeypatch):
    """A line is added to one file after another in a copy of the project."""
    for name in ("components", "data", "edgeline", "trainer_module"):
        shutil.copytree(code.ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "ROOT", tmp_path)
    before = digest_step_files(*SHELF, {})
    for edited, steps in {
        "edgeline/release/store.py": {"ProductionModel", "StatisticsGen"},
        "edgeline/gates/bounds.py": {"ModelValidator", "EdgeValidator"},
        "data/spans/split.py": {"ExampleGen"},
        # ExampleGen makes its cached spans again.
        "edgeline/edge/photo_pixels.py": {"ExampleGen", "ProductionModel", "EdgeValidator"},
    }.items():
        path = tmp_path / edited
        text = path.read_text()
        path.write_text(f"{text}# another line\n")
        after = digest_step_files(*SHELF, {})
        path.write_text(text)
        assert {step for step in before if before[step] != after[step]} == steps, edited
