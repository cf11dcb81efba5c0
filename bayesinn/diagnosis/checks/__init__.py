"""The library's own checks, one a file, which names it ``CHECK``. A new file is found by itself."""
