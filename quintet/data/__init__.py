"""From tables to arrays: reading, cleaning, auditing, splitting and encoding event logs."""
