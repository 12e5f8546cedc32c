"""`torch.nn`: modules that own tensors and call functions, and what holds them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

from cnnc.backends.pytorch.dry.ledger import STATE
from cnnc.backends.pytorch.dry.tensor import Parameter, Tensor

NN: dict[str, Any] = {"Parameter": Parameter}
"""What is in `torch.nn`."""


class Module:
    """A module: its parameters, buffers and children, and the path it has in the model."""

    training = True
    _own: dict[str, Parameter]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module]
    _path: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.__dict__.update(_own={}, _buffers={}, _modules={}, _path="")

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__[name] = value
        if isinstance(value, Module):
            self._modules[name] = value
        elif isinstance(value, Parameter):
            self._own[name] = value
        elif name in self._buffers:
            self._buffers[name] = value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        ledger = STATE.ledger
        was, ledger.where = ledger.where, self._path
        out = self.forward(*args, **kwargs)
        ledger.where = was
        return out

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        self._buffers[name] = tensor
        self.__dict__[name] = tensor

    def register_parameter(self, name: str, parameter: Parameter | None) -> None:
        setattr(self, name, parameter)

    def add_module(self, name: str, module: Module | None) -> None:
        setattr(self, name, module)

    register_module = add_module

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """Every module once, by its first path."""
        seen: set[int] = set()
        todo: list[tuple[str, Module]] = [("", self)]
        while todo:
            path, module = todo.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield path, module
            todo += [(f"{path}.{n}" if path else n, m) for n, m in reversed(module._modules.items())]

    def modules(self) -> Iterator[Module]:
        return (module for _, module in self.named_modules())

    def children(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def parameters(self) -> Iterator[Parameter]:
        seen: set[int] = set()
        for module in self.modules():
            for parameter in module._own.values():
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    yield parameter

    def buffers(self) -> Iterator[Tensor]:
        for module in self.modules():
            yield from (b for b in module._buffers.values() if b is not None)

    def get_parameter(self, name: str) -> Any:
        found: Any = self
        for part in filter(None, name.split(".")):
            found = getattr(found, part)
        return found

    get_submodule = get_parameter

    def train(self, mode: bool = True) -> Module:
        for module in self.modules():
            module.__dict__["training"] = mode
        return self

    def eval(self) -> Module:
        return self.train(False)

    def apply(self, f: Any) -> Module:
        for module in self.modules():
            f(module)
        return self

    def requires_grad_(self, on: bool = True) -> Module:
        for parameter in self.parameters():
            parameter.requires_grad = on
        return self

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def extra_repr(self) -> str:
        return ""


def known(*names: str) -> Any:
    """Make a class known in `torch.nn` under its name, or others."""

    def register(cls: Any) -> Any:
        for name in names or (cls.__name__,):
            NN[name] = cls
        return cls

    return register


known()(Module)


@known()
class Sequential(Module):
    def __init__(self, *args: Any) -> None:
        super().__init__()
        items = args[0].items() if len(args) == 1 and isinstance(args[0], dict) else enumerate(args)
        for name, module in items:
            self.add_module(str(name), module)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __len__(self) -> int:
        return len(self._modules)

    def __getitem__(self, key: Any) -> Any:
        found = list(self._modules.values())[key]
        return Sequential(*found) if isinstance(key, slice) else found

    def append(self, module: Module) -> Sequential:
        self.add_module(str(len(self._modules)), module)
        return self

    def forward(self, input: Any) -> Any:
        for module in self:
            input = module(input)
        return input


@known()
class ModuleList(Module):
    def __init__(self, modules: Sequence[Module] = ()) -> None:
        super().__init__()
        for i, module in enumerate(modules):
            self.add_module(str(i), module)

    __iter__, __len__ = Sequential.__iter__, Sequential.__len__

    def __getitem__(self, i: Any) -> Any:
        return list(self._modules.values())[i]


@known()
class ModuleDict(Module):
    def __init__(self, modules: Any = ()) -> None:
        super().__init__()
        for name, module in OrderedDict(modules).items():
            self.add_module(name, module)

    def __getitem__(self, name: str) -> Any:
        return self._modules[name]

    def items(self) -> Any:
        return self._modules.items()

    def values(self) -> Any:
        return self._modules.values()

    def keys(self) -> Any:
        return self._modules.keys()


@known()
class Identity(Module):
    def forward(self, input: Any) -> Any:
        return input
