"""What the commands of a cluster have in common: settings, the way in, and a compiled pipeline to upload."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import UsageError
from runners.kubeflow.access import Access, connect
from runners.kubeflow.client import DEFAULT_EXPERIMENT, Cluster, Version
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
        """The name of the experiment that runs are filed under."""
        return self.settings.kubeflow.experiment or DEFAULT_EXPERIMENT


def target(named: NamedSettings, host: str | None) -> Target:
    """Settles everything and opens the API.

    Raises:
        EdgelineError: A setting is wrong, or nobody answers.
    """
    workload, settings = named.load()
    return Target(workload, settings, connect(Access.settle(settings.kubeflow, host, os.environ)))


def upload(target: Target, package: Path | None) -> Version:
    """Compiles the DAG, or takes what was compiled before, and uploads it as a new version.

    Args:
        target: What and where to.
        package: The YAML that `edgeline kubeflow compile` wrote; None compiles.

    Raises:
        EdgelineError: It does not compile, the file is none of ours, or the server refuses it.
    """
    with _compiled(target, package) as path:
        content = path.read_bytes()
        # The time sorts versions, the digest says which are the same.
        name = f"{datetime.now(timezone.utc):%Y%m%d-%H%M%S}-{hashlib.sha256(content).hexdigest()[:8]}"
        return target.cluster.upload(path, _pipeline_name(path, content), name)


@contextmanager
def _compiled(target: Target, package: Path | None) -> Iterator[Path]:
    if package is not None:
        yield package
        return
    from runners.kubeflow.compiler import compile_pipeline

    note("Compiling the DAG, which takes about half a minute.")
    with tempfile.TemporaryDirectory() as folder:
        yield compile_pipeline(target.workload, target.settings, Path(folder) / "pipeline.yaml").path


def _pipeline_name(path: Path, content: bytes) -> str:
    import yaml

    try:
        document: Any = next(yaml.load_all(content, getattr(yaml, "CSafeLoader", yaml.SafeLoader)), None)
        return str(document["pipelineInfo"]["name"])
    except (yaml.YAMLError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is no compiled pipeline.",
            "It has no name in pipelineInfo.",
            "Write one with `edgeline kubeflow compile -o FILE`.",
        ) from error
