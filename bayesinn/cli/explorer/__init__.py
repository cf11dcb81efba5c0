"""The explorer: a page on the loopback address, on which a trained posterior is played with."""
