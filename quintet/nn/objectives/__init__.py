"""Objectives of self-supervised pre-training: one file an objective."""
