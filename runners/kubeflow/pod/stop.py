"""How a step ends that is told to: with a last word, and never as if it were done.

What counts is how KFP's launcher ends, our parent. Of SIGTERM it ends by the signal itself, which Argo before
3.4 takes for exit code 0; of SIGQUIT with exit code 2. So the image asks to be stopped by SIGQUIT. But a pod
has a second container, Argo's, which is told by SIGTERM and passes that on through a file: Argo looks for it
every two seconds, and then sends SIGTERM to the launcher and to us. Who looks more often is there before it.
"""

import os
import select
import signal
import sys
import threading
from pathlib import Path

from records.outcome import Outcome

_TOLD_TO_END = (signal.SIGQUIT, signal.SIGTERM)
_ASKED_BY_ARGO = Path("/var/run/argo/ctr/main/signal")
_LOOK_S = 0.05


def end_when_told_to(step: str, asked_by_argo: Path = _ASKED_BY_ARGO) -> None:
    """From now on the process of a step ends as soon as it is told to, by a signal or by Argo's file.

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
            if select.select([reader], [], [], _LOOK_S)[0]:
                number = os.read(reader, 1)[0]
            elif asked_by_argo.exists():
                number = signal.SIGQUIT
                os.kill(os.getppid(), number)
        name = signal.Signals(number).name
        reason = f"the pod was told to end ({name}) before the step was done."
        outcome = Outcome("failed", reasons=(reason,), step=step)
        sys.stderr.write(f"{outcome.to_line()}\n{outcome.sentence}\n")
        sys.stderr.flush()
        # As a shell has it.
        os._exit(128 + number)

    threading.Thread(target=wait, daemon=True).start()
    os.register_at_fork(after_in_child=_as_usual)


def _as_usual() -> None:
    """A process that ours forks ends by itself, and not ours, when it is told to."""
    signal.set_wakeup_fd(-1)
    for number in _TOLD_TO_END:
        signal.signal(number, signal.SIG_DFL)
