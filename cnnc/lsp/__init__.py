"""`cnnc lsp`: the engine of `cnnc.live` for any editor that speaks the Language Server Protocol, on standard input and output."""
