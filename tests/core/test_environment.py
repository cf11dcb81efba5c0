"""What surrounds the library in its process: Keras' settings, threads, copies."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import keras
import pytest

import bayesinn as bi
from bayesinn.core.errors import InputError
from tests.helpers.models import small_flow

BACKEND = """
import bayesinn as bi
for name in ("AmortizedPosterior", "flows", "load"):
    try:
        getattr(bi, name)
    except ValueError as error:
        print(str(error))
"""


def test_another_backend_is_refused_with_the_way_out(fresh_python, monkeypatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    answer = fresh_python(BACKEND).stdout
    assert answer.count("Backend of Keras\n  expected: 'tensorflow'\n  got:      'jax'") == 3
    assert answer.count("KERAS_BACKEND=tensorflow") == 3


@pytest.mark.parametrize("setting", ["floatx", "policy"])
def test_another_precision_is_refused_with_the_way_out(setting: str) -> None:
    posterior = bi.AmortizedPosterior(bi.get_simulator("linear"), flow=small_flow())
    change = {"floatx": keras.config.set_floatx, "policy": keras.config.set_dtype_policy}[setting]
    change({"floatx": "float64", "policy": "mixed_float16"}[setting])
    try:
        with pytest.raises(InputError, match=r"(?s)Precision of Keras.*float32.*set_floatx"):
            posterior.fit(steps=4, batch_size=8, progress=False)
    finally:
        change("float32")
        keras.config.set_dtype_policy("float32")
    posterior.fit(steps=4, batch_size=8, progress=False)


def fitted(seed: int) -> bi.AmortizedPosterior:
    posterior = bi.AmortizedPosterior(bi.get_simulator("linear"), flow=small_flow())
    return posterior.fit(steps=20, batch_size=32, seed=seed, progress=False)


def test_fits_in_threads_give_the_bits_of_sequential_ones() -> None:
    expected = [fitted(seed).fingerprint for seed in (1, 2, 3)]
    with ThreadPoolExecutor(max_workers=3) as threads:
        assert [posterior.fingerprint for posterior in threads.map(fitted, (1, 2, 3))] == expected


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_copy_is_refused_with_the_way_out(way) -> None:
    for posterior in (bi.AmortizedPosterior(bi.get_simulator("linear"), flow=small_flow()),):
        with pytest.raises(
            InputError, match=r"(?s)Copy of AmortizedPosterior of 'linear'.*save\(folder\).*bi.load"
        ):
            way(posterior)
