import os
import socket
from dataclasses import replace

import pytest

from runners.runs import Run


@pytest.fixture
def make_run():
    """A record, as a run of the shelf would have it; what a test cares for is given by name."""

    def make(**values):
        run = Run(
            id="20261005-091233",
            workload="shelf",
            workload_source="shelf",
            data="/data",
            push="/push",
            settings={},
            pid=os.getpid(),
            host=socket.gethostname(),
            started_at="2026-10-05T09:12:33Z",
        )
        return replace(run, **values)

    return make
