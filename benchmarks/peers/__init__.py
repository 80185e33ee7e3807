"""Peers of quintet, each trained by its own library in an environment of its own."""
