"""The analysis refuses arguments in exactly the cases in which PyTorch, asked directly, fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch import nn  # noqa: E402

from ops.oracle import refused  # noqa: E402
from ops.strategies import Draw  # noqa: E402

Twin = Callable[[], nn.Module]


def _axes(draw: Draw, low: int, high: int, rank: int) -> tuple[int, ...]:
    return tuple(draw(st.integers(low, high)) for _ in range(rank))


def _x(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))


def conv(draw: Draw, rank: int, channels: int) -> tuple[str, Twin]:
    kernel, stride, dilation = _axes(draw, 1, 5, rank), _axes(draw, 1, 3, rank), _axes(draw, 1, 3, rank)
    pad, width, groups = _axes(draw, 0, 2, rank), draw(st.integers(1, 6)), draw(st.integers(1, 4))
    word = f"conv{_x(kernel)}-{width}/{_x(stride)}(dilation={_x(dilation)}, pad={_x(pad)}, groups={groups})"
    cls = getattr(nn, f"Conv{rank}d")
    return word, lambda: cls(channels, width, kernel, stride, pad, dilation, groups)


def tconv(draw: Draw, rank: int, channels: int) -> tuple[str, Twin]:
    kernel, stride, dilation = _axes(draw, 1, 4, rank), _axes(draw, 1, 3, rank), _axes(draw, 1, 2, rank)
    pad, more = _axes(draw, 0, 3, rank), _axes(draw, 0, 2, rank)
    width, groups = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    word = (
        f"tconv{_x(kernel)}-{width}/{_x(stride)}(dilation={_x(dilation)}, pad={_x(pad)}, "
        f"output_pad={_x(more)}, groups={groups})"
    )
    cls = getattr(nn, f"ConvTranspose{rank}d")
    return word, lambda: cls(channels, width, kernel, stride, pad, more, groups, True, dilation)


def pool(kind: str, name: str) -> Callable[[Draw, int, int], tuple[str, Twin]]:
    def case(draw: Draw, rank: int, channels: int) -> tuple[str, Twin]:
        kernel, stride, pad = _axes(draw, 1, 5, rank), _axes(draw, 1, 3, rank), _axes(draw, 0, 3, rank)
        if (
            kind == "maxpool"
        ):  # between half a kernel and all of it PyTorch has no pool, and this has (test_borders)
            pad = tuple(k // 2 if k < 2 * p < 2 * k else p for p, k in zip(pad, kernel, strict=True))
        ceil = draw(st.booleans())
        word = f"{kind}{_x(kernel)}/{_x(stride)}(pad={_x(pad)}, ceil={'yes' if ceil else 'no'})"
        cls = getattr(nn, f"{name}{rank}d")
        return word, lambda: cls(kernel, stride, pad, ceil_mode=ceil)

    return case


def fractional(draw: Draw, rank: int, channels: int) -> tuple[str, Twin]:
    kernel, out = _axes(draw, 1, 2, rank), _axes(draw, 1, 4, rank)
    cls = getattr(nn, f"FractionalMaxPool{rank}d")
    return f"fractionalmaxpool{_x(kernel)}(out={_x(out)})", lambda: cls(kernel, output_size=out)


def pad(draw: Draw, rank: int, channels: int) -> tuple[str, Twin]:
    sides = _axes(draw, 0, 9, 2 * rank)
    mode, name = draw(
        st.sampled_from([
            ("zeros", "Zero"), ("reflect", "Reflection"), ("replicate", "Replication"), ("circular", "Circular"),
        ])
    )  # fmt: skip
    pairs = [f"({sides[2 * i]}, {sides[2 * i + 1]})" for i in reversed(range(rank))]
    text = f"({', '.join(pairs)})" if rank > 1 else pairs[0]
    cls = getattr(nn, f"{name}Pad{rank}d")
    return f"pad({text}, mode={mode})", lambda: cls(sides)


def _grouped(
    word: str, twin: Callable[[int, int], nn.Module]
) -> Callable[[Draw, int, int], tuple[str, Twin]]:
    def case(draw: Draw, rank: int, channels: int) -> tuple[str, Twin]:
        number = draw(st.integers(1, 6))
        return word.format(number), lambda: twin(number, channels)

    return case


class _Glu(nn.Module):
    """Channels folded by a factor, as maxout and the capsules need them."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Any) -> Any:
        return x.unflatten(1, (x.shape[1] // self.factor, self.factor)).amax(2)


def instancenorm(draw: Draw, rank: int, channels: int) -> tuple[str, Twin]:
    return "instancenorm", lambda: getattr(nn, f"InstanceNorm{rank}d")(channels)


def crop(draw: Draw, rank: int, channels: int) -> tuple[str, Twin]:
    size = _axes(draw, 1, 9, rank)

    class Narrow(nn.Module):
        def forward(self, x: Any) -> Any:
            for axis, n in enumerate(size):
                x = x.narrow(2 + axis, (x.shape[2 + axis] - n) // 2, n)
            return x

    return f"crop({_x(size)})", Narrow


def reshape(draw: Draw, rank: int, channels: int) -> tuple[str, Twin]:
    shape = _axes(draw, 1, 4, draw(st.integers(2, 4)))

    class View(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.reshape(x.shape[0], *shape)

    return f"reshape({_x(shape)})", View


CASES: dict[str, tuple[tuple[int, ...], Callable[[Draw, int, int], tuple[str, Twin]]]] = {
    "conv": ((1, 2, 3), conv),
    "tconv": ((1, 2, 3), tconv),
    "maxpool": ((1, 2, 3), pool("maxpool", "MaxPool")),
    "avgpool": ((1, 2), pool("avgpool", "AvgPool")),
    "fractionalmaxpool": ((2, 3), fractional),
    "pad": ((1, 2, 3), pad),
    "crop": ((1, 2, 3), crop),
    "reshape": ((1, 2, 3), reshape),
    "instancenorm": ((1, 2, 3), instancenorm),
    "gn": ((1, 2, 3), _grouped("gn({})", nn.GroupNorm)),
    "shuffle": ((1, 2, 3), _grouped("shuffle({})", lambda n, c: nn.ChannelShuffle(n))),
    "pixelshuffle": ((2,), _grouped("pixelshuffle({})", lambda n, c: nn.PixelShuffle(n))),
    "spacetodepth": ((2,), _grouped("spacetodepth({})", lambda n, c: nn.PixelUnshuffle(n))),
    "squash": ((1, 2), _grouped("squash({})", lambda n, c: _Glu(n))),
}


def fails(twin: Twin, shape: tuple[int, ...]) -> bool:
    torch.manual_seed(0)
    try:
        module = twin()
        # Four images, so that statistics over a batch are never the reason.
        out = module.train()(torch.rand(4, *shape))
    except (RuntimeError, ValueError, IndexError):
        return True
    return bool(out.numel() == 0)  # PyTorch lets some maps shrink to nothing, which no layer can take


@pytest.mark.parametrize(
    ("kind", "rank"), [(kind, rank) for kind, (ranks, _) in CASES.items() for rank in ranks]
)
def test_refused_where_pytorch_fails(kind: str, rank: int) -> None:
    seen = set()

    @settings(settings.get_profile("ops"))
    @given(st.data())
    def run(data: Any) -> None:
        shape = (data.draw(st.integers(1, 8)), *_axes(data.draw, 1, 8, rank))
        word, twin = CASES[kind][1](data.draw, rank, shape[0])
        refusal = refused(shape, word)
        assert (refusal is not None) == fails(twin, shape), (shape, word, str(refusal))
        assert refusal is None or all(d.span is not None for d in refusal.diagnostics)
        seen.add(refusal is not None)

    run()
    assert True in seen, "nothing was refused: the draws are too tame"
    assert False in seen, "nothing was accepted: the draws are too wild"


@pytest.mark.parametrize(
    ("shape", "layers", "code"),
    [
        ((3, 8, 8), "upsample(3/2)", "E305"),
        ((3, 8, 8, 8), "resize((2, 3))", "E401"),
        ((3, 8, 8), "resize((2, 3, 4))", "E401"),
        ((3, 8, 8), "pad(1, value=-1, mode=reflect)", "E307"),
        ((3, 8, 8), "pad(1, value=1, mode=reflect)", "E307"),
        ((3, 8, 8), "attend(q=[conv1-4], k=[conv1-8])", "E405"),
        ((3, 8, 8), "attend(q=[conv1-8], k=[conv1-4])", "E405"),
        ((3, 8, 8), "conv3-4(standardise(scale=1/2))", "E307"),
        ((3, 8, 8), "conv3-4(standardise(scale=2))", "E307"),
    ],
)
def test_refused_by_a_rule_of_the_language(shape: tuple[int, ...], layers: str, code: str) -> None:
    refusal = refused(shape, layers)
    assert refusal is not None
    assert [d.code for d in refusal.diagnostics] == [code]


def test_a_fraction_is_told_where_it_may_stand() -> None:
    refusal = refused((3, 8, 8), "upsample(3/2)")
    assert refusal is not None
    assert refusal.diagnostics[0].hint == "any factor may stand in resize(3/2)"
