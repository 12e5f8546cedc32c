"""Which values of a spec's params meet a budget: the search behind `cnnc solve` and `cnnc.solve(…)`."""
