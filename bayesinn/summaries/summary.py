"""The summary contract: data of one observable in, a vector out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import keras
import tensorflow as tf

from bayesinn.core.configuration import Configured
from bayesinn.core.errors import InputError

if TYPE_CHECKING:
    from bayesinn.spaces.parameters import ParameterSpace


class Summary(Configured, keras.layers.Layer):
    """A network that compresses one observable into a vector.

    An author derives from this class and writes :meth:`call`, and says in :attr:`shapes` and :attr:`masks` what it
    accepts. Data arrive standardised (unless :attr:`standardised` is False), with all axes that the simulator gave
    them: (n, features), (n, steps) or (n, steps, channels), ...
    Shapes are checked before :meth:`call` runs.
    """

    shapes: ClassVar[tuple[str, ...]] = ()
    """Accepted shapes, such as ``("(n, steps)", "(n, steps, channels)")``; empty means any."""

    masks: ClassVar[bool] = True
    """Whether observables of varying length, which come with a mask, are accepted."""

    standardised: ClassVar[bool] = True
    """Whether data arrive standardised, or (False) as the simulator gave them, for a network with scales of its own."""

    order: ClassVar[Literal["series", "set"] | None] = None
    """What the second axis is: steps in time, elements in any order, or neither."""

    def __init__(self) -> None:
        super().__init__()
        self.supports_masking = True

    def __call__(
        self,
        x: tf.Tensor,
        mask: tf.Tensor | None = None,
        training: bool | None = None,
        beforehand: tf.Tensor | None = None,
    ) -> Any:
        ranks = {shape.count(",") + 1 for shape in self.shapes}
        if ranks and len(x.shape) not in ranks:
            raise InputError(
                f"Data for {type(self).__name__}",
                expected=f"shape {' or '.join(self.shapes)}",
                got=f"{tuple(x.shape)}",
                do="choose a summary made for data of this shape, or change the observable",
            )
        if mask is not None and not self.masks:
            raise InputError(
                f"Data for {type(self).__name__}",
                expected="observables of one fixed length",
                got="a mask, so the length varies",
                do="summarise with ConvLSTM (series), or DeepSet or SetTransformer (sets)",
            )
        if mask is not None and (len(mask.shape) != 2 or mask.shape[1] != x.shape[1]):
            raise InputError(
                f"Mask for {type(self).__name__}",
                expected=f"shape (n, {x.shape[1]}), one entry for each element of the data's second axis",
                got=f"{tuple(mask.shape)}",
                do="give a boolean mask that is True for data and False for padding",
            )
        # Given only if not None: a None would override the training flag of the layer that calls this one.
        keywords = {"mask": mask, "training": training, "beforehand": beforehand}
        return super().__call__(x, **{name: value for name, value in keywords.items() if value is not None})

    def bind(self, parameters: ParameterSpace) -> None:
        """Called once, before there are weights, with the space of the parameters. Most summaries needn't know it."""

    def beforehand(self, x: tf.Tensor, training: bool = False) -> tf.Tensor | None:
        """What takes time and is not learned, (n, p); None if there is no such part.

        Where training has all simulations before the first step, this is worked out once for each of them, and
        :meth:`call` gets it as ``beforehand``. It must not depend on weights that are trained.
        """
        return None

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Summarise.

        Parameters
        ----------
        x : tensor (n, ...)
        mask : boolean tensor (n, steps), or None
            False where an element of the second axis is padding, for observables of varying length. Padded values
            must not influence the result, nor may the amount of padding.

        Returns
        -------
        tensor (n, k)
        """
        raise NotImplementedError

    def compute_mask(self, x: tf.Tensor, previous_mask: tf.Tensor | None = None) -> None:
        """A summary has no steps left to mask; without this, Keras would hand the mask on to the next layer."""
        return None
