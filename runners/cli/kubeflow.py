"""`edgeline kubeflow`: the DAG on Kubeflow Pipelines."""

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edgeline.cli.commands import Group
from edgeline.cli.options import EXIT_CODES, as_json, gather
from edgeline.cli.stdout import say
from runners.cli import options
from runners.kubeflow import runs
from runners.kubeflow import schedule as recurring
from runners.kubeflow.cron import Cron, parse_cron
from runners.kubeflow.runs import Following
from runners.kubeflow.target import Target, load_target
from runners.shared.run_options import NamedSettings

ACCESS = """\
credentials: KFP_TOKEN (a bearer token), KFP_COOKIES (of a session in a browser), or the token
of a pod (KF_PIPELINES_SA_TOKEN_PATH); otherwise those that kfp's own client finds.
SSL_CERT_FILE names the certificates to trust, and KF_PIPELINES_UI_ENDPOINT the URL of the user
interface if it is on another host.
"""
_ENDINGS = f"{EXIT_CODES}\n{ACCESS}"


def _to_seconds(text: str) -> float:
    try:
        if 0 < (seconds := float(text)) < float("inf"):
            return seconds
    except ValueError:
        pass
    raise click.BadParameter(f"{text!r} is not a number of seconds above 0.")


_run = click.argument("run_id", metavar="RUN", help="the id that submit printed")
_host = click.option(
    "--host", metavar="URL", help="URL of Kubeflow Pipelines (kubeflow.host, or KFP_ENDPOINT)"
)
_package = click.option(
    "--package", metavar="FILE", type=Path, help="a pipeline that `compile` wrote, instead of compiling now"
)
_wait = click.option(
    "--wait", is_flag=True, help="follow the run to its end, and exit with the code of its outcome"
)
_timeout = click.option(
    "--timeout", metavar="S", type=_to_seconds, help="stop following after S seconds; the run goes on"
)
_watch_options = gather("following", Following, as_json, _timeout)
_follow_options = gather("following", Following, as_json, _wait, _timeout)


def _on_cluster(command: Callable[..., int]) -> Callable[..., int]:
    """Adds the options that name a cluster to a command, which gets them as `where`."""

    @functools.wraps(command)
    def call(named: NamedSettings, host: str | None, **others: Any) -> int:
        return command(where=load_target(named, host), **others)

    return options.cluster_settings(_host(call))


@click.group(cls=Group)
def kubeflow() -> None:
    """Runs the same DAG on Kubeflow Pipelines."""


@kubeflow.command("compile")
@options.cluster_settings
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="the pipeline, as YAML",
)
def compile_dag(named: NamedSettings, output: Path) -> int:
    """Writes the DAG as a pipeline of Kubeflow."""
    from runners.kubeflow.compiler import compile_pipeline

    started = time.monotonic()
    spec = compile_pipeline(*named.within(Path("workspace")).load(), output)
    seconds = time.monotonic() - started
    size = f"{len(spec['deploymentSpec']['executors'])} steps, {output.stat().st_size / 1000:.0f} kB"
    say(f"Wrote {output}: {spec['pipelineInfo']['name']}, {size}, in {seconds:.0f} s.")
    return 0


@kubeflow.command(epilog=_ENDINGS)
@_on_cluster
@_package
@_follow_options
def submit(where: Target, package: Path | None, following: Following) -> int:
    """Uploads the DAG and starts a run of it."""
    return runs.submit(where, package, following)


@kubeflow.command(epilog=_ENDINGS)
@_run
@_on_cluster
@_watch_options
def watch(where: Target, run_id: str, following: Following) -> int:
    """Follows a run to its end."""
    return runs.watch(where, run_id, following)


@kubeflow.command(epilog=_ENDINGS)
@_run
@_on_cluster
@_follow_options
def retry(where: Target, run_id: str, following: Following) -> int:
    """Repeats the failed or lost steps of a run, and goes on from them."""
    return runs.retry(where, run_id, following)


@kubeflow.command(
    epilog=ACCESS, options_metavar="(--cron C | --list | --disable | --enable | --delete) [OPTIONS]"
)
@options.cluster_settings
@_host
@as_json
@_package
@click.option(
    "--cron",
    metavar="C",
    type=parse_cron,
    help="when, in six fields, seconds first: '0 0 3 * * 1' is Monday 03:00; replaces the existing one",
)
@click.option("--list", "listed", is_flag=True, help="list all that this command created")
@click.option("--disable", is_flag=True, help="stop it from firing")
@click.option("--enable", is_flag=True, help="let it fire again")
@click.option("--delete", is_flag=True, help="delete it, unless one of its runs is going on")
def schedule(
    named: NamedSettings,
    host: str | None,
    as_json: bool,
    package: Path | None,
    cron: Cron | None,
    listed: bool,
    disable: bool,
    enable: bool,
    delete: bool,
) -> int:
    """Creates, lists, stops or deletes the recurring run of a workload in an experiment."""
    if [cron is not None, listed, disable, enable, delete].count(True) != 1:
        raise click.UsageError("Exactly one of --cron --list --disable --enable --delete is required.")
    where = load_target(named, host)
    if cron is not None:
        return recurring.replace(where, cron, package, as_json)
    if listed:
        return recurring.show_all(where, as_json)
    if delete:
        return recurring.delete(where, as_json)
    return recurring.switch(where, enable, as_json)
