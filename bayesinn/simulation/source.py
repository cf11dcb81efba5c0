"""Where the source of a simulator stands."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def find_source(
    simulator: Any, function: Callable[..., Any], declared_in: Mapping[str, Any]
) -> dict[str, str]:
    """Return module, object and file in which a simulator is found again, empty where unknown.

    A program has no name of its own: that of its variable is it, among the globals of the module
    that declared it.
    """
    # From the code itself: another module may have the name of its module.
    code = getattr(inspect.unwrap(function), "__code__", None)
    file = Path(code.co_filename) if code else Path()
    # Functools' partial functions and callable objects have neither.
    module = getattr(function, "__module__", "")
    name = getattr(function, "__qualname__", "")
    if variable := next(
        (key for key, value in list(declared_in.items()) if value is simulator), ""
    ):
        module = declared_in.get("__name__", "")
        name = variable
        file = Path(declared_in.get("__file__") or "")
    return {"module": module, "object": name, "file": str(file.resolve()) if file.is_file() else ""}
