"""Structure recovered: from the graph of a flat spec to the spec that a person would have written."""

from cnnc.importer.structure.judge import Names, same
from cnnc.importer.structure.shorten import shorten

__all__ = ["Names", "same", "shorten"]
