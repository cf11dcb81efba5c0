"""Parts that every room uses: errors, argument checks, seeds, labels and units, compilation, progress, saved files."""
