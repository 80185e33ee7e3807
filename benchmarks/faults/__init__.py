"""Faults injected into real processes, files and servers."""
