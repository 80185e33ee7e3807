"""HTTP: the service over a bundle and a store. Knows how to answer, never how to train."""
