"""Syntax tree to graph, and the analyses of graphs."""
