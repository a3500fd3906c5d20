import os
import signal
import time
from concurrent import futures
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from drill.forks import Fork


def _start_server() -> int:
    import grpc

    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_insecure_port("127.0.0.1:0")
    started = time.process_time()
    server.start()
    time.sleep(0.5)
    print(datetime.now(timezone.utc).isoformat(), time.process_time() - started, flush=True)
    return 7


@pytest.mark.parametrize("days", [-300, 300])
def test_a_server_of_grpc_starts_and_idles_on_a_clock_of_another_day(days: int, tmp_path: Path) -> None:
    at = datetime.now(timezone.utc) + timedelta(days=days)
    with (tmp_path / "out").open("ab") as output:
        fork = Fork(_start_server, output, at=at)
    try:
        assert fork.wait(timeout=30) == 7
    finally:
        with suppress(ProcessLookupError):
            os.killpg(fork.pid, signal.SIGKILL)
    now, seconds = (tmp_path / "out").read_text().split()
    assert timedelta() <= datetime.fromisoformat(now) - at < timedelta(minutes=1)
    assert float(seconds) < 0.4  # a server that does not wait takes all of the 0.5 s
