"""What pytest does not collect: the golden files are data."""

collect_ignore_glob = ["tests/golden/*"]
