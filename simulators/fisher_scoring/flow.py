"""A flow that sees parameters as a fit does: around its location, along straight ridges."""

import tensorflow as tf

from bayesinn.bijections.bijection import Condition
from bayesinn.flows import Flow, Framed
from bayesinn.spaces.parameters import ParameterSpace

from .working_model import WorkingModel


class Straightened(Framed):
    """A flow of vectors that are whitened by the fit of a :class:`FisherScoring` summary.

    Compensating parameters are measured from what compensates the others, and angles from those of
    the fit.

    Parameters
    ----------
    flow : Flow
    model : WorkingModel, the same as that of the summary
    """

    def __init__(self, flow: Flow, model: WorkingModel) -> None:
        super().__init__(flow)
        self.model = model

    @property
    def entries(self) -> frozenset[str]:
        return super().entries | {"information_fraction"}

    def bind(self, parameters: ParameterSpace) -> None:
        self.model.bind(parameters)
        super().bind(parameters)

    def offset(self, x: tf.Tensor, condition: Condition) -> tuple[tf.Tensor, tf.Tensor]:
        fraction = condition["information_fraction"]
        return self.model.straighten(x, condition[self.location], fraction)

    def from_offset(self, offset: tf.Tensor, condition: Condition) -> tuple[tf.Tensor, tf.Tensor]:
        fraction = condition["information_fraction"]
        return self.model.unstraighten(offset, condition[self.location], fraction)
