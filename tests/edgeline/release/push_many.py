"""Pushes a candidate a number of times, in a process of its own: ROOT_OR_URL WORK_FOLDER CONTENT TIMES."""

import sys
from pathlib import Path

from edgeline.release import store
from tests.edgeline.release.candidates import make_candidate

if __name__ == "__main__":
    root, work, content, times = sys.argv[1:]
    for _ in range(int(times)):
        store.push(root, "shelf", make_candidate(Path(work) / content, content))
