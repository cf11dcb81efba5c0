"""The process: settings that hold for all of it, threads beside its work, Ctrl-C."""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from threading import Thread
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


class Background[Result]:
    """A function that is called at once, in a thread.

    Examples
    --------
    >>> Background(pow, 2, 3).result()
    8
    """

    def __init__(self, function: Callable[..., Result], *arguments: Any) -> None:
        self._future: Future[Result] = Future()
        # The threads of an executor would be joined when the process ends.
        Thread(target=self._run, args=(function, *arguments), daemon=True).start()

    def result(self) -> Result:
        """Wait, and return what the function returns, or raise what it raises."""
        return self._future.result()

    def _run(self, function: Callable[..., Result], *arguments: Any) -> None:
        try:
            self._future.set_result(function(*arguments))
        except BaseException as error:
            self._future.set_exception(error)


#: Seconds after which a Ctrl-C is repeated that had no effect.
_SOON = 0.05


def owns_interrupts() -> bool:
    """Return whether Ctrl-C would raise KeyboardInterrupt here: in the main thread, by default."""
    main = threading.current_thread() is threading.main_thread()
    return main and signal.getsignal(signal.SIGINT) is signal.default_int_handler


_terminated = threading.Event()


def status() -> int:
    """Return the status of a program that was interrupted: 143 after SIGTERM, 130 after Ctrl-C."""
    return 128 + (signal.SIGTERM if _terminated.is_set() else signal.SIGINT)


def interrupt_on_termination() -> None:
    """Let SIGTERM, by which ``kill`` and schedulers end programs, do what Ctrl-C does.

    A KeyboardInterrupt that Python could not raise, as it came in a destructor, comes again.

    Where Ctrl-C does nothing, as in the background of a shell's script, SIGTERM ends the process as
    ever.
    """
    if owns_interrupts() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _interrupt)
        sys.unraisablehook = _interrupt_again


def interrupts(number: int) -> bool:
    """Return whether a signal of this number does what Ctrl-C does."""
    return number == signal.SIGINT or signal.getsignal(number) is _interrupt


def _interrupt(*_: Any) -> None:
    _terminated.set()
    signal.raise_signal(signal.SIGINT)


def _interrupt_again(unraisable: Any) -> None:
    """Repeat a Ctrl-C that came where Python ignores exceptions; show all others."""
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
        return
    timer = threading.Timer(_SOON, os.kill, (os.getpid(), signal.SIGINT))
    if os.name == "nt":  # where os.kill would end the process
        timer = threading.Timer(_SOON, _thread.interrupt_main)
    timer.daemon = True
    timer.start()


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
