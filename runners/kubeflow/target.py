"""What the commands of a cluster have in common: settings, the way in, and a compiled pipeline to upload."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import UsageError
from journal import who
from release.signing import KEY_VARIABLE
from runners.kubeflow.access import connect
from runners.kubeflow.client import Cluster, Version
from runners.shared.run_options import NamedSettings
from runners.shared.stdout import note

if TYPE_CHECKING:
    from pipeline.settings import Settings
    from records.workload import Workload


@dataclass(frozen=True)
class Target:
    """A workload, its settings, and the cluster that they name."""

    workload: "Workload"
    settings: "Settings"
    cluster: Cluster

    @property
    def experiment(self) -> str:
        """The name of the experiment that runs are filed under; `Default` is what the API itself takes."""
        return self.settings.kubeflow.experiment or "Default"


def target(named: NamedSettings, host: str | None) -> Target:
    """Settles everything and opens the API.

    Raises:
        EdgelineError: A setting is wrong, or nobody answers.
    """
    workload, settings = named.load()
    return Target(workload, settings, connect(settings.kubeflow, host, os.environ))


def upload(target: Target, package: Path | None) -> Version:
    """Compiles the DAG, or takes what `edgeline kubeflow compile` wrote; uploads it, unless it is there.

    Raises:
        EdgelineError: It does not compile, the file is none of ours, the server refuses it, or phones would
            refuse what comes of it.
    """
    with tempfile.TemporaryDirectory() as folder:
        if package is None:
            _check_push(target)
            from runners.kubeflow.compiler import compile_pipeline

            note("Compiling the DAG, which takes about half a minute.")
            package = compile_pipeline(target.workload, target.settings, Path(folder, "pipeline.yaml")).path
        content = package.read_bytes()
        about = _about(package, content)
        # Twelve digits tell the versions of a pipeline apart.
        digest = hashlib.sha256(content).hexdigest()[:12]
        description = f"By {who()}. {about.get('description', '')}".strip()
        return target.cluster.upload(package, about["name"], digest, description, about["parameters"])


def _check_push(target: Target) -> None:
    """Told now, and not after the data steps, by DataGate, where the releases can be read from here."""
    from release.acceptance import check_push_early

    kubeflow, epoch = target.settings.kubeflow, target.settings.push.rollback_epoch
    if (store := kubeflow.store) is not None:
        check_push_early(store, target.workload.name, epoch, KEY_VARIABLE in kubeflow.secrets)


def _about(path: Path, content: bytes) -> dict[str, Any]:
    """What a compiled pipeline says of itself, with the values that its parameters have by default."""
    import yaml

    try:
        document: Any = next(yaml.load_all(content, getattr(yaml, "CSafeLoader", yaml.SafeLoader)), None)
        parameters = document["root"].get("inputDefinitions", {}).get("parameters", {})
        values = {name: each["defaultValue"] for name, each in parameters.items()}
        return {
            **document["pipelineInfo"],
            "name": str(document["pipelineInfo"]["name"]),
            "parameters": values,
        }
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is no compiled pipeline.",
            "It has no name in pipelineInfo, or no root.",
            "Write one with `edgeline kubeflow compile -o FILE`.",
        ) from error
