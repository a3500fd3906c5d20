"""One run of the DAG on this machine, the same as `edgeline run`.

    .venv/bin/python runners/local_runner.py [OPTIONS]

Starts under any Python 3: outside the project's environment it restarts inside, or says how to make it.
"""

import os
import shlex
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ENVIRONMENT = os.path.join(ROOT, ".venv")
# Set for the restart in the environment, so that a broken one ends in a message and not in a loop.
MARK = "EDGELINE_IN_ENVIRONMENT"


def enter_environment():  # type: ignore[no-untyped-def]  # Any Python 3 has to parse this.
    """Replaces this process by the environment's Python, unless this one has TFX."""
    from importlib.util import find_spec

    if find_spec("tfx") is not None and sys.version_info >= (3, 10):
        os.environ.pop(MARK, None)
        return
    python = os.path.join(ENVIRONMENT, "bin", "python")
    if os.access(python, os.X_OK) and MARK not in os.environ:
        os.environ[MARK] = "1"
        sys.stdout.flush()
        os.execv(python, [python, os.path.abspath(__file__), *sys.argv[1:]])
    state = "has none either" if os.access(python, os.X_OK) else "does not exist"
    version = "%d.%d" % sys.version_info[:2]  # noqa: UP031
    sys.stderr.write(
        "This Python %s (%s) has no TFX, and the environment %s %s.\n"  # noqa: UP031
        "The pipeline is built on TFX and its libraries.\n"
        "Make the environment with `make setup` in %s, and run the same command again.\n"
        % (version, sys.executable, ENVIRONMENT, state, ROOT)
    )
    sys.exit(2)


if __name__ == "__main__":
    enter_environment()
    # Python puts this file's folder first; the project is the one above.
    sys.path[0] = ROOT

    from edgeline.cli.main import main

    sys.exit(main(prog=shlex.join([sys.orig_argv[0], sys.argv[0]]), only="run"))
