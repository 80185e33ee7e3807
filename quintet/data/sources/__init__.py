"""Data sets that quintet can fetch or make by itself: one file a source."""
