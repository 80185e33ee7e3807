"""Simulated worlds and readers behind ``benchmarks.off_policy``."""
