"""Next-item accuracy on files of sequences: ``python -m benchmarks.accuracy --help``."""
