"""Compiled functions that are traced once for any number of rows."""

from __future__ import annotations

import gc
import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow.python.framework.func_graph import FuncGraph

import bayesinn as bi
from bayesinn.core import compilation
from bayesinn.core.compilation import AnyRows, compiled, map_tensors, released_graphs
from bayesinn.core.process import ProcessSetting
from bayesinn.estimators.estimator import new_model
from bayesinn.estimators.fitting_data import draw_pilot
from bayesinn.posterior.answers import Evaluator
from bayesinn.simulators.linear import linear
from tests.helpers.models import small_flow


def test_traced_anew_for_another_structure_dtype_or_event_only() -> None:
    function = AnyRows(
        lambda values, factor: {name: factor * value for name, value in values.items()},
        leading=(1, 0),
    )
    for n in (1, 7, 1000):
        np.testing.assert_array_equal(
            function({"a": np.ones((n, 2))}, np.float64(3.0))["a"], np.full((n, 2), 3.0)
        )
    assert len(function._traced) == 1
    function({"a": np.ones((4, 3))}, np.float64(3.0))
    function({"b": np.ones((4, 3))}, np.float64(3.0))
    function({"b": np.ones((4, 3), np.float32)}, np.float32(3.0))
    assert len(function._traced) == 4


def test_absent_tensors_stay_absent() -> None:
    assert map_tensors(lambda x: 2 * x, {"x": 1, "y": None}) == {"x": 2, "y": None}


def test_xla_compiles_what_it_can() -> None:
    double = compiled(lambda x: 2.0 * x, tf.ones(3), xla="auto", subject="doubling")
    assert double.xla
    assert double.call(tf.ones(2)).numpy().tolist() == [2.0, 2.0]


def test_many_posteriors_in_a_session_give_no_warning_of_retracing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    posterior = bi.AmortizedPosterior(linear, flow=small_flow())
    pilot = draw_pilot(linear, 1)
    learner = new_model(posterior, pilot, 1)
    seed = tf.constant([1, 2])
    with caplog.at_level(logging.WARNING, logger=tf.get_logger().name):
        tf.get_logger().addHandler(caplog.handler)
        try:
            for _ in range(6):
                sampler = Evaluator(learner)
                condition, _ = sampler.condition({"y": pilot["y"][:3]})
                sampler.log_prob(sampler.sample(condition, 4, seed), condition)
        finally:
            tf.get_logger().removeHandler(caplog.handler)
    assert "retracing" not in caplog.text


def graphs() -> int:
    gc.collect()
    return sum(isinstance(value, FuncGraph) for value in gc.get_objects())


def test_graphs_go_with_their_posteriors(monkeypatch: pytest.MonkeyPatch) -> None:
    # The tests of a file are inside of a block, which ends after them.
    outer = compilation._graphs
    monkeypatch.setattr(compilation, "_graphs", ProcessSetting(outer._read, outer._write, None))

    def train() -> None:
        posterior = bi.AmortizedPosterior(linear, flow=small_flow())
        posterior.fit(steps=2, batch_size=16, seed=1, progress=False)
        posterior.sample({"y": [0.0, 1.0]}, draws=3, seed=1)

    train()
    before = graphs()
    train()
    assert graphs() == before


def test_blocks_of_other_threads_keep_their_gradients() -> None:
    traced = threading.Event()
    go_on = threading.Event()

    def differentiate() -> tf.Tensor:
        with released_graphs():
            x = tf.constant([0.5])

            @tf.function
            def slope(x: tf.Tensor) -> tf.Tensor:
                with tf.GradientTape() as tape:
                    tape.watch(x)
                    value = inner(x)
                traced.set()
                go_on.wait(20.0)
                return tape.gradient(value, x)

            @tf.function
            def inner(x: tf.Tensor) -> tf.Tensor:
                return tf.nn.silu(x)

            return slope(x)

    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(differentiate)
        assert traced.wait(20.0)
        with released_graphs():
            pass
        go_on.set()
        assert float(found.result()[0]) == pytest.approx(0.7399612)


def test_what_bijectors_remember_goes_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    ignored = []
    monkeypatch.setattr(sys, "unraisablehook", ignored.append)
    values = tf.constant([0.1, 0.2])
    with released_graphs():
        tfp.bijectors.Sigmoid().inverse_log_det_jacobian(values)
    del values
    gc.collect()
    assert not ignored
