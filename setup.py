"""What pyproject.toml cannot say: the links at the top of the repository go into the sdist as links.

They are for readers. Nothing needs them: an sdist that is unpacked without links, and a checkout that has text files in
their place, give the same wheel.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from setuptools import setup
from setuptools.command.sdist import sdist

LINKS = ("dsl", "compiler", "backends", "specs")


class SdistWithLinks(sdist):
    """setuptools' sdist, which copies files alone, and the links."""

    def make_release_tree(self, base_dir: str, files: Sequence[str]) -> None:
        """Add the links that are there."""
        super().make_release_tree(base_dir, list(files))
        for name in LINKS:
            if os.path.islink(name):
                os.symlink(os.readlink(name), os.path.join(base_dir, name))


setup(cmdclass={"sdist": SdistWithLinks})
