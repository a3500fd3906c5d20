"""Runs `edgeline` and other programs as processes of their own, and writes their data."""

import os
import subprocess
import sys

from data.photos.labels_file import LabelRow, write_span
from runners.shared.inputs import ROOT


def python(*arguments, cwd=ROOT, **variables):
    """Runs Python, which finds the project from any folder."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )


def edgeline(*arguments, cwd):
    return python("-m", "runners.cli", *arguments, cwd=cwd, COLUMNS="200")


def add_week(data, labels="photo,label,lane_id,session_id,captured_at"):
    row = LabelRow("a.jpg", "ok", "lane-01", "s1", "2026-10-05T09:12:33Z")
    span = write_span(data, [(row, b"not decoded by a light command")])
    span.labels.write_text(f"{labels}\na.jpg,ok,lane-01,s1,2026-10-05T09:12:33Z\n")
    return span
