"""Ctrl-C at a moment when it would cost what has just been computed."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


def owns_interrupts() -> bool:
    """Return whether Ctrl-C would raise KeyboardInterrupt here: in the main thread, by default."""
    main = threading.current_thread() is threading.main_thread()
    return main and signal.getsignal(signal.SIGINT) is signal.default_int_handler


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Let Ctrl-C take effect when the block has ended.

    Only the main thread can hold it back, and only where nobody else handles it.

    >>> import signal
    >>> done = []
    >>> try:
    ...     with interrupts_held():
    ...         signal.raise_signal(signal.SIGINT)
    ...         done.append("the block")
    ... except KeyboardInterrupt:
    ...     done.append("Ctrl-C")
    >>> done
    ['the block', 'Ctrl-C']
    """
    if not owns_interrupts():
        yield
        return
    pressed: list[Any] = []
    signal.signal(signal.SIGINT, lambda *received: pressed.append(received))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if pressed:
        raise KeyboardInterrupt
