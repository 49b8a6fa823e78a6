"""What beepmesh costs, measured between real processes on hosts of their own. `python -m benchmarks` runs it all."""
