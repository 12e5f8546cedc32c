"""The command line: `cnnc COMMAND SPEC`."""

from __future__ import annotations

import gc
import os
import sys

from cnnc.dsl.deep import deep


@deep
def main() -> None:
    """The entry point. Exit codes: 0 fine, 1 the spec is wrong, 2 the command line is."""
    # Nearly all that a run makes lives to its end; looking for garbage every 700 objects finds none.
    gc.set_threshold(200_000, 20, 100)
    from cnnc.cli.signals import stop_cleanly

    stop_cleanly()  # before the imports below, which take most of a short run
    from cnnc.cli.out import gate_streams

    gate_streams()
    from cnnc.cli.commands import cnnc

    if "_CNNC_COMPLETE" in os.environ:
        from cnnc.cli import completion  # noqa: F401  (registers what bash needs)

    try:
        cnnc(prog_name="cnnc")
    except OSError as error:  # from what click itself prints, or while an error is told
        from cnnc.cli.common import told_of_lost_stream

        if not told_of_lost_stream(error):
            raise
        sys.exit(1)
