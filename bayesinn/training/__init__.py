"""Training: one loop for everything that implements :class:`Trainable`.

The weights are one flat vector, many steps run between two returns to Python, and simulations are
drawn inside the compiled step where the simulator allows it.
"""

import bayesinn.core.environment  # noqa: F401
