"""Steps before and after a training: check the simulator, count simulations, add rounds."""
