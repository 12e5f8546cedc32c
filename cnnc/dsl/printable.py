"""What a terminal may be sent of somebody else's text. Imports nothing: a run prints before the rest is loaded."""


def printable(line: str) -> str:
    """A line that is safe on a terminal: a spec's control characters show as `·`."""
    return "".join(ch if ch == "\t" or ch.isprintable() else "·" for ch in line)
