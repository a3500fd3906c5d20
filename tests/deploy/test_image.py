"""The contents of the image in which every step runs on Kubeflow."""

import json
from pathlib import Path

from grimp import build_graph

from pipeline.workloads import BUILT_IN, find_workload
from runners.kubeflow.spec import ENTRY

ROOT = Path(__file__).resolve().parents[2]


def list_rooms() -> set[str]:
    """Returns the folders of the project that are packages."""
    return {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}


def read_stage() -> list[list[str]]:
    """Returns the words of the instructions of the image's last stage."""
    joined = (ROOT / "deploy" / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.split() for line in joined.rpartition("\nFROM ")[2].splitlines()]


def list_copied() -> set[str]:
    """Returns the folders of the project that the last stage copies, without those that are ignored."""
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignore
    included = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    copies = [words[1:] for words in read_stage() if words[0:1] == ["COPY"]]
    sources = {source for words in copies if not words[0].startswith("--from") for source in words[:-1]}
    return included if "." in sources else included & sources


def list_needed() -> set[str]:
    """Returns the folders that a pod reads: by imports, and beside them schemas and versions."""
    (entry,) = [line for line in read_stage() if line[:1] == ["ENTRYPOINT"]]
    command = json.loads(" ".join(entry[1:]))[-1]
    workloads = list(map(find_workload, BUILT_IN))
    named = {name for workload in workloads for name in (workload.module, workload.source)}
    graph = build_graph(*list_rooms(), cache_dir=None)
    # The DAG names the classes that a pod's entry imports.
    starts = {f"{command}.__main__", ENTRY, "pipeline.dag", *named}
    modules = starts.union(*map(graph.find_upstream_modules, starts))
    schemas = {Path(workload.schema).relative_to(ROOT).parts[0] for workload in workloads}
    return {module.partition(".")[0] for module in modules} | schemas | {"requirements"}


def test_the_image_holds_every_folder_that_a_pod_reads() -> None:
    needed = list_needed()
    assert len(needed) > 2
    assert needed <= list_copied()


def test_a_pod_takes_of_a_gpu_only_the_memory_that_it_needs() -> None:
    settings = [word for words in read_stage() if words[:1] == ["ENV"] for word in words[1:]]
    assert "TF_FORCE_GPU_ALLOW_GROWTH=true" in settings
