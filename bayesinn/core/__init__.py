"""Parts that every room uses.

These are errors, checks of arguments, seeds, labels with units, compilation, progress, and saved
files.
"""
