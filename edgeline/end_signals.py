"""Handles the signals that end a command: Ctrl-C, SIGTERM (services), SIGQUIT (our image) and SIGHUP."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Windows has the first two.
_NAMES = ("SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP")
_NUMBERS = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]


def _interrupt(number: int, frame: Any) -> None:
    """Ends what runs as Ctrl-C does, so that it removes its temporary folders.

    A terminal that is closed sends SIGHUP twice; from the first signal on, only another Ctrl-C ends the
    removal too. Raises KeyboardInterrupt.
    """
    for other in {*_NUMBERS} - {signal.SIGINT}:
        signal.signal(other, lambda number, frame: None)
    raise KeyboardInterrupt


@contextmanager
def handle_end_signals(handler: Callable[[int, Any], Any] = _interrupt) -> Iterator[None]:
    """Calls `handler` for each of these signals, by default to end with KeyboardInterrupt."""
    # Signals that `nohup` or a background shell told this process to ignore stay ignored, and only the main
    # thread may handle any.
    is_main = threading.current_thread() is threading.main_thread()
    heeded = [number for number in _NUMBERS if is_main and signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in heeded}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
