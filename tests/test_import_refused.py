"""`cnnc.from_module`: what looks like a layer of the language and is another thing is refused; attention's fast path."""

from __future__ import annotations

from typing import Any

import pytest

import cnnc
from tests.import_oracle import hold, torch

F = torch.nn.functional
nn = torch.nn


def refused(module: Any, *shapes: tuple[int, ...]) -> str:
    with pytest.raises(cnnc.CnncError) as caught:
        cnnc.from_module(module, [torch.rand(1, *shape) for shape in shapes])
    return str(caught.value)


class Attends(nn.Module):
    """PyTorch's own attention, which in evaluation has a fast path."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.attention = nn.MultiheadAttention(8, 4, batch_first=True)

    def forward(self, x: Any) -> Any:
        tokens = self.layer(x.flatten(2).transpose(1, 2))
        return self.attention(tokens, tokens, tokens, need_weights=False)[0]


@pytest.mark.parametrize("learns", [True, False])
def test_attention_has_no_fast_path_in_a_trace(learns: bool) -> None:
    kinds = [node.op.kind for node in hold(Attends().requires_grad_(learns), (8, 3, 3)).graph.layers]
    assert kinds.count("attend") == 2
    assert torch.backends.mha.get_fastpath_enabled()


class Between(nn.Module):
    """A function of the module and a tensor between two convolutions."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.register_buffer("filters", torch.rand(4, 1, 3, 3))
        self.register_buffer("running_mean", torch.zeros(4))
        self.register_buffer("running_var", torch.ones(4))
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.b(self.function(self, self.a(x)))


def _attended(x: Any, share: float) -> Any:
    return F.scaled_dot_product_attention(x, x, x, dropout_p=share)


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda m, x: F.dropout(x, 0.3, training=True), "a dropout that drops in evaluation too"),
        (lambda m, x: F.dropout2d(x, 0.3, training=True), "a dropout that drops in evaluation too"),
        (lambda m, x: _attended(x, 0.3), "a dropout that drops in evaluation too"),
        (
            lambda m, x: F.batch_norm(x, m.running_mean, m.running_var, training=True),
            "a batch norm with the statistics of the batch in evaluation",
        ),
        (lambda m, x: F.conv2d(x, m.filters, groups=4), "its weight is a buffer, which nobody learns"),
        (lambda m, x: x.half().float(), "cannot import `half`: a cast that rounds"),
        (lambda m, x: x.to(torch.bfloat16).float(), "cannot import `half`: a cast that rounds"),
    ],
)
def test_what_evaluation_or_the_state_dict_shows_to_be_another_thing_is_refused(
    function: Any, why: str
) -> None:
    assert why in refused(Between(function), (3, 9, 9))


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: F.dropout(x, 0.3, training=m.training),
        lambda m, x: F.dropout(F.dropout2d(x, 0.0, training=True), 0.0, training=True),
        lambda m, x: _attended(x.flatten(2)[:, None], 0.0).reshape(x.shape),
        lambda m, x: x.double().float(),
    ],
)
def test_the_nearest_that_is_the_same(function: Any) -> None:
    module = Between(function)
    del module.filters, module.running_mean, module.running_var
    hold(module, (3, 9, 9))


def test_a_momentum_that_averages_all_batches_is_refused() -> None:
    assert "momentum is None or 0" in refused(nn.Sequential(nn.BatchNorm2d(3, momentum=None)), (3, 9, 9))


def test_a_module_of_a_half_type_may_cast_back() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), Cast(), nn.Conv2d(4, 4, 1))
    assert cnnc.from_module(module.half(), torch.rand(1, 3, 9, 9)).params == 112 + 20


class Cast(nn.Module):
    def forward(self, x: Any) -> Any:
        return torch.relu(x.float()).type_as(x)


def test_a_module_with_two_names_has_the_first_keys() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3))
            self.last = self.body[1]

        def forward(self, x: Any) -> Any:
            return self.last(self.body[0](x))

    module = Named().eval()
    first = {key: value for key, value in module.state_dict().items() if key.startswith("body")}
    image = torch.rand(2, 3, 6, 6)
    ours = cnnc.from_module(module, image).module(state=first).eval()
    assert set(ours.state_dict()) == set(first)
    torch.testing.assert_close(ours(image), module(image))


@pytest.mark.parametrize(
    ("given", "why"), [((3,), "the module gives 3"), (("a",), "the module gives 'a'"), ((), None)]
)
def test_outputs_that_are_no_tensors(given: tuple[Any, ...], why: str | None) -> None:
    class Beside(nn.Module):
        def forward(self, x: Any) -> Any:
            return (torch.relu(x), None, *given)

    if why is None:
        assert list(cnnc.from_module(Beside(), torch.rand(1, 3, 6, 6)).outputs) == ["output"]
    else:
        assert f"E805: {why}, which is no tensor" in refused(Beside(), (3, 6, 6))


def test_no_output_at_all_is_refused() -> None:
    class Nothing(nn.Module):
        def forward(self, x: Any) -> Any:
            return (None,)

    assert "E805: the module gives no tensor" in refused(Nothing(), (3, 6, 6))
