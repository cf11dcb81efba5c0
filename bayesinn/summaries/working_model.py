"""A working model of data: what an author writes of it, and what follows from that."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from bayesinn.parameters import ParameterSpace

# In prior standard deviations: of difference quotients, and of estimates from zero.
_DIFFERENCE, _FURTHEST = 0.01, 4.5
# So many radians are one unit of a fit's vector: near zero, that of the space is the same for a uniform prior.
_RADIANS = math.pi**2 / math.sqrt(12.0)

Parameters = Mapping[str, tf.Tensor]


class WorkingModel:
    """Data that are independent and Student-t given parameters, whose vector has a standard normal prior.

    An author writes :meth:`mean` and :meth:`log_scale`; :meth:`values`, :meth:`begin`, :meth:`settle` and
    :meth:`compensate` where that helps.

    Vectors of a fit are those of the space, except that angles (:attr:`periodic`) go on past the ends of their range.
    """

    degrees_of_freedom: float

    rounded: tuple[str, ...] = ()
    """Parameters that enter the simulator as whole numbers: nothing can be known about the rest of them."""

    periodic: tuple[str, ...] = ()
    """Angles from -pi to pi with a nearly uniform prior: its two ends are the same place."""

    compensating: tuple[tuple[str, ...], ...] = ()
    """Parameters that can make up for changes of others, in the order in which :meth:`compensate` is to see them."""

    space: ParameterSpace
    """The parameters and their vector."""

    def mean(self, parameters: Parameters) -> tf.Tensor:
        """Mean of the data.

        Parameters
        ----------
        parameters : dict of name to tensor (n, *event)
            Parameters in :attr:`rounded` are not whole; a mean that changes evenly between whole numbers leads to
            better estimates than one that jumps.

        Returns
        -------
        tensor (n, k)
        """
        raise NotImplementedError

    def log_scale(self, parameters: Parameters, mean: tf.Tensor) -> tf.Tensor:
        """Logarithm of the scale of the data, (n, k), for parameters and the mean that they lead to."""
        raise NotImplementedError

    def values(self, x: tf.Tensor) -> tf.Tensor:
        """Data (n, ...) as rows (n, k) in the order of the predictions: row by row, unless an author says otherwise."""
        return keras.ops.reshape(x, (-1, int(np.prod(x.shape[1:]))))

    def begin(self, values: tf.Tensor, parameters: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Better parameters to start a fit from; all as they are by default.

        Angles, above all: a fit that starts on the wrong side of the circle stays there.

        Parameters
        ----------
        values : tensor (n, k)
        parameters : dict of name to tensor (n, *event)
        """
        return parameters

    def settle(self, values: tf.Tensor, mean: tf.Tensor, parameters: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Parameters, with those at their best on which the mean does not depend; all as they are by default.

        Scales of the noise, above all: while they are too small for the residuals, the steps of all others are short.

        Parameters
        ----------
        values, mean : tensors (n, k)
        parameters : dict of name to tensor (n, *event)
        """
        return parameters

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

    def parameters_of(self, vector: tf.Tensor) -> dict[str, tf.Tensor]:
        """Parameters (n, *event) for the vectors (n, d) of a fit."""
        return {**self.space.from_vector(vector), **self._angles(vector)}

    def vector_of(self, parameters: Parameters) -> tf.Tensor:
        """The inverse of :meth:`parameters_of`."""
        vector = self.space.to_vector(parameters)[0]
        for name in self.periodic:
            is_angle = self.space.elements_of((name,))
            vector = tf.where(is_angle > 0.0, parameters[name][:, None] / _RADIANS, vector)
        return vector

    def wound_back(self, vector: tf.Tensor) -> tf.Tensor:
        """Vectors (n, d) of a fit, with angles between -pi and pi."""
        for name, angle in self._angles(vector).items():
            vector += (_within_turn(angle) - angle)[:, None] / _RADIANS * self.space.elements_of((name,))
        return vector

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
        parameters, of_fit = self.space.from_vector(vector), self.parameters_of(fitted)
        changes, log_widths = tf.zeros_like(vector), tf.zeros_like(vector)
        for names in self.compensating:
            change, log_width = self._compensation(names, parameters, fitted, of_fit, told)
            changes, log_widths = changes + change, log_widths + log_width
        turned, log_det = self._turned(vector, {name: -angle for name, angle in self._angles(fitted).items()})
        offset = (vector - fitted - changes) * tf.exp(-log_widths)
        return self._with_angles(offset, turned - self._zero_angles()), log_det - tf.reduce_sum(log_widths, axis=-1)

    def bend(self, offset: tf.Tensor, estimate: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The inverse of :meth:`straighten`; one estimate (1, 2 d) or longer serves all offsets, too."""
        fitted, told = _fitted_and_told(offset, estimate)
        turned, log_det = self._turned(offset + self._zero_angles(), self._angles(fitted))
        vector = self._with_angles(offset + fitted, turned)
        parameters, of_fit = self.space.from_vector(vector), self.parameters_of(fitted)
        for names in self.compensating:
            change, log_width = self._compensation(names, parameters, fitted, of_fit, told)
            vector += change + offset * tf.math.expm1(log_width)
            log_det += tf.reduce_sum(log_width, axis=-1)
            parameters |= self.space.from_vector(vector, names, parameters)
        return vector, log_det

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

    def _angles(self, vector: tf.Tensor) -> dict[str, tf.Tensor]:
        """Angles (n,) for the vectors of a fit."""
        return {
            name: _RADIANS * tf.reduce_sum(vector * self.space.elements_of((name,)), axis=-1) for name in self.periodic
        }

    def _turned(self, vector: tf.Tensor, angles: Parameters) -> tuple[tf.Tensor, tf.Tensor]:
        """Angles of vectors of the space after some turns, as elements of vectors, and log determinants."""
        if not self.periodic:
            return vector, tf.zeros_like(vector[:, 0])
        parameters = self.space.from_vector(vector)
        turned = {name: _within_turn(parameters[name] + angle) for name, angle in angles.items()}
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

    def predict(self, parameters: Parameters) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and logarithm of the scale, each (n, k)."""
        mean = self.mean(parameters)
        return mean, self.log_scale(parameters, mean)

    def settled(self, values: tf.Tensor, vector: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Vectors (n, d) after :meth:`settle`, and what is predicted for them."""
        parameters = self.parameters_of(near(vector))
        mean = self.mean(parameters)
        parameters = self.settle(values, mean, parameters)
        return self.vector_of(parameters), mean, self.log_scale(parameters, mean)

    def evaluate(self, values: tf.Tensor, vector: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Settled vectors (m, n, d), their residuals (m, n, k), and log densities (m, n) up to a constant."""
        count = vector.shape[0]
        vector = tf.reshape(vector, (-1, vector.shape[-1]))
        vector, mean, log_scale = _by_candidate(count, *self.settled(tf.tile(values, (count, 1)), vector))
        residuals = (values - mean) * tf.exp(-log_scale)
        of_data = self.log_densities(residuals, log_scale)
        return vector, residuals, tf.reduce_sum(of_data, axis=-1) - 0.5 * tf.reduce_sum(vector**2, axis=-1)

    def log_densities(self, residuals: tf.Tensor, log_scale: tf.Tensor) -> tf.Tensor:
        """Of single numbers (..., k), up to a constant; for residuals in units of their scale."""
        nu = self.degrees_of_freedom
        return -0.5 * (nu + 1.0) * tf.math.log1p(residuals**2 / nu) - log_scale

    def spacing(self) -> np.ndarray:
        """What a whole number more is in elements of the vector (d,), at the prior's centre; 0 if not rounded."""
        centre = self.parameters_of(tf.zeros((1, self.space.dimension)))
        one_more = {name: value + float(name in self.rounded) for name, value in centre.items()}
        spacing = np.abs(self.vector_of(one_more) - self.vector_of(centre))[0]
        # Rounding errors aside.
        return np.where(spacing > 1e-3, spacing, 0.0).astype(np.float32)

    def derive(
        self, steps: np.ndarray, values: tf.Tensor, mean: tf.Tensor, log_scale: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """A root (n, d, 2 k) of the information in the data, and residuals (n, k).

        From predictions at the points of :func:`around`, one point after another: ((1 + d) * n, k).
        """
        mean, log_scale = _by_candidate(1 + len(steps), mean, log_scale)
        step, factors = steps[:, None, None], self._root_factors()
        of_mean = (mean[1:] - mean[0]) / step * tf.exp(-log_scale[0])
        of_scale = (log_scale[1:] - log_scale[0]) / step
        root = tf.concat([factors[0] * of_mean, factors[1] * of_scale], axis=-1)
        return tf.transpose(root, (1, 0, 2)), (values - mean[0]) * tf.exp(-log_scale[0])

    def score(self, root: tf.Tensor, residuals: tf.Tensor, vector: tf.Tensor) -> tf.Tensor:
        """Derivatives (n, d) of the log density; residuals may be of other vectors than the root."""
        nu, factors = self.degrees_of_freedom, self._root_factors()
        weighted = (nu + 1.0) / (nu + residuals**2) * residuals
        by_number = tf.concat([weighted / factors[0], (weighted * residuals - 1.0) / factors[1]], axis=-1)
        return tf.linalg.matvec(root, by_number) - vector

    def turn(self, steps: np.ndarray, vector: tf.Tensor, told: tf.Tensor) -> tf.Tensor:
        """Derivatives (n, d, d) of straightened vectors by vectors (n, d) of a fit, where these are the fitted ones."""
        points = self.space.to_vector(self.parameters_of(self.wound_back(around(vector, steps))))[0]
        points, _ = self.straighten(points, tf.tile(tf.concat([vector, told], axis=-1), (1 + len(steps), 1)))
        points = tf.reshape(points, (1 + len(steps), -1, len(steps)))
        slopes = (points[1:] - points[0]) / steps[:, None, None]
        return tf.cast(tf.transpose(slopes, (1, 2, 0)), tf.float64)

    def _root_factors(self) -> tuple[float, float]:
        """Roots of what a number tells of its mean in units of its scale, and of the scale's logarithm."""
        nu = self.degrees_of_freedom
        return math.sqrt((nu + 1.0) / (nu + 3.0)), math.sqrt(2.0 * nu / (nu + 3.0))


def differences(spacing: np.ndarray) -> np.ndarray:
    """How far apart difference quotients look (d,): half of a whole number, as predictions may bend at whole ones."""
    return np.where(spacing > 0.0, 0.5 * spacing, _DIFFERENCE).astype(np.float32)


def around(vector: tf.Tensor, steps: np.ndarray) -> tf.Tensor:
    """Vectors (n, d), then these with one element changed after another, ((1 + d) * n, d)."""
    count = len(steps)
    offsets = np.concatenate([np.zeros((1, count)), np.diag(steps)]).astype(np.float32)
    return tf.reshape(vector + offsets[:, None, :], (-1, count))


def near(vector: tf.Tensor) -> tf.Tensor:
    """Not further from the prior's mean than is plausible."""
    return tf.clip_by_value(vector, -_FURTHEST, _FURTHEST)


def _by_candidate(count: int, *parts: tf.Tensor) -> list[tf.Tensor]:
    """Rows of so many candidates one after another, (count * n, k), as (count, n, k)."""
    return [tf.reshape(part, (count, -1, part.shape[-1])) for part in parts]


def _fitted_and_told(vector: tf.Tensor, estimate: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    dimension = vector.shape[-1]
    return estimate[:, :dimension], estimate[:, dimension : 2 * dimension]


def _within_turn(angle: tf.Tensor) -> tf.Tensor:
    """The same angle between -pi and pi."""
    return angle - 2.0 * math.pi * tf.round(angle / (2.0 * math.pi))
