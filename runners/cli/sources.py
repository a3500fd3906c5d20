"""The source of a run: whether it is one, and the folder in a workspace into which it is imported."""

import os
import shlex
from pathlib import Path, PurePath
from urllib.parse import urlsplit

from data.spans.layout import find_spans
from edgeline.errors import UsageError, suggest
from edgeline.store.locations import is_url
from edgeline.workspace.workloads import YAML, find_workload_file, locate_data
from runners.cli.importing import ImportOptions
from runners.shared.run_options import RunOptions, check_path

_PACKED = (".gz", ".bz2", ".xz", ".zip")


def parse_target(text: str) -> Path:
    """Returns the folder to write spans to; not in an object store, where no rename makes a span atomic."""
    if is_url(text):
        raise UsageError(
            f"--data is {text}.",
            "Spans can only be written to a folder on this machine, each whole or not at all.",
            f"Pass a folder, and copy its new span to {text} afterwards, labels.csv last.",
        )
    if not text or Path(text).is_file():
        raise UsageError(
            f"--data is {f'the file {text}' if text else 'empty'}.",
            "Spans are written to a folder, which is made if it does not exist.",
            "Pass the folder of spans, and check that a variable in its name is set.",
        )
    return Path(text)


def find_target(source: str, workspace: Path) -> Path:
    """Returns the folder in a workspace into which `edgeline run` imports a source, named like it.

    Raises UsageError if no model can be named like it.
    """
    from data.importers import phone
    from data.importers.workload_files import make_name
    from pipeline.workloads import BUILT_IN

    path = Path(urlsplit(source).path if is_url(source) else os.path.abspath(source))
    if path.is_file() and phone.is_export(path):
        return _find_target_of_export(path, workspace)
    unpacked = PurePath(path.stem) if path.suffix.lower() in _PACKED else path
    name = make_name(path.name if path.is_dir() else unpacked.stem)
    if not name:
        raise UsageError(
            f"No model can be named like {source}.",
            "The name of a model is made of a-z, 0-9, _ and -.",
            "Rename it, or pass a folder for its data with --data DIR, which names the model.",
        )
    # A model of one's own and that of a sample would replace each other in production.
    return locate_data(workspace, f"my-{name}" if name in BUILT_IN else name)


def check_options(wanted: RunOptions, importing: ImportOptions) -> None:
    """Refuses options that a source excludes, or the lack of one. Raises UsageError."""
    first = importing.find_first()
    if wanted.source is None and first:
        raise UsageError(
            f"--{first} is given without a source.",
            "It says how a source is read.",
            f"Name the source before --{first}: `edgeline run SRC`.",
        )
    if wanted.source is None:
        return
    check_path(wanted.workspace.absolute(), "--workspace")
    for option, value in (("--workload", wanted.named.workload), ("--sample", wanted.sample)):
        if value:
            raise UsageError(
                f"{option} is given with the source {wanted.source}.",
                "A source has data and a workload of its own.",
                "Leave out one of them. To train on what was imported: `edgeline run --workload NAME`.",
            )


def locate_imported(wanted: RunOptions, source: str) -> Path:
    """Returns the folder of the spans of a source: the one that was named, else one in the workspace.

    Raises UsageError for what is no source.
    """
    check_source(source, wanted.workspace)
    return find_target(source, wanted.workspace) if wanted.data is None else parse_target(str(wanted.data))


def check_source(source: str, workspace: Path) -> None:
    """Refuses what is no source but may be the value of an option. Raises UsageError."""
    from pipeline.workloads import BUILT_IN

    path = Path(source)
    quoted = shlex.quote(source)
    if path.is_file() and path.suffix.lower() in YAML:
        raise UsageError(
            f"{source} is a workload or a profile.",
            "A source has examples to import.",
            "Pass it with --workload or --profile.",
        )
    if path.is_dir() and find_spans(path):
        raise UsageError(
            f"{source} is a folder of spans.",
            "They are imported already.",
            f"Run on them: `edgeline run --data {quoted}`.",
        )
    if is_url(source) or path.exists():
        return
    do = "Check its path: a source is a folder, a file, or the URL of a database with --query."
    if source and os.path.isdir(path.parent):
        do = suggest(path.name, os.listdir(path.parent)) or do
    if source in BUILT_IN or find_workload_file(source, workspace):
        do = f"If the workload of that name is meant: `edgeline run --workload {quoted}`."
    elif "=" in source:
        do = f"If it is a setting: `edgeline run --set {quoted}`."
    raise UsageError(f"The source {source!r} does not exist.", "There is nothing to import.", do)


def _find_target_of_export(source: Path, workspace: Path) -> Path:
    """Returns the folder of the data of the model on the phone. Raises UsageError if it is elsewhere."""
    from data.importers import phone

    with phone.unpack(source) as (_, model):
        data = locate_data(workspace, model)
    if not find_spans(data):
        raise UsageError(
            f"{source} was exported from {model}, and {data} has no spans.",
            "Checked answers are added to the data that the model on the phone was trained on.",
            "Pass the folder of these data with --data DIR.",
        )
    return data
