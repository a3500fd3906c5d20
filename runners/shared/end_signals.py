"""Handles the signals that end a run: Ctrl-C, SIGTERM (a service manager), SIGQUIT (our image) and SIGHUP."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def handle_end_signals(handler: Callable[[int, Any], Any] = signal.default_int_handler) -> Iterator[None]:
    """Calls `handler` for each of these signals, by default to end as Ctrl-C does, with KeyboardInterrupt."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP)
    # Signals that `nohup` or a background shell told this process to ignore stay ignored, and only the main
    # thread may handle any.
    is_main = threading.current_thread() is threading.main_thread()
    heeded = [number for number in numbers if is_main and signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in heeded}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
