"""One page about a network, `cnnc report`: diagram, table, charts, receptive fields, spec and code."""

from cnnc.backends.report.page import to_report

__all__ = ["to_report"]
