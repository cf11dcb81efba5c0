"""What to do before and after a training: look at the simulator, count simulations, add rounds."""
