"""`cnnc.from_module` and `cnnc import`: small modules with the idioms that PyTorch code is written in."""

from __future__ import annotations

import pickle
import re
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cnnc
from cnnc.cli.commands import cnnc as command
from cnnc.importer.structure import same
from cnnc.importer.structure.spell import size
from tests.import_oracle import hold, torch

F = torch.nn.functional
nn = torch.nn


class Block(nn.Module):
    def __init__(self, w: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(w, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out, eps=1e-3)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.down = nn.Conv2d(w, out, 1, stride) if stride > 1 or w != out else None

    def forward(self, x: Any) -> Any:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + (x if self.down is None else self.down(x)))


class ConvNext(nn.Module):
    """Permutes around a norm and linear layers, a scale of (C, 1, 1), and a path that is dropped."""

    def __init__(self, w: int) -> None:
        super().__init__()
        self.dw = nn.Conv2d(w, w, 7, padding=3, groups=w)
        self.norm = nn.LayerNorm(w, eps=1e-6)
        self.up, self.down = nn.Linear(w, 4 * w), nn.Linear(4 * w, w)
        self.gamma = nn.Parameter(torch.ones(w, 1, 1))
        self.drop_path = DropPath(0.2)

    def forward(self, x: Any) -> Any:
        y = self.norm(self.dw(x).permute(0, 2, 3, 1))
        y = self.down(F.gelu(self.up(y))).permute(0, 3, 1, 2)
        return x + self.drop_path(self.gamma * y)


class DropPath(nn.Module):
    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Any) -> Any:
        return x


class Shuffle(nn.Module):
    """A channel split and a channel shuffle by views."""

    def __init__(self, w: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(w // 2, w // 2, 1)

    def forward(self, x: Any) -> Any:
        a, b = x.chunk(2, dim=1)
        x = torch.cat((a, self.conv(b)), dim=1)
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, -1, h, w)


class Gate(nn.Module):
    """Squeeze and excitation by a mean, linear layers and a view."""

    def __init__(self, w: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(w, w // 4), nn.ReLU(), nn.Linear(w // 4, w), nn.Hardsigmoid())

    def forward(self, x: Any) -> Any:
        return x * self.fc(x.mean((2, 3))).view(x.shape[0], -1, 1, 1)


class Tokens(nn.Module):
    """A token, learnt positions, and attention by heads from one projection."""

    def __init__(self, w: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, w))
        self.positions = nn.Parameter(torch.zeros(1, 17, w))
        self.qkv, self.proj = nn.Linear(w, 3 * w), nn.Linear(w, w)

    def forward(self, x: Any) -> Any:
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat((self.token.expand(x.shape[0], -1, -1), x), dim=1) + self.positions
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, 4, c // 4).permute(2, 0, 3, 1, 4).unbind(0)
        x = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, c)
        return self.proj(x)[:, 0]


def test_residual_blocks() -> None:
    net = nn.Sequential(
        Block(3, 8, 2), Block(8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(8, 5)
    )
    found = hold(net, (3, 16, 16))
    assert not found.names
    assert not found.unused
    assert '"0.bn1": bn(eps=0.001)' in found.text


class NormAct(nn.BatchNorm2d):
    """A norm that holds its activation."""

    def __init__(self, w: int) -> None:
        super().__init__(w)
        self.act = nn.SiLU()

    def forward(self, x: Any) -> Any:
        return self.act(super().forward(x))


def test_a_norm_that_holds_its_activation_keeps_its_keys() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), NormAct(8), nn.Conv2d(8, 8, 3), NormAct(8))
    found = hold(net, (3, 9, 9))
    assert not found.names
    assert '"1_act": silu' in found.text


class NormAndMore(nn.BatchNorm2d):
    """A norm that holds another layer, whose name a spec cannot have below the norm's."""

    def __init__(self, w: int) -> None:
        super().__init__(w)
        self.conv = nn.Conv2d(w, w, 1)

    def forward(self, x: Any) -> Any:
        return self.conv(super().forward(x))


def test_a_map_of_keys_has_the_counters_of_batches_too() -> None:
    found = hold(nn.Sequential(NormAndMore(3), nn.ReLU()), (3, 9, 9))
    assert found.names["0.num_batches_tracked"] == "0.bn1.num_batches_tracked"


class Gain(nn.Module):
    """A gain that is a single number, without axes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gain = nn.Conv2d(3, 3, 3, padding=1), nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Any) -> Any:
        return self.conv(x).mul_(self.gain) * 0.2 + x


def test_a_gain_without_axes_has_one_in_the_spec(tmp_path: Path) -> None:
    found = hold(Gain(), (3, 8, 8))
    assert "gain: tensor(1)" in found.text
    assert found.names == {"gain": "gain"}
    (tmp_path / "gain.cnn").write_text(found.text)
    (tmp_path / "map.json").write_text('{"gain": "gain"}')
    torch.save(Gain().state_dict(), tmp_path / "theirs.pt")
    paths = [str(tmp_path / name) for name in ("gain.cnn", "theirs.pt", "map.json", "ours.pt")]
    done = CliRunner().invoke(command, ["weights", *paths[:2], "--map", paths[2], "-o", paths[3]])
    assert done.exit_code == 0, done.output
    cnnc.load(paths[0]).module().load_state_dict(torch.load(paths[3]), strict=True)


def test_a_part_of_no_length_is_left_out_of_a_concatenation() -> None:
    class Part(nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.cat((x[:, :0], x[:, 0:]), dim=1) * 2

    assert [node.op.kind for node in hold(Part(), (3, 8, 8)).graph.layers] == ["times"]


class Blur(nn.Module):
    """A fixed filter, which the state dict does not have."""

    def __init__(self, filters: tuple[float, ...] = (0.25, 0.5, 0.25), mode: str = "reflect") -> None:
        super().__init__()
        self.conv, self.mode = nn.Conv2d(3, 8, 3), mode
        row = torch.tensor(filters)
        self.register_buffer("filt", (row[:, None] * row).expand(8, 1, 3, 3).clone(), persistent=False)

    def forward(self, x: Any) -> Any:
        return F.conv2d(F.pad(self.conv(x), (1, 1, 1, 1), mode=self.mode), self.filt, stride=2, groups=8)


def test_a_fixed_binomial_filter_is_a_blurpool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [node.op.kind for node in hold(Blur(), (3, 9, 9)).graph.layers] == ["conv", "blurpool"]
    for other in (Blur((0.25, 0.25, 0.5)), Blur(mode="replicate")):
        with pytest.raises(cnnc.CnncError, match="cannot import `conv2d`: its weight is a constant"):
            hold(other, (3, 9, 9))
    monkeypatch.chdir(tmp_path)  # built on meta its filter has no numbers
    Path("blurred.py").write_text("from tests.test_import import Blur as Net")
    done = CliRunner().invoke(command, ["import", "blurred:Net", "--input", "3x9x9"])
    assert "-> blurpool" in done.output


@pytest.mark.parametrize("size", [9, 10])
def test_a_fixed_binomial_filter_with_zeros_around_is_two_means(size: int) -> None:
    kinds = [node.op.kind for node in hold(Blur(mode="constant"), (3, size, 8)).graph.layers]
    assert kinds == ["conv", "avgpool", "avgpool"]
    with pytest.raises(cnnc.CnncError, match="cannot import `conv2d`: its weight is a constant"):
        hold(Blur((0.25, 0.25, 0.5), mode="constant"), (3, 9, 9))


def test_permutes_around_a_norm_and_linear_layers_are_words() -> None:
    found = hold(nn.Sequential(nn.Conv2d(3, 8, 4, 4), ConvNext(8)), (3, 16, 16))
    kinds = [node.op.kind for node in found.graph.layers]
    assert kinds == [
        "conv", "dwconv", "ln", "linear", "gelu", "linear", "tensor", "mul", "droppath", "add",
    ]  # fmt: skip


def test_views_that_shuffle_channels() -> None:
    found = hold(nn.Sequential(nn.Conv2d(3, 8, 3), Shuffle(8)), (3, 9, 9))
    assert [node.op.kind for node in found.graph.layers] == [
        "conv",
        "chunk",
        "chunk",
        "conv",
        "concat",
        "shuffle",
    ]


def test_a_gate() -> None:
    found = hold(nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU6(), nn.Hardtanh(0, 6), Gate(16)), (3, 9, 9))
    assert [node.op.kind for node in found.graph.layers].count("relu6") == 2


def test_attention_by_views() -> None:
    found = hold(nn.Sequential(nn.Conv2d(3, 16, 4, 4), Tokens(16)), (3, 16, 16))
    assert not found.names
    assert [node.op.kind for node in found.graph.layers].count("attend") == 1


def test_two_inputs_and_two_outputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(1, 4, 3)

        def forward(self, left: Any, right: Any) -> Any:
            x, y = self.a(left), self.b(right)
            return {"sum": x - 2 * y, "mean": (x * y).mean(dim=(2, 3))}

    found = hold(Two(), (3, 8, 8), (1, 8, 8))
    assert list(found.graph.inputs) == ["left", "right"]


def test_what_overwrites_is_read_later() -> None:
    class InPlace(nn.Module):
        def forward(self, x: Any) -> Any:
            y = x * 2
            y.add_(1)
            y.relu_()
            return y + x

    hold(InPlace(), (3, 8, 8))


def test_memory_that_is_overwritten_through_a_view_is_refused() -> None:
    class Through(nn.Module):
        def forward(self, x: Any) -> Any:
            y = x * 2
            y[:, :1].mul_(3)
            return y + x

    assert "overwrites memory" in refused(Through(), (3, 8, 8))


def refused(module: Any, *shapes: tuple[int, ...]) -> str:
    with pytest.raises(cnnc.CnncError) as caught:
        cnnc.from_module(module, [torch.rand(1, *shape) for shape in shapes])
    return str(caught.value)


def test_what_the_language_lacks_is_named_with_its_place() -> None:
    class Pool(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.cumsum(1)

    told = refused(nn.Sequential(nn.Conv2d(3, 4, 3), Pool()), (3, 8, 8))
    assert re.search(r"E805: cannot import `cumsum`: the language has no layer for it", told)
    assert "`1` (Pool), test_import.py:" in told
    assert "return x.cumsum(1)" in told


class Twice(nn.Module):
    """One convolution and one norm on two maps."""

    def __init__(self, dilation: int = 1) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2d = partial(F.conv2d, padding=dilation, dilation=dilation)

    def forward(self, x: Any) -> Any:
        y = torch.relu(self.bn(self.conv(x)))
        return self.bn(self.conv2d(y, self.conv.weight, self.conv.bias))


def test_a_module_that_is_called_twice() -> None:
    found = hold(Twice(), (4, 8, 8))
    assert 'again("conv")' in found.text and 'again("bn")' in found.text
    assert not found.names
    assert 'again("conv", dilation=2)' in hold(Twice(2), (4, 8, 8)).short()
    grouped = Twice()
    grouped.conv2d = lambda x, weight, bias: F.conv2d(torch.cat([x, x], 1), weight, bias, groups=2)
    with pytest.raises(cnnc.CnncError, match="those of an earlier layer that has other arguments"):
        hold(grouped, (4, 8, 8))


class Trident(nn.Module):
    """Branches of the same weights that see further and further."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 4, 3, 2, bias=False)

    def forward(self, x: Any) -> Any:
        out = []
        for d in (1, 2, 3):
            y = torch.relu(self.bn(F.conv2d(x, self.conv1.weight, self.conv1.bias, padding=d, dilation=d)))
            out.append(F.conv2d(y, self.conv2.weight, None, stride=d, padding=1 if d > 1 else 0))
        return out


def test_weights_that_are_used_again_by_kernels_that_move_otherwise() -> None:
    text = hold(Trident(), (8, 16, 16)).short()
    for d in (2, 3):
        assert f'"input" -> again(conv1, dilation={d}) -> again("bn") -> relu\n' in text
        assert f"again(conv2, stride={d}, pad=1)\n" in text


class Head(nn.Module):
    """What a one-stage detector has on each level of a pyramid, with scores as rows."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Sequential(
            *(
                layer
                for _ in range(4)
                for layer in (nn.Conv2d(8, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU())
            )
        )
        self.logits, self.centre = nn.Conv2d(8, 6, 3, padding=1), nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, maps: list[Any]) -> Any:
        scores, centres = [], []
        for x in maps:
            y = self.tower(x)
            scores.append(self.logits(y).permute(0, 2, 3, 1).flatten(1, 2))
            centres.append(self.centre(y))
        return torch.cat(scores, 1), *centres


class Separate(nn.Module):
    """The same convolutions on each level, with norms of the level's own."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1) for _ in range(3))
        self.norms = nn.ModuleList(nn.ModuleList(nn.BatchNorm2d(8) for _ in range(3)) for _ in range(3))
        self.predict = nn.Conv2d(8, 6, 3, padding=1)

    def forward(self, maps: list[Any]) -> Any:
        out = []
        for x, norms in zip(maps, self.norms, strict=True):
            for conv, norm in zip(self.convs, norms, strict=True):
                x = F.silu(norm(conv(x)))
            out.append(self.predict(x))
        return out


class Pyramid(nn.Module):
    def __init__(self, head: Any) -> None:
        super().__init__()
        self.down = nn.ModuleList(nn.Conv2d(8, 8, 3, 2, 1) for _ in range(3))
        self.head = head

    def forward(self, x: Any) -> Any:
        maps = [x := torch.relu(down(x)) for down in self.down]
        return self.head(maps)


def test_a_head_on_several_levels_is_written_once() -> None:
    found = hold(Pyramid(Head()), (8, 32, 32))
    text = found.short()
    assert text.count("gn") == 1 and text.count("again(tower)") == text.count("again(logits)") == 2
    assert size(text) < size(found.text) / 3
    assert same(found.graph, cnnc.parse(text).graph, names="keys") is None


def test_convolutions_on_several_levels_with_norms_of_their_own() -> None:
    found = hold(Pyramid(Separate()), (8, 32, 32))
    text = found.short()
    assert "[convs.{i}: conv3-8 -> norms.0.{i}: bn -> silu for i in 0..2]" in text
    for level in (1, 2):
        assert f"[again(convs.{{i}}) -> norms.{level}.{{i}}: bn -> silu for i in 0..2]" in text
    assert same(found.graph, cnnc.parse(text).graph, names="keys") is None


class Cut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(34, 32, 1)

    def forward(self, x: Any) -> Any:
        low, high = x[:, :16], x[:, 16:32]
        y = self.conv(x) * x[:, 32:].mean(1, keepdim=True)
        return [*(y + torch.cat([low, high], 1)).chunk(2, 1), y[:, :24]]


def test_parts_of_the_channels() -> None:
    text = hold(Cut(), (34, 8, 8)).text
    for part in ("slice(..15)", "slice(16..31)", "slice(32..)", "chunk(2, 0)", "chunk(2, 1)", "slice(..23)"):
        assert part in text


class Idioms(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lrn = nn.LocalResponseNorm(5, alpha=0.01, k=2.0)

    def forward(self, x: Any) -> Any:
        x = x * torch.sigmoid(x)
        return F.hardsigmoid(self.lrn(x)) * self.lrn(x), x.flatten(2)


def test_activations_and_a_norm_written_out_are_words() -> None:
    kinds = [node.op.kind for node in hold(Idioms(), (8, 6, 6)).graph.layers]
    assert kinds[:2] == ["silu", "lrn"]
    assert "pow" not in kinds


def test_windows_folded_into_the_batch_are_refused() -> None:
    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x: Any) -> Any:
            n = x.shape[0]
            y = x.view(n, 4, 2, 4, 8).permute(0, 2, 1, 3, 4).reshape(2 * n, 4, 4, 8)
            return self.conv(y).mean()

    assert "batch is not an axis of its own" in refused(Windows(), (4, 8, 8))


class Windowed(nn.Module):
    """Attention in windows of a map, which are folded into the batch, with projections by head."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(6), nn.Linear(6, 18), nn.Linear(6, 6)

    def forward(self, x: Any) -> Any:
        b, c, h, w = x.shape
        y = self.norm(x.permute(0, 2, 3, 1)).view(b, h // 2, 2, w // 5, 5, c)
        y = y.permute(0, 1, 3, 2, 4, 5).reshape(-1, 10, c)
        q, k, v = self.qkv(y).reshape(-1, 10, 3, 2, 3).permute(2, 0, 3, 1, 4).unbind(0)
        y = self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(-1, 10, c))
        y = y.view(b, h // 2, w // 5, 2, 5, c).permute(0, 5, 1, 3, 2, 4)
        return x + y.reshape(b, c, h, w)


def test_each_window_that_is_folded_into_the_batch_is_a_head() -> None:
    found = hold(Windowed(), (6, 4, 15))
    attend = next(node.op for node in found.graph.layers if node.op.kind == "attend")
    assert attend.heads == 2 * 6


def test_windows_before_the_batch_are_refused() -> None:
    class First(nn.Module):
        def forward(self, x: Any) -> Any:
            y = x.view(x.shape[0], 6, 2, 30).permute(2, 0, 3, 1).reshape(-1, 1, 30, 6)
            return F.scaled_dot_product_attention(y, y, y).view(2, x.shape[0], 30, 6).transpose(0, 1)

    assert "before the images" in refused(First(), (6, 4, 15))


class Unrolled(nn.Module):
    """What Hiera does: a map cut three times, all that is outer before all that is inner."""

    def forward(self, x: Any) -> Any:
        b, c, h, w = x.shape
        y = x.view(b, c, h // 8, 2, 2, 2, w // 27, 3, 3, 3)
        return y.permute(0, 5, 9, 4, 8, 3, 7, 1, 2, 6).reshape(b, -1, c, h // 8 * (w // 27)).tanh()


def test_many_axes_in_another_order() -> None:
    found = hold(Unrolled(), (2, 16, 54))
    assert [node.op.kind for node in found.graph.layers].count("permute") <= 5


class Resampled(nn.Module):
    """Positions that are brought to the size of the map, as ViT does it."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(1, 4, size, size) / 4)

    def forward(self, x: Any) -> Any:
        at = F.interpolate(self.positions, size=x.shape[2:], mode="bicubic", antialias=True)
        return x + at + F.interpolate(self.positions, size=x.shape[2:], mode="bicubic")


def test_positions_of_the_right_size_are_not_resampled() -> None:
    kinds = [node.op.kind for node in hold(Resampled(6), (4, 6, 6)).graph.layers]
    assert sorted({*kinds}) == ["add", "reshape", "tensor"]
    assert "_upsample_bicubic2d_aa" in refused(Resampled(5), (4, 6, 6))


class Unfolded(nn.Module):
    """TNT's: pixels of a patch are a sequence, attended to patch by patch."""

    def __init__(self, kernel: int = 3, stride: int = 3) -> None:
        super().__init__()
        self.unfold, self.qkv = nn.Unfold(kernel, stride=stride), nn.Linear(6, 18)

    def forward(self, x: Any) -> Any:
        b = x.shape[0]
        y = self.unfold(x).transpose(1, 2).reshape(-1, 6, 9).transpose(1, 2)
        q, k, v = self.qkv(y).reshape(-1, 9, 3, 2, 3).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, -1, 9, 6)
        return y.sum(2)


def test_windows_side_by_side_only_move_values() -> None:
    kinds = {node.op.kind for node in hold(Unfolded(), (6, 6, 9)).graph.layers}
    assert kinds <= {"reshape", "permute", "linear", "chunk", "attend", "sum"}
    assert "overlap" in refused(Unfolded(stride=2), (6, 7, 7))
    assert "leave something out" in refused(Unfolded(), (6, 7, 9))


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mynets.py").write_text(
        "import torch.nn as nn\n"
        "def small(width=4):\n    return nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU())\n"
        "def broken():\n    raise LookupError('no such plan')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    runner = CliRunner()
    args = ["import", "mynets:small", "--input", "3x8x8", "--arg", "width=6", "-o", "small.cnn"]
    done = runner.invoke(command, args, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "running mynets:small(width=6): its own code" in done.output
    text = (tmp_path / "small.cnn").read_text()
    assert text.startswith("# imported from mynets:small(width=6), traced by torch ")
    assert cnnc.load("small.cnn").params == 168
    failed = runner.invoke(command, ["import", "mynets:broken", "--input", "3x8x8"])
    assert failed.exit_code == 1
    assert failed.output.count("LookupError: no such plan") == 1
    assert "cnnc itself failed" not in failed.output
    missing = runner.invoke(command, ["import", "mynets:tiny", "--input", "3x8x8"])
    assert "`mynets` has no `tiny`" in missing.output


# --- files ----------------------------------------------------------------------------------


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A program of torch.export.save, in whose archive a pickle is planted that writes a file when it is read."""
    net = nn.Sequential(
        Block(3, 8, 2), Shuffle(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    ).eval()
    plain, planted = tmp_path / "plain.pt2", tmp_path / "net.pt2"
    torch.export.save(torch.export.export(net, (torch.rand(1, 3, 16, 16),), strict=False), plain)
    evil = pickle.dumps(_Evil(str(tmp_path / "ran")))
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(planted, "w") as target:
        for name in source.namelist():
            target.writestr(name, evil if "sample_inputs" in name else source.read(name))
        target.writestr("net/data.pkl", evil)
    return planted


class _Evil:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (self.path, "w"))


def test_a_pt2_file_is_read_and_nothing_in_it_is_unpickled(exported: Path) -> None:
    from cnnc.importer.importing import flat_spec
    from cnnc.importer.pt2 import read_pt2

    traced = read_pt2(exported)
    found = flat_spec(traced)
    assert not (exported.parent / "ran").exists()
    assert found.text.startswith("# imported from net.pt2, exported by torch ")
    net = nn.Sequential(Block(3, 8, 2), Shuffle(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    live = cnnc.from_module(net, torch.rand(1, 3, 16, 16))
    lines = [(n.name, n.op, n.inputs, n.out) for n in live.graph.nodes]
    assert [(n.name, n.op, n.inputs, n.out) for n in found.graph.nodes] == lines


def test_a_damaged_pt2_file_is_told(exported: Path) -> None:
    from cnnc.importer.pt2 import read_pt2

    raw = exported.read_bytes()
    for cut in (0, 10, len(raw) // 2, len(raw) - 10):
        broken = exported.with_name("broken.pt2")
        broken.write_bytes(raw[:cut])
        with pytest.raises(cnnc.CnncError, match="E701"):
            read_pt2(broken)


class ResponseNorm(nn.Module):
    """As ConvNeXt v2's own code has it, channels last; `first` as timm's."""

    def __init__(self, w: int, first: bool) -> None:
        super().__init__()
        self.weight, self.bias = (nn.Parameter(torch.rand(w)) for _ in range(2))
        self.first = first

    def forward(self, x: Any) -> Any:
        if self.first:
            n = x.norm(p=2, dim=(2, 3), keepdim=True)
            n = n / (n.mean(dim=1, keepdim=True) + 1e-5)
            return x + torch.addcmul(self.bias.view(1, -1, 1, 1), self.weight.view(1, -1, 1, 1), x * n)
        y = x.permute(0, 2, 3, 1)
        n = torch.norm(y, p=2, dim=(1, 2), keepdim=True)
        n = n / (n.mean(dim=-1, keepdim=True) + 1e-6)
        return (self.weight * (y * n) + self.bias + y).permute(0, 3, 1, 2)


@pytest.mark.parametrize("first", [True, False])
def test_a_global_response_norm_is_one_layer(first: bool) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), ResponseNorm(8, first), nn.Conv2d(8, 4, 1))
    found = hold(net, (3, 9, 9))
    assert ("grn(eps=1e-05)" if first else "grn\n") in found.text


class LayerScale(nn.Module):
    def __init__(self, w: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(w))

    def forward(self, x: Any) -> Any:
        return x * self.gamma


def test_a_module_whose_tensor_needs_a_layer_is_no_layer_itself() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.ls1 = nn.Conv2d(3, 8, 1), LayerScale(8)

        def forward(self, x: Any) -> Any:
            return self.ls1(self.up(x).flatten(2).transpose(1, 2)).transpose(1, 2)

    assert set(hold(Net(), (3, 4, 4)).names.values()) == set()


class StandardisedConv(nn.Conv2d):
    """As timm's `ScaledStdConv2d`."""

    def __init__(self, *args: Any, gamma: float = 1.0, **options: Any) -> None:
        super().__init__(*args, **options)
        self.gain = nn.Parameter(torch.ones(self.out_channels, 1, 1, 1))
        self.scale = gamma * self.weight[0].numel() ** -0.5

    def forward(self, x: Any) -> Any:
        flat, gain = self.weight.reshape(1, self.out_channels, -1), (self.gain * self.scale).view(-1)
        weight = F.batch_norm(flat, None, None, weight=gain, training=True, momentum=0.0, eps=1e-6)
        return F.conv2d(
            x, weight.reshape_as(self.weight), self.bias, self.stride, self.padding, 1, self.groups
        )


def test_standardised_filters() -> None:
    net = nn.Sequential(
        StandardisedConv(4, 8, 3, stride=2),
        nn.ReLU(),
        StandardisedConv(8, 8, 3, groups=2, gamma=1.7139588594436646),
    )
    text = hold(net, (4, 13, 13)).text
    assert "standardise(eps=1e-06, gain=yes)" in text
    assert "standardise(eps=1e-06, gain=yes, scale=1.7139588594436646)" in text


class SamePool(nn.Module):
    def forward(self, x: Any) -> Any:
        return F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=float("-inf")), 3, 2)


def test_a_border_that_never_wins_is_the_pools_own() -> None:
    assert "maxpool3/2(pad=same_tf)" in hold(nn.Sequential(nn.Conv2d(3, 4, 1), SamePool()), (3, 8, 8)).text

    class Alone(nn.Module):
        def forward(self, x: Any) -> Any:
            return F.relu(F.pad(x, (0, 1), value=float("-inf")))

    with pytest.raises(cnnc.CnncError, match="finite numbers only"):
        cnnc.from_module(Alone(), torch.zeros(1, 3, 4, 4))


def test_a_pool_with_a_dilation() -> None:
    assert "dilation=2" in hold(nn.MaxPool2d(2, 1, dilation=2), (3, 8, 8)).text


def test_a_border_of_negative_size_takes_away() -> None:
    class Crop(nn.Module):
        def forward(self, x: Any) -> Any:
            return F.pad(x, (-1, 1, 2, -2))

    text = hold(nn.Sequential(nn.Conv2d(3, 4, 3), Crop(), nn.Conv2d(4, 2, 1)), (3, 10, 9)).text
    assert "slice(" in text and "pad" in text


def test_a_parameter_that_is_repeated_before_a_layer() -> None:
    class Pool(nn.Module):
        """A learnt query, as in an attention pool."""

        def __init__(self) -> None:
            super().__init__()
            self.latent, self.q = nn.Parameter(torch.rand(1, 4, 6)), nn.Linear(6, 6)

        def forward(self, x: Any) -> Any:
            tokens = x.flatten(2).transpose(1, 2)
            return self.q(self.latent.expand(x.shape[0], -1, -1)) + tokens

    hold(Pool(), (6, 2, 2))


class Patches(nn.Module):
    """What MobileViT v2 does: the places of a patch become one axis, and the patches another."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)

    def forward(self, x: Any) -> Any:
        b, c, h, w = x.shape
        y = x.reshape(b, c, h // 2, 2, w // 3, 3).permute(0, 1, 3, 5, 2, 4).reshape(b, c, 6, -1)
        y = self.conv(y)
        y = y.reshape(b, c, 2, 3, h // 2, w // 3).permute(0, 1, 4, 2, 5, 3)
        return y.reshape(b, c, h, w)


def test_axes_in_an_order_that_takes_several_permutes() -> None:
    found = hold(Patches(), (4, 8, 9))
    assert [node.op.kind for node in found.graph.layers].count("permute") == 4


class Folded(nn.Module):
    """A block with a module that the language lacks, which has weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.odd, self.fc = (
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
            Odd(8, bias=False),
            nn.Linear(8, 4),
        )

    def forward(self, x: Any) -> Any:
        return self.fc(self.odd(self.bn(self.conv(x))).mean((2, 3)))


class Odd(nn.Module):
    """Values in order of size, which is no layer."""

    def __init__(self, width: int, bias: bool = True, power: int = 2) -> None:
        super().__init__()
        self.width, self.power = width, power
        self.conv = nn.Conv2d(width, width, 1, bias=bias)
        self.bias = self.conv.bias

    def forward(self, x: Any) -> Any:
        return x + self.conv(torch.sort(x**self.power, dim=3)[0])


class Table(nn.Module):
    """What was given is a constant, which nothing but the module has."""

    def __init__(self, factor: float = 2.0) -> None:
        super().__init__()
        self.register_buffer("table", torch.full((1,), factor), persistent=False)

    def forward(self, x: Any) -> Any:
        return torch.sort(x * self.table, dim=3)[0]


class Called(nn.Module):
    def forward(self, x: Any, dim: int) -> Any:
        return torch.sort(x, dim=dim)[0]


class Calling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.odd = nn.Conv2d(3, 3, 1), Called()

    def forward(self, x: Any) -> Any:
        return self.odd(self.conv(x), 3)


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (nn.Sequential(nn.Conv2d(3, 3, 1), Table(3.0)), "has constants that its state dict lacks"),
        (Calling(), "cannot be run alone"),
        (nn.Sequential(nn.Conv2d(3, 3, 1), type("Local", (Odd,), {})(3)), "cannot be imported by name"),
    ],
)
def test_a_module_that_is_no_extern(module: Any, why: str) -> None:
    with pytest.raises(cnnc.CnncError, match=rf"cannot import `(sort|mul)`.*{why}"):
        cnnc.from_module(module, torch.zeros(2, 3, 5, 5), extern=True)


def test_what_the_language_lacks_is_an_extern_of_its_module() -> None:
    module = Folded()
    with pytest.raises(cnnc.CnncError, match="cannot import `sort`"):
        cnnc.from_module(module, torch.zeros(2, 3, 9, 9))
    net = cnnc.from_module(module, torch.zeros(2, 3, 9, 9), extern=True)
    assert 'extern odd(width, bias) = "test_import:Odd" (shape=8x7x7, params=64, macs=3136)' in net.expand()
    assert net.params == sum(p.numel() for p in module.parameters())
    assert net.macs == 7 * 7 * (27 * 8 + 64) + 32
    image = torch.rand(2, 3, 9, 9)
    ours = net.module(state=module.state_dict()).eval()
    assert torch.equal(ours(image), module.eval()(image))


class Shared(nn.Module):
    """Attention in which all heads have one key and one value."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.kv, self.out = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 4, 1), nn.Conv2d(8, 8, 1)

    def forward(self, x: Any) -> Any:
        b, c, h, w = x.shape
        q = self.q(x).reshape(b, 4, 2, h * w).transpose(2, 3)
        k, v = self.kv(x).reshape(b, 1, 4, h * w).transpose(2, 3).split(2, dim=3)
        y = F.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(2, 3).reshape(b, c, h, w))


def test_heads_that_share_a_key() -> None:
    found = hold(Shared(), (8, 3, 5))
    assert [node.op.kind for node in found.graph.layers].count("stretch") == 2


@pytest.mark.parametrize("correction", [0, 1])
def test_a_variance_is_written_out(correction: int) -> None:
    class Standard(nn.Module):
        def forward(self, x: Any) -> Any:
            return (
                x / (x.var(dim=1, correction=correction, keepdim=True) + 0.1).sqrt()
                + x.var((2, 3))[:, :, None, None]
            )

    hold(Standard(), (6, 5, 4))


class Moving(nn.Module):
    """Lengths, the centre of a map, and a shortcut of option A, each by functions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, bias=False)
        self.bias = nn.Parameter(torch.zeros(4, 6, 5))

    def forward(self, x: Any) -> Any:
        y = F.normalize(self.conv(x) + self.bias, dim=1, eps=1e-6)
        y = y + x[:, :, 1:7, 1:6]
        return F.pad(y[:, :, ::2, ::2], (0, 0, 0, 0, 0, 3)) + F.normalize(y, dim=3)[:, :1, :3, :3]


def test_what_moves_values_is_a_word() -> None:
    kinds = [node.op.kind for node in hold(Moving(), (4, 8, 7)).graph.layers]
    assert kinds[:5] == ["conv", "bias", "l2norm", "crop", "add"]
    assert "shortcut_pad" in kinds


class OnMap(nn.Module):
    """Attention over the positions of a map, by one head."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Conv2d(6, 6, 1) for _ in range(3))

    def forward(self, x: Any) -> Any:
        b, c, h, w = x.shape
        q, k, v = (m(x).view(b, 1, c, h * w).transpose(2, 3) for m in (self.q, self.k, self.v))
        return F.scaled_dot_product_attention(q, k, v).transpose(2, 3).reshape(b, c, h, w) + x


def test_attention_over_a_map_needs_no_reshape() -> None:
    kinds = [node.op.kind for node in hold(OnMap(), (6, 3, 5)).graph.layers]
    assert kinds == ["conv", "conv", "conv", "attend", "add"]


def test_a_gate_that_is_overwritten_is_not_what_it_opens() -> None:
    class Overwritten(nn.Module):
        def forward(self, x: Any) -> Any:
            gate = torch.sigmoid(x)
            gate.mul_(x)
            return gate * 3 + x

    hold(Overwritten(), (3, 4, 4))


class Summed(nn.Module):
    """Sums after one another: in one module, through another, and of a value that is needed twice."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(4, 4, 1) for _ in range(3))
        self.inner = Adder()

    def forward(self, x: Any) -> Any:
        y = self.a(x) + self.b(x)
        y = y + self.c(x) + x
        z = self.inner(y, x) + y
        twice = z + x
        return twice + self.a(x).relu(), twice


class Adder(nn.Module):
    def forward(self, x: Any, y: Any) -> Any:
        return x.relu() + y


def test_what_a_module_adds_up_one_after_the_other_is_one_sum() -> None:
    sums = [node for node in hold(Summed(), (4, 3, 5)).graph.nodes if node.op.kind == "add"]
    assert [len(node.inputs) for node in sums] == [4, 2, 3, 2]
