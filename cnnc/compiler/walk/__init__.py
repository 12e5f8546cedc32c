"""The one walk from a syntax tree to drafts of layers: names, arithmetic, brackets, calls, and what each layer brings."""
