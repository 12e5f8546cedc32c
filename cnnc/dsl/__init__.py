"""Text to syntax tree: grammar, layout, parsing, formatting, diagnostics."""
