"""The command group and its table: every command's name, and where it lives."""

from __future__ import annotations

import click

from cnnc.cli.group import Commands, Group

# A command is imported when it is run, so its module may import what it needs at its head.
COMMANDS = Commands({
    "bench": "cnnc.cli.bench:bench",
    "check": "cnnc.cli.checking:check",
    "compile": "cnnc.cli.writing:compile",
    "diff": "cnnc.cli.comparing:diff",
    "draw": "cnnc.cli.drawing:draw",
    "expand": "cnnc.cli.writing:expand",
    "fmt": "cnnc.cli.formatting:fmt",
    "fold": "cnnc.cli.writing:fold",
    "import": "cnnc.cli.importing:import_",
    "live": "cnnc.cli.living:live",
    "lock": "cnnc.cli.lock:lock",
    "ops": "cnnc.cli.reference:ops",
    "lsp": "cnnc.cli.serving:lsp",
    "plan": "cnnc.cli.planning:plan",
    "report": "cnnc.cli.report:report",
    "schema": "cnnc.cli.schema:schema",
    "solve": "cnnc.cli.solving:solve",
    "split": "cnnc.cli.splitting:split",
    "summary": "cnnc.cli.summarising:summary",
    "verify": "cnnc.cli.verifying:verify",
    "weights": "cnnc.cli.weights:weights",
    "zoo": "cnnc.cli.zoo:zoo",
})  # fmt: skip

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def _versions(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if wanted:
        from cnnc.cli.versions import print_versions

        print_versions(ctx, param, wanted)


@click.group(cls=Group, commands=COMMANDS, context_settings=_CONTEXT)
@click.option(
    "-V", "--version", is_flag=True, is_eager=True, expose_value=False, callback=_versions,
    help="Show the versions of cnnc, Python and packages, and exit.",
)  # fmt: skip
def cnnc() -> None:
    """Networks as text: check, measure, draw and compile .cnn specs.

    SPEC is a file, - for standard input, or zoo:NAME for a network that ships with cnnc.

    \b
    cnnc compile vgg16.cnn          write vgg16.py, a PyTorch module
    cnnc check specs/*.cnn          check what the specs claim
    cnnc summary zoo:resnet50       sizes, parameters, MACs, receptive fields
    """
