"""Ready models, each one file that reads like its paper."""
