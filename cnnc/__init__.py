"""cnnc: a declarative language for convolutional networks, and its compiler.

>>> import cnnc
>>> net = cnnc.parse('[[conv3-64]*2 -> pool]*5 -> fc4096', input='3x224x224')
>>> net.outputs, net.params
({'output': (4096,)}, 13183296)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from cnnc.dsl.diagnostics import CnncError, Diagnostic
    from cnnc.modules import from_module
    from cnnc.net import Net, load, parse
    from cnnc.solving.solution import solve

__all__ = ["CnncError", "Diagnostic", "Net", "from_module", "load", "parse", "solve"]

_HOMES = {
    "Net": "cnnc.net",
    "from_module": "cnnc.modules",
    "load": "cnnc.net",
    "parse": "cnnc.net",
    "solve": "cnnc.solving.solution",
    "CnncError": "cnnc.dsl.diagnostics",
    "Diagnostic": "cnnc.dsl.diagnostics",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for, so that `import cnnc` costs next to nothing."""
    from importlib import import_module

    if name == "__version__":
        from cnnc.dsl.version import VERSION

        return VERSION
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'cnnc' has no attribute {name!r}")
