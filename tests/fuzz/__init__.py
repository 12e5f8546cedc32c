"""Fuzzing: mutated specs through the front end and through the whole compiler.

`python -m tests.fuzz --target front --inputs 1000000` from the root of the repository; `--help` tells the rest.
"""
