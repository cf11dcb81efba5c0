"""Maps between scientific quantities and networks: unconstrained parameters, scaled data, checked observations."""
