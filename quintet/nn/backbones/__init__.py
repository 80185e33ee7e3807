"""Sequence encoders: one file a backbone."""
