"""Names in generated code: never a keyword, never a builtin, never a method of nn.Module."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable
from fractions import Fraction

from cnnc.dsl.diagnostics import fail
from cnnc.dsl.source import Span

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
        "_apply",
        "_backward_hooks",
        "_backward_pre_hooks",
        "_buffers",
        "_call_impl",
        "_compiled_call_impl",
        "_forward_hooks",
        "_forward_hooks_always_called",
        "_forward_hooks_with_kwargs",
        "_forward_pre_hooks",
        "_forward_pre_hooks_with_kwargs",
        "_get_backward_hooks",
        "_get_backward_pre_hooks",
        "_get_name",
        "_is_full_backward_hook",
        "_load_from_state_dict",
        "_load_state_dict_post_hooks",
        "_load_state_dict_pre_hooks",
        "_maybe_warn_non_full_backward_hook",
        "_modules",
        "_named_members",
        "_non_persistent_buffers_set",
        "_parameters",
        "_register_load_state_dict_pre_hook",
        "_register_state_dict_hook",
        "_replicate_for_data_parallel",
        "_save_to_state_dict",
        "_slow_forward",
        "_state_dict_hooks",
        "_state_dict_pre_hooks",
        "_version",
        "_wrapped_call_impl",
    ]
)
CONTAINER_ATTRIBUTES = {
    "nn.Module": MODULE_ATTRIBUTES,
    "nn.Sequential": MODULE_ATTRIBUTES | {"append", "extend", "insert", "pop", "_get_item_by_idx"},
    "nn.ModuleDict": MODULE_ATTRIBUTES | {"clear", "items", "keys", "pop", "update", "values"},
}
"""The same for what can hold children."""
TAKEN = frozenset(
    {
        "self",
        "torch",
        "nn",
        "F",
        "Tensor",
        "OrderedDict",
        "NamedTuple",
        "Any",
        "math",
        "Fraction",
        "whole",
        "divisible",
        "attend",
        "centre_crop",
        "centre_pad",
        "weight_norm",
        "spectral_norm",
    }
)
"""What every generated file may use."""


def is_plain(name: str) -> bool:
    """Whether `self.NAME` can be written."""
    ascii_name = name.isidentifier() and name.isascii()
    return ascii_name and not keyword.iskeyword(name) and not name.startswith("__")


def attribute(name: str) -> str:
    """How a child is reached in `forward`; the steps of a dotted name are keys of `nn.ModuleDict`s."""
    first, *keys = name.split(".")
    head = f"self.{first}" if is_plain(first) else f"getattr(self, {quote(first)})"
    return head + "".join(f"[{quote(key)}]" for key in keys)


def child_of(owner: str, name: str, *, is_key: bool = False) -> str:
    """How a child of `owner` is reached; `is_key` where that is an `nn.ModuleDict`."""
    if is_key:
        return f"{owner}[{quote(name)}]"
    return f"{owner}.{name}" if is_plain(name) else f"getattr({owner}, {quote(name)})"


def tensor_attribute(name: str) -> str:
    """How a parameter or buffer is reached in `forward`."""
    path, _, local = name.rpartition(".")
    owner = attribute(path) if path else "self"
    return f"{owner}.{local}" if is_plain(local) else f"getattr({owner}, {quote(local)})"


def variable(name: str) -> str:
    """A local variable or parameter after a name of the spec."""
    text = re.sub(r"[^A-Za-z0-9_]", "_", name).lstrip("_") or "value"
    if text[0].isdigit():
        text = f"v{text}"
    if keyword.iskeyword(text) or hasattr(builtins, text) or text in TAKEN:
        text += "_"
    return text


def field(name: str) -> str:
    """A field of a named tuple: as a variable, but builtins' names are free, and those of tuples' methods are not."""
    text = variable(name)
    bare = text.removesuffix("_")
    if bare == name and not keyword.iskeyword(bare) and bare not in TAKEN:
        text = bare
    return f"{text}_" if hasattr(tuple, text) else text


def class_name(name: str) -> str:
    """`basic_block` to `BasicBlock`; capitals the user wrote are kept."""
    parts = [p for p in re.split(r"[^A-Za-z0-9]+", name) if p]
    text = "".join(p[0].upper() + p[1:] for p in parts) or "Net"
    if text[0].isdigit():
        text = f"Net{text}"
    if keyword.iskeyword(text) or hasattr(builtins, text) or text in TAKEN:
        text += "Net"
    return text


def check_child(name: str, span: Span, container: str = "nn.Module") -> None:
    """Raises CnncError (E801) where a container has an attribute of a child's name."""
    if name in CONTAINER_ATTRIBUTES[container] or name.startswith("__"):
        raise fail(
            "E801", f"the PyTorch backend cannot call a module `{name}`: {container} has such a name of its own",
            span, hint="rename the label",
        )  # fmt: skip


def distinct(names: Iterable[str]) -> list[str]:
    """The names, each with as many underscores as set it apart from those before it."""
    out: list[str] = []
    for name in names:
        while name in out:
            name += "_"
        out.append(name)
    return out


def prose(text: str) -> str:
    """Text of the spec for a docstring: on one line, and unable to end it."""
    shown = text.replace("\\", "/").replace('"', "'")
    return "".join(c if c.isprintable() else "?" for c in shown)


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
    return repr(float(value) if isinstance(value, Fraction) else value)
