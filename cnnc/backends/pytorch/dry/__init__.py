"""PyTorch without values: enough of it to run a written module and see what memory it takes.

`ledger.py` counts, `tensor.py` has storages and views, `autograd.py` the backward pass in the engine's order,
`checkpointing.py` what is computed again; `pointwise.py`, `shapes.py`, `reduce.py`, `products.py`, `pools.py` and `creation.py` are
its functions, each with what it saves for the backward pass; `modules.py` is `torch.nn`, `namespace.py` puts
them together and `run.py` runs a step. The oracle of it all is torch's MemTracker, in tests/test_memory.py.
"""
