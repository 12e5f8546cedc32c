"""Names in generated code: never a keyword, never a builtin, never a method of nn.Module."""

from __future__ import annotations

import builtins
import keyword
import re

# Attributes of torch.nn.Module (2.x): a child of such a name could not be reached.
MODULE_ATTRIBUTES = frozenset(
    [
        "T_destination",
        "add_module",
        "apply",
        "bfloat16",
        "buffers",
        "call_super_init",
        "children",
        "compile",
        "cpu",
        "cuda",
        "double",
        "dump_patches",
        "eval",
        "extra_repr",
        "float",
        "forward",
        "get_buffer",
        "get_extra_state",
        "get_parameter",
        "get_submodule",
        "half",
        "ipu",
        "load_state_dict",
        "modules",
        "mtia",
        "named_buffers",
        "named_children",
        "named_modules",
        "named_parameters",
        "parameters",
        "register_backward_hook",
        "register_buffer",
        "register_forward_hook",
        "register_forward_pre_hook",
        "register_full_backward_hook",
        "register_full_backward_pre_hook",
        "register_load_state_dict_post_hook",
        "register_load_state_dict_pre_hook",
        "register_module",
        "register_parameter",
        "register_state_dict_post_hook",
        "register_state_dict_pre_hook",
        "requires_grad_",
        "set_extra_state",
        "set_submodule",
        "share_memory",
        "state_dict",
        "to",
        "to_empty",
        "train",
        "training",
        "type",
        "xpu",
        "zero_grad",
        "append",
        "extend",
        "insert",
        "pop",
    ]
)
_TAKEN = frozenset({"self", "torch", "nn", "F", "Tensor", "OrderedDict", "NamedTuple", "math"})


def is_plain(name: str) -> bool:
    """Whether `self.NAME` can be written."""
    ascii_name = name.isidentifier() and name.isascii()
    return ascii_name and not keyword.iskeyword(name) and not name.startswith("__")


def attribute(name: str) -> str:
    """How a child is reached in `forward`; the steps of a dotted name are keys of `nn.ModuleDict`s."""
    first, *keys = name.split(".")
    head = f"self.{first}" if is_plain(first) else f"getattr(self, {quote(first)})"
    return head + "".join(f"[{quote(key)}]" for key in keys)


def variable(name: str) -> str:
    """A local variable or parameter after a name of the spec."""
    text = re.sub(r"[^A-Za-z0-9_]", "_", name)
    if not text or text[0].isdigit():
        text = f"v{text}"
    text = text.lstrip("_") or "value"
    if keyword.iskeyword(text) or hasattr(builtins, text) or text in _TAKEN:
        text += "_"
    return text


def class_name(name: str) -> str:
    """`basic_block` to `BasicBlock`; capitals the user wrote are kept."""
    parts = [p for p in re.split(r"[^A-Za-z0-9]+", name) if p]
    text = "".join(p[0].upper() + p[1:] for p in parts) or "Net"
    if text[0].isdigit():
        text = f"Net{text}"
    if keyword.iskeyword(text) or hasattr(builtins, text) or text in _TAKEN:
        text += "Net"
    return text


def quote(text: str) -> str:
    """A Python string literal in double quotes."""
    escaped = text.encode("unicode_escape").decode("ascii").replace('"', '\\"')
    return f'"{escaped}"'


def literal(value: object) -> str:
    """A Python literal in the layout of the common formatters.

    >>> literal(("10", "01"))
    '("10", "01")'
    >>> literal((3,))
    '(3,)'
    """
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, tuple):
        inner = ", ".join(literal(item) for item in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return repr(value)
