"""Maps between scientific quantities and networks: free parameters, scaled data, observations.

Free parameters are unconstrained; observations are checked.
"""
