"""The mutation score of the analyses: `python -m benchmarks.mutation`."""
