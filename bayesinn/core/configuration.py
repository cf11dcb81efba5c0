"""Layers that remember how they were made, so that no class writes its own ``get_config``.

A :class:`Configured` layer keeps the arguments of its constructor. From them come its ``repr``, its description in a
manifest (:func:`describe`), and a fresh copy with new initial weights (:func:`rebuild`, :func:`clone`).
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from typing import Any

import keras

from bayesinn.core.errors import InputError, SavedPosteriorError

#: Rooms whose classes have public names, which a manifest may ask for before they are imported.
_ROOMS = ("bijections", "flows", "inverse", "posterior", "summaries")

#: Classes of the room ``flows`` in format 1 that have stayed there; the others are bijections now.
_FLOWS = ("Flow", "GaussianMixture", "Normal", "StudentT")

_registry: dict[str, type] = {}

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]


def public_name(kind: type) -> str:
    """Return the name of a class in manifests: with its room, or with its module outside of the library."""
    package, _, rest = kind.__module__.partition(".")
    room = rest.partition(".")[0]
    owner = room if package == "bayesinn" and room in _ROOMS else kind.__module__
    return f"{owner}.{kind.__qualname__}"


class Registered:
    """Mixin: make a class known by its public name, under which manifests refer to it.

    A class of the library is named by its room (``bijections.Coupling``), any other by its module
    (``mymodel.MySummary``). Only classes that derive from this one are ever built from a manifest.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _registry[public_name(cls)] = cls


class Configured(Registered):
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
        return {"class": public_name(type(value)), "arguments": arguments}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: describe(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}
        return {"class": public_name(type(value)), "arguments": fields}
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
        kind = registered_class(current_name(description["class"]))
        return kind(**{name: rebuild(value) for name, value in description["arguments"].items()})
    if isinstance(description, dict) and set(description) == {"keras"}:
        return keras.saving.deserialize_keras_object(description["keras"])
    if isinstance(description, dict):
        return {name: rebuild(value) for name, value in description.items()}
    return description


def clone[T](value: T) -> T:
    """A copy of a layer as it was when just made: same configuration, new weights."""
    return rebuild(describe(value))


def registered_class(name: str) -> type:
    """Return the class with a public name; nothing but the library's own rooms is imported to find it.

    Raises
    ------
    SavedPosteriorError
        When no class of that name is registered.
    """
    room = name.partition(".")[0]
    if name not in _registry and room in _ROOMS:
        importlib.import_module(f"bayesinn.{room}")
    if name not in _registry:
        raise SavedPosteriorError(
            f"Network class {name!r}",
            expected="a class of bayesinn, or one that this program has imported",
            got="no such class",
            do="import the module that defines it before loading",
        )
    return _registry[name]


def current_name(name: str) -> str:
    """Return the public name of a class that format 1 named by ``module:class``."""
    module, colon, kind = name.partition(":")
    if not colon:
        return name
    package, _, room = module.partition(".")
    if package == "simulators":
        return f"bayesinn.{module}.{kind}"
    if package != "bayesinn":
        return f"{module}.{kind}"
    room = room.partition(".")[0]
    return f"{'bijections' if room == 'flows' and kind not in _FLOWS else room}.{kind}"


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and value == default
