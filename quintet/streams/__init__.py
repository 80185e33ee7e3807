"""Events from a message broker into a running service, each with one effect."""
