"""Layers that remember how they were made, so that no class writes its own ``get_config``.

A :class:`Configured` layer keeps the arguments of its constructor. From them come its ``repr``, its
description in a manifest (:func:`describe`), and a fresh copy with new initial weights
(:func:`rebuild`, :func:`clone`).
"""

import contextlib
import dataclasses
import importlib
import inspect
import math
import pkgutil
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from bayesinn.core.errors import BayesinnError, InputError, SavedPosteriorError, check_arguments
from bayesinn.core.files import reraise_as

#: Ready models, beside the rooms of the library; some have classes of their own.
_MODELS = "simulators"

#: Modules of Keras whose classes may be arguments, with what those derive from.
_KERAS = {
    "keras.constraints": keras.constraints.Constraint,
    "keras.initializers": keras.initializers.Initializer,
    "keras.layers": keras.layers.Layer,
    "keras.regularizers": keras.regularizers.Regularizer,
}
#: Layers of Keras that run code or read files which their configuration names.
_UNSAFE = {
    "FlaxLayer",
    "IntegerLookup",
    "JaxLayer",
    "Lambda",
    "StringLookup",
    "TFSMLayer",
    "TextVectorization",
    "TorchModuleWrapper",
}

# Integers that are no sizes, such as numbers of steps, and states of random generators.
_SPARE_NUMBERS = 10_000

_registry: dict[str, type] = {}

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]


def public_name(kind: type) -> str:
    """Return the name of a class in manifests.

    A class of the library is named with its room, any other class with its module.
    """
    package, _, rest = kind.__module__.partition(".")
    room = rest.partition(".")[0]
    owner = room if package == "bayesinn" and room != _MODELS else kind.__module__
    return f"{owner}.{kind.__qualname__}"


class Registered:
    """Mixin: make a class known by its public name, under which manifests refer to it.

    A class of the library is named by its room (``bijections.Coupling``), any other by its module
    (``mymodel.MySummary``). Only classes that derive from this one are ever built from a manifest.

    A contract lists in :attr:`wrappers` how the methods that authors write are wrapped: their
    arguments are prepared, and what they return is checked.
    """

    wrappers: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _registry[public_name(cls)] = cls
        # Not the contract's own methods: authors call them by super().
        if "wrappers" not in cls.__dict__:
            for name in cls.wrappers.keys() & cls.__dict__.keys():
                setattr(cls, name, cls.wrappers[name](cls.__dict__[name]))


class Recipe(Registered):
    """Mixin of frozen dataclasses, which are saved field by field and compare by value.

    ``repr=False`` gives a dataclass the ``repr`` of this class, without defaults.
    """

    def __repr__(self) -> str:
        fields = {
            field.name: (getattr(self, field.name), field.default)
            for field in dataclasses.fields(self)  # type: ignore[arg-type]
        }
        shown = [
            f"{name}={value!r}" for name, (value, default) in fields.items() if value != default
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


class Configured(Registered):
    """Mixin: record the constructor's arguments.

    It stands before ``keras.layers.Layer`` in the bases.
    """

    _arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        self = super().__new__(cls, *args, **kwargs)
        signature = inspect.signature(cls.__init__)
        bound = signature.bind(self, *args, **kwargs)
        check_arguments(
            cls.__name__,
            signature.parameters,
            {name: value for name, value in bound.arguments.items() if name != "self"},
        )
        bound.apply_defaults()
        # Tuples stay as they are if the caller changes the list later, and print the same after
        # being rebuilt.
        arguments = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in bound.arguments.items()
        }
        del arguments["self"]
        # Past Keras' attribute tracking: a layer given as an argument belongs to whatever attribute
        # holds it.
        self.__dict__["_arguments"] = arguments
        return self

    def __repr__(self) -> str:
        shown = []
        parameters = inspect.signature(type(self).__init__).parameters
        for name, value in self._arguments.items():
            default = parameters[name].default
            if type(value) is not type(default) or value != default:
                shown.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


def describe(value: Any) -> Plain:
    """Return a JSON-ready description of a layer, or of anything that a layer's constructor takes.

    An InputError refuses what can't be written down, such as functions.
    """
    if isinstance(value, Configured):
        return {"class": public_name(type(value)), "arguments": describe(value._arguments)}
    if dataclasses.is_dataclass(value) and isinstance(value, Registered):
        fields = {
            field.name: getattr(value, field.name)
            for field in dataclasses.fields(value)
            if field.init
        }
        return {"class": public_name(type(value)), "arguments": describe(fields)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic | np.ndarray):
        return describe(value.tolist())
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    if isinstance(value, dict):
        return {str(name): describe(item) for name, item in value.items()}
    if isinstance(value, tuple(_KERAS.values())):
        configuration = keras.saving.serialize_keras_object(value)
        if _refused_class(configuration) is None:
            return {"keras": configuration}
    raise InputError(
        f"Configuration value {value!r}",
        expected="numbers, strings, lists, dicts and layers, which can be saved and rebuilt",
        got=type(value).__name__,
        do="put the code into a class that derives from the bayesinn base class and give it plain "
        "arguments",
    )


def rebuild(description: Any) -> Any:
    """Return the object that :func:`describe` described, with fresh weights.

    A SavedPosteriorError refuses classes that are neither registered nor Keras' own, and arguments
    they don't take.
    """
    if isinstance(description, list):
        return tuple(rebuild(item) for item in description)
    if not isinstance(description, dict):
        return description
    if set(description) == {"keras"}:
        if (refused := _refused_class(description["keras"])) is not None:
            raise _unknown_class(refused)
        return keras.saving.deserialize_keras_object(description["keras"])
    if set(description) != {"class", "arguments"}:
        return {name: rebuild(value) for name, value in description.items()}
    kind = registered_class(description["class"])
    arguments = rebuild(description["arguments"])
    expected = "arguments that its constructor takes"
    do = "load it with the version of the class that it was saved with"
    with reraise_as(
        f"Network class {public_name(kind)!r} with {str(arguments)[:200]}", expected, do, TypeError
    ):
        return kind(**arguments)


@contextlib.contextmanager
def building() -> Iterator[None]:
    """Let Keras forget the variables of a network that fails to be built.

    Otherwise Keras would fail on these variables again when the next network is built.
    """
    try:
        yield
    except Exception:
        keras.utils.clear_session(free_memory=False)
        raise


@contextlib.contextmanager
def bounded_sizes(description: Any, most: int) -> Iterator[None]:
    """Refuse to build a network with more than ``most`` numbers, before they are allocated.

    A ValueError is raised for an integer in its description that is larger, too.
    """
    most += _SPARE_NUMBERS
    large = next((size for size in _integers(description) if size > most), None)
    if large is not None:
        raise ValueError(f"{large:,}, although the saved weights have {most:,} numbers at most")
    made = 0

    def make(next_creator: Any, **options: Any) -> Any:
        nonlocal made
        start = options.get("initial_value")
        # Keras hands on a function that computes the initial values of its variable `self`.
        owner = inspect.getclosurevars(start).nonlocals if inspect.isfunction(start) else {}
        made += math.prod(getattr(owner.get("self"), "shape", ()))
        if made > most:
            raise ValueError(
                f"a network of {made:,} numbers or more, {4 * made / 2**30:,.1f} GiB, although the "
                f"saved weights have {most:,} at most"
            )
        return next_creator(**options)

    with tf.variable_creator_scope(make):
        yield


def _integers(description: Any) -> Iterator[int]:
    """Yield all integers in plain values but seeds."""
    if isinstance(description, dict):
        for name, value in description.items():
            if name != "seed":
                yield from _integers(value)
    elif isinstance(description, list | tuple):
        for value in description:
            yield from _integers(value)
    elif isinstance(description, int):
        yield description


@contextlib.contextmanager
def blamed_authors(expected: str) -> Iterator[None]:
    """Name the line of a user's own class that raised; what else is raised stays as it is."""
    try:
        yield
    except BayesinnError:
        raise
    except Exception as error:
        modules = {kind.__module__ for kind in _registry.values()}
        for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
            module = str(frame.f_globals.get("__name__"))
            if module in modules and module.partition(".")[0] != "bayesinn":
                code = frame.f_code
                raise SavedPosteriorError(
                    f"Class {code.co_qualname.rpartition('.')[0]!r}",
                    expected=expected,
                    got=f"{type(error).__name__}: {error}, in {code.co_filename}, line {line}",
                    do="mend the class there; the saved folder is as it was written, unless "
                    "somebody has edited it",
                ) from error
        raise


def clone[T](value: T) -> T:
    """Return a layer as it was when just made: same configuration, new weights."""
    return rebuild(describe(value))


def registered_class(name: Any) -> type:
    """Return the class with a public name; import nothing but the library's own modules for it."""
    name = str(name)
    if name not in _registry and (room := name.partition(".")[0]) in _rooms():
        importlib.import_module(f"bayesinn.{room}")
    if name not in _registry and name.startswith(f"bayesinn.{_MODELS}."):
        with contextlib.suppress(ImportError):
            importlib.import_module(name.rpartition(".")[0])
    if name not in _registry:
        raise _unknown_class(name)
    return _registry[name]


def _rooms() -> set[str]:
    """Return the rooms of the library, which are imported where a manifest names their classes."""
    library = str(Path(__file__).parents[1])
    return {file.name for file in pkgutil.iter_modules([library]) if file.ispkg} - {_MODELS}


def _refused_class(configuration: Any) -> str | None:
    """Return the first class in a Keras configuration that may not be built; None if all may."""
    if isinstance(configuration, dict):
        if "class_name" in configuration and not _may_be_built(configuration):
            return f"{configuration.get('module')}.{configuration['class_name']}"
        parts = list(configuration.values())
    elif isinstance(configuration, list | tuple):
        parts = list(configuration)
    else:
        return None
    for part in parts:
        refused = _refused_class(part)
        if refused is not None:
            return refused
    return None


def _may_be_built(configuration: dict[str, Any]) -> bool:
    """Tell whether a configuration names a class of Keras' own that runs no code."""
    module = str(configuration.get("module"))
    name = str(configuration["class_name"])
    if configuration.get("registered_name") not in (None, name):
        return False
    if (module, name) == ("keras", "DTypePolicy"):
        return True
    base = _KERAS.get(module)
    if base is None or name in _UNSAFE:
        return False
    kind = getattr(getattr(keras, module.removeprefix("keras.")), name, None)
    return isinstance(kind, type) and issubclass(kind, base)


def _unknown_class(name: str) -> SavedPosteriorError:
    return SavedPosteriorError(
        f"Network class {name!r}",
        expected="a class of bayesinn, one of Keras' own layers, or one that this program has "
        "imported",
        got="no such class",
        do="import the module that defines it before loading; it must derive from a base class of "
        "bayesinn",
    )
