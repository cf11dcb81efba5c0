"""Training: a flat weight vector, many steps a call, simulations drawn in the compiled step."""
