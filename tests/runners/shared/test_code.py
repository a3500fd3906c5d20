import json
import sys

import pytest

from edgeline.errors import UsageError
from edgeline.records.steps import STEPS
from pipeline.evaluation import build_evaluation_config
from pipeline.workloads import find_workload
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


def test_the_code_of_the_edge_validator_includes_the_contracts():
    contracts = {
        "edgeline.edge.contracts.image",
        "edgeline.edge.contracts.row",
        "edgeline.edge.contracts.tokens",
    }
    assert contracts <= set(digest_step_files(*SHELF, {})["EdgeValidator"])


def test_the_code_of_the_evaluator_includes_the_metrics_that_its_configuration_names():
    config = json.loads(build_evaluation_config(find_workload("shelf"), 0.1))
    metrics = [metric for spec in config["metrics_specs"] for metric in spec["metrics"]]
    modules = {metric["module"] for metric in metrics if "module" in metric}
    assert modules and modules <= set(digest_step_files(*SHELF, {})["Evaluator"])


@pytest.mark.parametrize("file", ["leaves.py", "greens/shades.py"])
def test_an_edit_of_a_workload_of_ones_own_changes_only_the_steps_that_run_it(module, tmp_path, file):
    before = digest_step_files(module, SHELF[1], {})
    path = tmp_path / file
    path.write_text(path.read_text() + "# another line\n")

    after = digest_step_files(module, SHELF[1], {})

    assert {step for step in before if before[step] != after[step]} == {
        "Transform",
        "Tuner",
        "Trainer",
        "EdgeConverter",
    }
    assert digest(before) != digest(after)


def test_a_module_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match="no_such_module cannot be loaded") as caught:
        digest_step_files("no_such_module", SHELF[1], {})
    assert "PYTHONPATH" in caught.value.do


def test_a_package_that_raises_when_it_is_imported_is_named_with_its_error(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken_package").mkdir()
    (tmp_path / "broken_package" / "__init__.py").write_text("1 / 0\n")

    with pytest.raises(UsageError, match=r"broken_package\.model cannot be loaded") as caught:
        digest_step_files("broken_package.model", SHELF[1], {})
    assert "ZeroDivisionError" in caught.value.why


def test_a_module_with_a_syntax_error_is_named_with_its_line(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "half_written.py").write_text("X = 1\ndef (\n")

    with pytest.raises(UsageError, match=r"half_written\.py, line 2"):
        digest_step_files("half_written", SHELF[1], {})


def test_an_edit_of_the_release_store_trains_nothing_again(tmp_path, monkeypatch):
    """A line is added to one file after another in a copy of the project."""
    import shutil

    from runners.shared import code

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
