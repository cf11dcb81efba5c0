"""Work beside other work, in a thread that a process doesn't wait for when it ends."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Any


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
