"""The common parts of the cluster commands: settings, connection, and the upload of a compiled pipeline."""

import hashlib
import os
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeline.cli.stdout import note
from edgeline.errors import UsageError
from edgeline.journal import get_user_and_host
from edgeline.release.signing import KEY_VARIABLE
from runners.kubeflow.access import connect
from runners.kubeflow.client import Cluster, Version
from runners.kubeflow.run_steps import read_workload
from runners.shared.code import digest, digest_step_files
from runners.shared.inputs import digest_lock
from runners.shared.run_options import NamedSettings

if TYPE_CHECKING:
    from edgeline.records.workload import Workload
    from pipeline.settings import Settings

# Compiled pipelines that are kept on this machine; each has about 100 kB.
_MOST_KEPT = 20


@dataclass(frozen=True)
class Target:
    """A workload, its settings, and the cluster that they name."""

    workload: "Workload"
    settings: "Settings"
    cluster: Cluster

    @property
    def experiment(self) -> str:
        """Returns the name of the experiment of the runs; `Default` is the API's own default."""
        return self.settings.kubeflow.experiment or "Default"


def load_target(named: NamedSettings, host: str | None) -> Target:
    """Loads the workload and its settings, and connects to the cluster.

    Raises EdgelineError if a setting is wrong, or nobody answers.
    """
    workload, settings = named.within(Path("workspace")).load()
    return Target(workload, settings, connect(settings.kubeflow, host, os.environ))


def upload(target: Target, package: Path | None) -> Version:
    """Uploads a pipeline that `edgeline kubeflow compile` wrote, or compiles the DAG first.

    A pipeline that is already there is not uploaded again. Raises EdgelineError if it does not compile, the
    file is not a compiled pipeline or is that of another workload, the server refuses it, or phones would
    refuse its releases.
    """
    with tempfile.TemporaryDirectory() as folder:
        if package is None:
            _check_push(target)
            package = _compile_once(target, Path(folder))
        content = package.read_bytes()
        about = _read_info(package, content)
        if about["workload"] != target.workload.name:
            raise UsageError(
                f"{package} belongs to the workload {about['workload']}, not {target.workload.name}.",
                "The runs and the schedule of one workload would train another.",
                "Pass the workload that it was compiled from with --workload, or compile it again.",
            )
        # Twelve digits are enough to distinguish the versions of a pipeline.
        version = hashlib.sha256(content).hexdigest()[:12]
        description = f"By {get_user_and_host()}. {about.get('description', '')}".strip()
        return target.cluster.upload(package, target.workload, version, description, about["parameters"])


def _compile_once(target: Target, scratch: Path) -> Path:
    """Returns the compiled pipeline; compiles the DAG if something that it is made of changed.

    It is kept in the user's cache, `$XDG_CACHE_HOME/edgeline/pipelines`; in `scratch` if that cannot be made.
    """
    workload, settings = target.workload, target.settings
    own = {"compiler": "runners.kubeflow.compiler", **settings.own_modules()}
    key = digest(
        {
            "workload": [workload.to_json(), workload.settings, Path(workload.schema).read_text("utf-8")],
            # Some defaults depend on whether another setting is given.
            "settings": [settings.model_dump(mode="json", exclude_unset=given) for given in (False, True)],
            # Compiling also checks that the workload's modules can be imported and have their functions.
            "code": digest_step_files(workload.module, workload.source, own),
            "libraries": [sys.prefix, digest_lock()],
        }
    )
    kept = scratch
    with suppress(OSError, RuntimeError):
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "edgeline", "pipelines")
        cache.mkdir(parents=True, exist_ok=True)
        kept = cache if os.access(cache, os.W_OK) else scratch
    package = kept / f"{workload.name}-{key[:32]}.yaml"
    if not package.is_file():
        from runners.kubeflow.compiler import compile_pipeline

        note("Compiling the DAG, which takes about half a minute.")
        compile_pipeline(workload, settings, package)
        with suppress(FileNotFoundError):  # another command may remove the same ones
            for old in sorted(kept.glob("*.yaml"), key=os.path.getmtime)[:-_MOST_KEPT]:
                old.unlink()
    return package


def _check_push(target: Target) -> None:
    """Checks a later push now, where the releases can be read from here, and not only in DataGate."""
    from edgeline.release.acceptance import check_push_early

    kubeflow, push = target.settings.kubeflow, target.settings.push
    if (store := kubeflow.store) is not None:
        is_signed = KEY_VARIABLE in kubeflow.secrets
        check_push_early(store, target.workload.name, push.rollback_epoch, is_signed, push.canary_percent)


def _read_info(path: Path, content: bytes) -> dict[str, Any]:
    """Returns the `pipelineInfo` of a compiled pipeline, its workload, and the defaults of its parameters."""
    import yaml

    try:
        document: Any = next(yaml.load_all(content, getattr(yaml, "CSafeLoader", yaml.SafeLoader)), None)
        parameters = document["root"].get("inputDefinitions", {}).get("parameters", {})
        values = {name: item["defaultValue"] for name, item in parameters.items()}
        return {**document["pipelineInfo"], "workload": str(read_workload(document)), "parameters": values}
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is not a compiled pipeline.",
            "It has no name in pipelineInfo, or no root.",
            "Write one with `edgeline kubeflow compile -o FILE`.",
        ) from error
