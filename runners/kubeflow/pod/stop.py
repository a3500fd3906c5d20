"""The end of a step that is told to stop: it logs an outcome, and never looks as if it were done.

The exit of KFP's launcher, our parent, decides. On SIGTERM it is killed by the signal, which Argo before 3.4
counts as exit code 0; on SIGQUIT it ends with exit code 2. So the image asks to be stopped by SIGQUIT. But
Argo's own container in the pod gets SIGTERM, and passes that on through a file: Argo checks for it every two
seconds, and then sends SIGTERM to the launcher and to us. This module checks more often, so it comes first.
"""

import os
import select
import signal
import sys
import threading
from pathlib import Path

from edgeline.records.outcome import Outcome

_TOLD_TO_END = (signal.SIGQUIT, signal.SIGTERM)
_ASKED_BY_ARGO = Path("/var/run/argo/ctr/main/signal")
_POLL_S = 0.05


def end_when_told_to(step: str, asked_by_argo: Path = _ASKED_BY_ARGO) -> None:
    """Makes this process end as soon as it is told to, by a signal or by Argo's file.

    A thread waits for it, because Python's own handlers wait for native code to return, minutes in training.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number in _TOLD_TO_END:
        signal.signal(number, lambda number, frame: None)

    def wait() -> None:
        number = 0
        while number not in _TOLD_TO_END:
            if select.select([reader], [], [], _POLL_S)[0]:
                number = os.read(reader, 1)[0]
            elif asked_by_argo.exists():
                number = signal.SIGQUIT
                os.kill(os.getppid(), number)
        name = signal.Signals(number).name
        reason = f"the pod was asked to stop ({name}) before the step was done."
        outcome = Outcome("failed", reasons=(reason,), step=step)
        sys.stderr.write(f"{outcome.to_line()}\n{outcome.sentence}\n")
        sys.stderr.flush()
        # A shell returns this exit code for a signal.
        os._exit(128 + number)

    threading.Thread(target=wait, daemon=True).start()
    os.register_at_fork(after_in_child=_restore_signals)


def _restore_signals() -> None:
    """Restores the default signal handling in a forked process, so that it does not end this one."""
    signal.set_wakeup_fd(-1)
    for number in _TOLD_TO_END:
        signal.signal(number, signal.SIG_DFL)
