"""The DAG of a run on this machine, for the worker and, as `edgeline.pipeline`, for TFX's own runners."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from os.path import expanduser
from pathlib import Path
from typing import TYPE_CHECKING

from data.spans.layout import find_newest_spans
from edgeline.python_errors import speak_python
from edgeline.records.run import Run
from edgeline.store.locations import locate
from runners.local.metadata_rows import METADATA, skip_used_ids
from runners.shared import inputs
from runners.shared.code import digest, digest_step_files
from runners.shared.run_options import NamedSettings, check_path, find_own_workload
from runners.shared.source import read_source

if TYPE_CHECKING:
    from tfx.v1.dsl import Pipeline

    from edgeline.records.workload import Workload
    from pipeline.settings import Settings


@speak_python(set="settings")
def pipeline(
    workload: str | Path | None = None,
    *,
    data: str | Path | None = None,
    workspace: str | Path = "workspace",
    profile: str | Path | None = None,
    settings: Sequence[str] = (),
) -> "Pipeline":
    """Builds the DAG of one run on the data as it is now, as a plain TFX pipeline.

    `LocalDagRunner().run(edgeline.pipeline(...))` runs it, and InteractiveContext runs its components one by
    one. Artifacts, ML Metadata and releases are those of the workspace, so steps that `edgeline run` has done
    are taken from the cache, but for EdgeValidator. TFX's runners write no record of a run and take no lock:
    one run at a time.

    Args:
        workload: The name of a built-in workload, or the path of a workload.yaml; by default the one in
            `data`, else shelf.
        data: The folder of spans, or its URL; by default the embedded sample, which is made if it is missing.
        workspace: The folder of artifacts, ML Metadata and releases.
        profile: The path of a YAML file of settings, or the name of a built-in one.
        settings: Single settings, `a.b=c` each.

    Raises:
        UsageError: A setting or an argument is wrong.
        DataRefused: A span cannot be read.
    """
    folder = Path(workspace).expanduser().absolute()
    check_path(folder, "--workspace")
    folder.mkdir(parents=True, exist_ok=True)
    data_folder = None if data is None else locate(expanduser(data)).absolute()
    source = str(workload or find_own_workload(data_folder))
    layer = None if profile is None else str(profile)
    overrides = (settings,) if isinstance(settings, str) else tuple(settings)
    named = NamedSettings(source, layer, overrides)
    chosen, values = named.with_whole_path().load()
    inputs.check_settings(chosen, values)
    place = data_folder or inputs.ensure_sample(folder, chosen, print)
    push = values.push.root(folder)
    spans = find_newest_spans(place, values.data.window, values.data.until)
    commit = read_source(source)
    if values.push.require_clean:
        commit.check_clean()
    code = digest_step_files(chosen.module, chosen.source, values.own_modules())
    digests = inputs.digest_inputs(spans, folder / "window.json", chosen, values, push, code)
    inputs.check_inputs(spans, chosen, values, push)
    run = f"tfx-{datetime.now(timezone.utc):%Y%m%d-%H%M%S}"
    digests["slow"] = run  # without a record, nothing says whether a file fell by times alone
    record = Run(id=run, workload=chosen.name, data=str(place), push=push, source=commit, inputs=digests)
    return build(chosen, values, folder, record, code)


def build(
    workload: "Workload",
    settings: "Settings",
    workspace: Path,
    run: Run,
    code: Mapping[str, Mapping[str, str]],
) -> "Pipeline":
    """Builds the DAG of a recorded run.

    Makes ML Metadata's database where there are outputs without one, so that no step meets their folders.
    Raises as `pipeline.dag.create_pipeline` does.

    Args:
        workload: That of the run.
        settings: Those that the run recorded, or that TFX's own runner was given.
        workspace: The absolute path of the folder of artifacts, ML Metadata and checkpoints.
        run: Its `inputs` become the keys of the cache.
        code: The digests of the files of each step, by module.
    """
    from pipeline.beam_settings import speed_up_beam
    from pipeline.dag import Observed, Paths, create_pipeline

    speed_up_beam()
    skip_used_ids(workspace / METADATA, workspace / "artifacts")
    paths = Paths(
        data=run.data,
        artifacts=str(workspace / "artifacts"),
        metadata=str(workspace / METADATA),
        push=run.push,
        checkpoints=str(workspace / "checkpoints"),
        workspace=str(workspace),
    )
    observed = Observed(
        window=run.inputs["window"],
        production=run.inputs["production"],
        unjudged=run.inputs["unjudged"],
        slow=run.inputs["slow"],
        code=run.inputs["code"],
        step_code={step: digest(files) for step, files in code.items()},
        lock=run.inputs["lock"],
        weights=run.inputs["weights"],
        source=run.source.to_json(),
        run=run.id,
    )
    return create_pipeline(workload, settings, paths, observed)
