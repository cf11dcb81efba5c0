"""Parts that every room uses: errors, checks, seeds, labels, compilation, progress, files.

The checks are of arguments, the labels come with units, the files are saved files.
"""
