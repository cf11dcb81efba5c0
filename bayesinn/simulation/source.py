"""Where the source of a simulator stands."""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def find_source(simulator: Any, function: Callable[..., Any]) -> dict[str, str]:
    """Return module, object and file in which a simulator is found again, empty where unknown.

    A program, or another object that is called, has no name of its own. It is then found by the
    variable that holds the simulator, in any module that is loaded.
    """
    # From the code itself: another module may have the name of its module.
    code = getattr(inspect.unwrap(function), "__code__", None)
    file = Path(code.co_filename) if code else Path()
    module = getattr(function, "__module__", "")
    name = getattr(function, "__qualname__", "")
    if not name:
        # The script that runs last: it may have imported the simulator.
        for _, other in sorted(sys.modules.items(), key=lambda item: item[0] == "__main__"):
            variables = list(getattr(other, "__dict__", {}).items())
            if found := [key for key, value in variables if value is simulator]:
                name = found[0]
                module = other.__name__
                file = Path(getattr(other, "__file__", None) or "")
                break
    return {"module": module, "object": name, "file": str(file.resolve()) if file.is_file() else ""}
