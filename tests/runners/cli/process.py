"""`edgeline` as a process of its own, and what it is given."""

import os
import subprocess
import sys
from pathlib import Path

from data.photos.labels_file import LabelRow, write_span

ROOT = Path(__file__).resolve().parents[3]


def edgeline(*arguments, cwd):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "runners.cli", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def add_week(data, labels="photo,label,lane_id,session_id,captured_at"):
    row = LabelRow("a.jpg", "ok", "lane-01", "s1", "2026-10-05T09:12:33Z")
    span = write_span(data, [(row, b"not decoded by a light command")])
    span.labels.write_text(f"{labels}\na.jpg,ok,lane-01,s1,2026-10-05T09:12:33Z\n")
    return span
