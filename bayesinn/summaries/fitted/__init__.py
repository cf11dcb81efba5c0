"""Summaries that fit a working model of the data to each observation by Fisher scoring."""
