"""The inference form of a network: a second file, faster and not for training.

Batch norms go into the weights before them, a convolution, the sum and the activation
after it become one kernel, maps have their channels innermost. Module names stay, so
its state dict is that of the plain form without the norms; `convert`, in the file,
makes the one from the other.
"""
