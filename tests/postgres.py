"""A PostgreSQL that tests start."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

SECRET = "s3cret p@ss"
QUOTED = "s3cret%20p%40ss"


def serve() -> Iterator[str]:
    """Starts a cluster and yields its URL."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    search = os.pathsep.join([*map(str, folders), os.environ["PATH"]])
    initdb, pg_ctl = (shutil.which(name, path=search) for name in ("initdb", "pg_ctl"))
    if not initdb or not pg_ctl:
        pytest.skip("initdb and pg_ctl of PostgreSQL are not here: apt-get install postgresql")
    # PostgreSQL refuses to run as root.
    user = ["runuser", "-u", "nobody", "--"] if os.getuid() == 0 else []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        shutil.chown(folder, *(["nobody"] if user else [os.getuid()]))
        password, data = Path(folder, "password"), f"{folder}/data"
        password.write_text(SECRET)
        password.chmod(0o644)

        def call(*command: str) -> None:
            subprocess.run([*user, *command], check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=120)

        login = ["-U", "me", f"--pwfile={password}", "-A", "scram-sha-256"]
        call(initdb, "-D", data, *login, "-E", "UTF8", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off -c timezone=Asia/Tokyo"
        call(pg_ctl, "-D", data, "-o", options, "-w", "-l", f"{folder}/log", "start")
        try:
            yield f"postgresql+psycopg://me:{QUOTED}@127.0.0.1:{port}/postgres"
        finally:
            call(pg_ctl, "-D", data, "-m", "immediate", "-w", "stop")
