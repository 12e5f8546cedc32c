"""What editors and the live page show while a text is being written: one engine for all of them, without torch."""
