"""quintet: one recommendation model, trained once on event logs, that plays five parts."""
