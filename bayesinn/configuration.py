"""Layers that remember how they were made, so that no class writes its own ``get_config``.

A :class:`Configured` layer keeps the arguments of its constructor. From them come its ``repr``, its description in a
manifest (:func:`describe`), and a fresh copy with new initial weights (:func:`rebuild`, :func:`clone`).
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
from typing import Any

import keras

from bayesinn.errors import InputError, SavedPosteriorError

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]


class Configured:
    """Mixin: record the constructor's arguments. Stands before ``keras.layers.Layer`` in the bases."""

    _arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        self = super().__new__(cls, *args, **kwargs)
        bound = inspect.signature(cls.__init__).bind(self, *args, **kwargs)
        bound.apply_defaults()
        # Tuples stay as they are if the caller changes the list later, and print the same after being rebuilt.
        arguments = {
            name: tuple(value) if isinstance(value, list) else value for name, value in bound.arguments.items()
        }
        arguments.pop("self")
        # Past Keras' attribute tracking: a layer given as an argument belongs to whatever attribute holds it.
        self.__dict__["_arguments"] = arguments
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        shown = [
            f"{name}={value!r}" for name, value in self._arguments.items() if not _same(value, defaults[name].default)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


def describe(value: Any) -> Plain:
    """A JSON-ready description of a layer or of anything that a layer's constructor takes.

    Parameters
    ----------
    value : Configured, dataclass, keras layer, number, string, None, or list, tuple or dict of these

    Raises
    ------
    InputError
        For values that can't be written down, such as functions.
    """
    if isinstance(value, Configured):
        arguments = {name: describe(argument) for name, argument in value._arguments.items()}
        return {"class": _class_path(value), "arguments": arguments}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: describe(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}
        return {"class": _class_path(value), "arguments": fields}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    if isinstance(value, dict):
        return {str(name): describe(item) for name, item in value.items()}
    if isinstance(value, keras.layers.Layer | keras.initializers.Initializer):
        return {"keras": keras.saving.serialize_keras_object(value)}
    raise InputError(
        f"Configuration value {value!r}",
        expected="numbers, strings, lists, dicts and layers, which can be saved and rebuilt",
        got=type(value).__name__,
        do="put the code into a class that derives from the bayesinn base class and give it plain arguments",
    )


def rebuild(description: Any) -> Any:
    """The object that :func:`describe` described, with fresh weights."""
    if isinstance(description, list):
        return tuple(rebuild(item) for item in description)
    if isinstance(description, dict) and set(description) == {"class", "arguments"}:
        kind = _find_class(description["class"])
        return kind(**{name: rebuild(value) for name, value in description["arguments"].items()})
    if isinstance(description, dict) and set(description) == {"keras"}:
        return keras.saving.deserialize_keras_object(description["keras"])
    if isinstance(description, dict):
        return {name: rebuild(value) for name, value in description.items()}
    return description


def clone[T](value: T) -> T:
    """A copy of a layer as it was when just made: same configuration, new weights."""
    return rebuild(describe(value))


def _class_path(value: object) -> str:
    return f"{type(value).__module__}:{type(value).__qualname__}"


def _find_class(path: str) -> type:
    module_name, _, qualified_name = path.partition(":")
    try:
        found: Any = sys.modules.get(module_name) or importlib.import_module(module_name)
        for part in qualified_name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise SavedPosteriorError(
            f"Network class {path!r}",
            expected="a class that can be imported",
            got=str(error),
            do="import the module that defines it (or make it importable) before loading",
        ) from error
    return found


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and value == default
