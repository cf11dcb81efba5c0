"""Training: one loop for everything that implements :class:`Trainable`.

The weights are one flat vector. Many steps run between two returns to Python. Simulations are drawn
inside the compiled step if the simulator allows it.
"""

import bayesinn.core.compilation  # noqa: F401
