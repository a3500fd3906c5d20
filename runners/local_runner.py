"""`.venv/bin/python runners/local_runner.py [SRC]`: one run on this machine, the same as `edgeline run`.

Starts under any Python: outside the project's environment it restarts inside, or says how to make it.
"""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ENVIRONMENT = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(ENVIRONMENT, "bin", "python")
# Set for the restart in the environment, so that a broken one ends in a message and not in a loop.
MARK = "EDGELINE_IN_ENVIRONMENT"


# Any Python has to parse this file, also one that knows no annotations, f-strings or stars in lists.
def enter_environment():  # type: ignore[no-untyped-def]
    """Replaces this process by the environment's Python, unless this one has TFX."""
    if has_tfx():
        os.environ.pop(MARK, None)
        return
    if os.access(PYTHON, os.X_OK) and MARK not in os.environ:
        os.environ[MARK] = "1"
        sys.stdout.flush()
        os.execv(PYTHON, [PYTHON, os.path.abspath(__file__)] + sys.argv[1:])  # noqa: RUF005
    state = "has none either" if os.access(PYTHON, os.X_OK) else "does not exist"
    version = "%d.%d" % sys.version_info[:2]  # noqa: UP031
    sys.stderr.write(
        "This Python %s (%s) has no TFX, and the environment %s %s.\n"  # noqa: UP031
        "The pipeline is built on TFX and its libraries.\n"
        "Make the environment with `make setup` in %s, and run the same command again.\n"
        % (version, sys.executable, ENVIRONMENT, state, ROOT)
    )
    sys.exit(2)


def has_tfx():  # type: ignore[no-untyped-def]
    """Tells whether this Python is one that the project supports, and has TFX."""
    if sys.version_info < (3, 10):  # noqa: UP036
        return False
    from importlib.util import find_spec

    return find_spec("tfx") is not None


def shorten(path):  # type: ignore[no-untyped-def]
    """Returns a path as it is typed in the current folder."""
    from shlex import quote

    return quote(os.path.relpath(path) if path.startswith(os.getcwd() + os.sep) else path)


if __name__ == "__main__":
    enter_environment()
    # Python puts this file's folder first; the project is the one above.
    sys.path[0] = ROOT

    from runners.cli.main import main

    python = PYTHON if os.path.exists(PYTHON) else sys.executable
    sys.exit(main(prog=shorten(python) + " " + shorten(os.path.abspath(__file__)), only="run"))
