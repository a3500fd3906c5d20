"""The workloads of a workspace by name: those of data that were imported into it, and those of its runs."""

from pathlib import Path

from edgeline.errors import UsageError
from edgeline.workspace.runs import read_runs

WORKLOAD = "workload.yaml"
YAML = (".yaml", ".yml")  # the suffixes of workloads and profiles
_MOST_BYTES = 2**18


def locate_data(workspace: Path, name: str) -> Path:
    """Returns the folder into which `edgeline run SOURCE` imports; `name` is the model's."""
    return workspace / "data" / name


def find_workload_file(named: str, workspace: Path) -> Path | None:
    """Returns the workload.yaml that `named` stands for; None where it can only be a built-in name.

    `named` is the path of a file, the name of data in the workspace, or the model of an earlier run there.
    """
    if file := _find_own_file(named, workspace):
        return file
    earlier = read_runs(workspace, named)
    source = Path(earlier[-1].workload_source) if earlier else None
    return source if source and source.is_file() else None


def _find_own_file(named: str, workspace: Path) -> Path | None:
    """Returns the file of that path, or beside the data of that name in the workspace; None if neither is."""
    path = Path(named).expanduser()
    if path.is_file() or path.suffix in YAML:
        return path
    imported = locate_data(workspace, path.name) / WORKLOAD
    return imported if path.name == named and imported.is_file() else None


def resolve_model(named: str, workspace: Path) -> str:
    """Returns the name of the model that a file's path or a name stands for.

    Raises UsageError for a file that has no name or cannot be read.
    """
    file = _find_own_file(named, workspace)
    if file is None or read_runs(workspace, named):
        return named
    import yaml

    from edgeline.settings_layers import read_yaml

    try:
        content = read_yaml(file, _MOST_BYTES)
    except (OSError, yaml.YAMLError) as error:
        raise _make_error(file, " ".join(str(error).split())) from None
    if not isinstance(content, dict) or not isinstance(content.get("name"), str):
        raise _make_error(file, "It has no `name`.")
    return str(content["name"])


def _make_error(file: Path, why: str) -> UsageError:
    return UsageError(
        f"{file} does not say which model is meant.", why, "Pass the name of the model, or its workload.yaml."
    )
