"""What `cnnc plan` and `cnnc solve` print and write: text, pictures and JSON."""
