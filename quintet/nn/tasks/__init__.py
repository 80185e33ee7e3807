"""The five tasks with their losses: one file a task."""
