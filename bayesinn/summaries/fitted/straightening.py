"""Coordinates in which curved ridges of a posterior are straight, and angles have no ends."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from bayesinn.summaries.fitted.working_model import WorkingModel, around, within_turn

Parameters = Mapping[str, tf.Tensor]


class Straightening(WorkingModel):
    """A working model that knows which parameters make up for changes of others.

    An author names them in :attr:`compensating`, and writes :meth:`compensate`.
    """

    compensating: tuple[tuple[str, ...], ...] = ()
    """Parameters that can make up for changes of others, in the order in which :meth:`compensate` is to see them."""

    def compensate(
        self, names: tuple[str, ...], parameters: Parameters, fitted: Parameters
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Values of some parameters at which the data would be much as for the fitted ones, whatever the others.

        They need not be exact, but must be finite and within the prior's support for any parameters, and the fitted
        values for the fitted parameters.

        Parameters
        ----------
        names : tuple of str
            An element of :attr:`compensating`.
        parameters : dict of name to tensor (n, *event)
            May be used of these: those that compensate nothing, and those of earlier elements.
        fitted : dict of name to tensor (n, *event), or (1, *event) for all

        Returns
        -------
        values : dict of each of the names to tensor (n, *event)
        widths : dict of name to tensor (n,)
            Logarithms of how much wider the posterior of the parameter's vector is there than at the fitted value, if
            the data tell as much; zero for names that are left out. For numbers only.
        """
        raise NotImplementedError

    def straighten(self, vector: tf.Tensor, estimate: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """How far vectors are from fitted ones, in coordinates in which a ridge of the posterior is nearly straight.

        Elements that compensate count from where they would do so, so that a ridge along which parameters make up for
        each other becomes straight. They do so as far as the data tell them: what only the prior knows depends on no
        other parameter. Angles are turned until the fitted one is in the centre.

        Parameters
        ----------
        vector : tensor (n, d)
            Of the space.
        estimate : tensor (n, 2 d) or longer
            Fitted vectors, then how well the data tell each element given the others, from 0 to 1.

        Returns
        -------
        offset : tensor (n, d), zero for the fitted vector
        log_det : tensor (n,), log absolute determinant of d offset / d vector
        """
        fitted, told = _fitted_and_told(vector, estimate)
        parameters, of_fit = self._plausible(vector), self.parameters_of(fitted)
        changes, log_widths = tf.zeros_like(vector), tf.zeros_like(vector)
        for names in self.compensating:
            change, log_width = self._compensation(names, parameters, fitted, of_fit, told)
            changes, log_widths = changes + change, log_widths + log_width
        turned, log_det = self._turned(vector, {name: -angle for name, angle in self.angles(fitted).items()})
        offset = (vector - fitted - changes) * tf.exp(-log_widths)
        return self._with_angles(offset, turned - self._zero_angles()), log_det - tf.reduce_sum(log_widths, axis=-1)

    def bend(self, offset: tf.Tensor, estimate: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The inverse of :meth:`straighten`; one estimate (1, 2 d) or longer serves all offsets, too."""
        fitted, told = _fitted_and_told(offset, estimate)
        turned, log_det = self._turned(offset + self._zero_angles(), self.angles(fitted))
        vector = self._with_angles(offset + fitted, turned)
        parameters, of_fit = self._plausible(vector), self.parameters_of(fitted)
        for names in self.compensating:
            change, log_width = self._compensation(names, parameters, fitted, of_fit, told)
            vector += change + offset * tf.math.expm1(log_width)
            log_det += tf.reduce_sum(log_width, axis=-1)
            parameters |= self._plausible(vector, names, parameters)
        return vector, log_det

    def _plausible(
        self, vector: tf.Tensor, names: tuple[str, ...] | None = None, given: dict[str, tf.Tensor] | None = None
    ) -> dict[str, tf.Tensor]:
        """Parameters within the reach of the prior: what makes up for others that have overflowed is not a number."""
        reach = self.space.reach
        return self.space.from_vector(tf.clip_by_value(vector, -reach, reach), names, given)

    def _compensation(
        self, names: tuple[str, ...], parameters: Parameters, fitted: tf.Tensor, of_fit: Parameters, told: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Changes and log widths, (n, d); zero for all elements but those of the names."""
        values, log_widths = self.compensate(names, parameters, of_fit)
        change = self.space.to_vector({**parameters, **values}, names)[0] - fitted * self.space.elements_of(names)
        widths = sum(
            (width[:, None] * self.space.elements_of((name,)) for name, width in log_widths.items()),
            start=tf.zeros_like(change),
        )
        return told * change, told * widths

    def _turned(self, vector: tf.Tensor, angles: Parameters) -> tuple[tf.Tensor, tf.Tensor]:
        """Angles of vectors of the space after some turns, as elements of vectors, and log determinants."""
        if not self.periodic:
            return vector, tf.zeros_like(vector[:, 0])
        parameters = self.space.from_vector(vector)
        turned = {name: within_turn(parameters[name] + angle) for name, angle in angles.items()}
        # A turn does not change volumes of the parameters.
        after, log_det_after = self.space.to_vector({**parameters, **turned}, self.periodic)
        _, log_det_before = self.space.to_vector(parameters, self.periodic)
        return after, log_det_after - log_det_before

    def _with_angles(self, vector: tf.Tensor, angles: tf.Tensor) -> tf.Tensor:
        """The first vectors, with the angles of the second."""
        return tf.where(self.space.elements_of(self.periodic) > 0.0, angles, vector)

    def _zero_angles(self) -> tf.Tensor:
        """A vector (1, d) of the space in which all angles are zero; so are all other elements."""
        zeros = tf.zeros((1, self.space.dimension))
        if not self.periodic:
            return zeros
        centre = self.space.from_vector(zeros)
        return self.space.to_vector({**centre, **{name: tf.zeros(1) for name in self.periodic}}, self.periodic)[0]

    def turn(self, steps: np.ndarray, vector: tf.Tensor, told: tf.Tensor) -> tf.Tensor:
        """Derivatives (n, d, d) of straightened vectors by vectors (n, d) of a fit, where these are the fitted ones."""
        points = self.space.to_vector(self.parameters_of(self.wound_back(around(vector, steps))))[0]
        points, _ = self.straighten(points, tf.tile(tf.concat([vector, told], axis=-1), (1 + len(steps), 1)))
        points = tf.reshape(points, (1 + len(steps), -1, len(steps)))
        slopes = (points[1:] - points[0]) / steps[:, None, None]
        return tf.cast(tf.transpose(slopes, (1, 2, 0)), tf.float64)


def _fitted_and_told(vector: tf.Tensor, estimate: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    dimension = vector.shape[-1]
    return estimate[:, :dimension], estimate[:, dimension : 2 * dimension]
