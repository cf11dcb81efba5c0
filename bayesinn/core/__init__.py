"""What every room needs: errors, seeds, names with labels and units, configuration, compilation, progress."""
