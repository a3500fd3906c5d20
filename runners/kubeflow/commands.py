"""`edgeline kubeflow ...`: the DAG on Kubeflow Pipelines."""

import argparse
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runners.shared.stdout import say

if TYPE_CHECKING:
    from pipeline.settings import Settings
    from pipeline.workloads import Workload


def read_settings(arguments: argparse.Namespace) -> "tuple[Workload, Settings]":
    """The workload and all settings that a command names.

    Raises:
        UsageError: One of them is wrong.
    """
    from pipeline import settings, workloads

    workload = workloads.find_workload(arguments.workload)
    labels = workloads.read_labels(workload)
    loaded = settings.load(
        workload.settings, arguments.profile, arguments.set, labels, platform=arguments.settings
    )
    return workload, loaded


def compile_dag(arguments: argparse.Namespace) -> int:
    """Writes the DAG as a pipeline of Kubeflow."""
    from runners.kubeflow.compiler import compile_pipeline

    started = time.monotonic()
    workload, settings = read_settings(arguments)
    with quiet_libraries():
        done = compile_pipeline(workload, settings, arguments.output)
    seconds = time.monotonic() - started
    say(f"Wrote {done.path}: {done.name}, {done.steps} steps, {done.size / 1000:.0f} kB, in {seconds:.0f} s.")
    return 0


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keeps what TFX's libraries say while they are imported, which nobody can act on, off the terminal.

    TensorFlow 2.21 heeds no setting for it, so what is written to standard error is dropped meanwhile; errors
    are raised, and told later.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore")
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
