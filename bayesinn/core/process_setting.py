"""Settings that belong to the whole process, changed for as long as some thread needs that."""

import contextlib
import threading
from collections.abc import Callable
from typing import Any


class ProcessSetting(contextlib.ContextDecorator):
    """A ``with`` block, or a decorator, in which a setting has a certain value.

    Blocks may be nested and used in several threads: the user's value comes back when the last one
    ends, and a change inside of a block is undone.
    """

    def __init__(self, read: Callable[[], Any], write: Callable[[Any], None], value: Any) -> None:
        self._read = read
        self._write = write
        self._value = value
        self._lock = threading.Lock()
        self._open = 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._open:
                self._before = self._read()
            self._open += 1
            self._write(self._value)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._open -= 1
            if not self._open:
                self._write(self._before)
