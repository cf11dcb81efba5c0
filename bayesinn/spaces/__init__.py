"""Between scientific quantities and networks: parameters as unconstrained vectors, data at unit scale, observations."""
