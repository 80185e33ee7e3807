"""Transfer from one data set to another: ``python -m benchmarks.transfer --help``."""
