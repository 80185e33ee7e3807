"""Evidence that is counted from events rather than learned by gradient: one file a memory."""
