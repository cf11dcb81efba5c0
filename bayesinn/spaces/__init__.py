"""Maps between scientific quantities and networks.

Parameters become unconstrained, data are scaled, and observations are checked.
"""
