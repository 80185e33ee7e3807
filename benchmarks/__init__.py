"""Programs that measure quintet and its peers; each prints a table and writes results.json."""
