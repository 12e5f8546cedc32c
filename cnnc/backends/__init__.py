"""Graph to something: PyTorch, diagrams, tables."""
