"""Scripts and notebooks are quiet, whoever imports TensorFlow."""

import pytest

CODE = """
import bayesinn as bi
import sys
assert "tensorflow" not in sys.modules
import tensorflow as tf
tf.constant(1.0) + 1.0
print(type(tf.__spec__.loader).__name__, bi.get_simulator("linear").name)
print("mine", file=sys.stderr)
"""


def test_importing_is_quiet(monkeypatch: pytest.MonkeyPatch, fresh_python) -> None:
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    done = fresh_python(CODE)
    assert done.stdout == "SourceFileLoader linear\n"
    assert done.stderr == "mine\n"
