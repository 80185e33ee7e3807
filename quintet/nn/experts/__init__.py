"""Experts: how tasks and scenarios share one state."""
