"""What pictures say is true: unlike layers are not equal, no arc and no argument is lost, no size is hidden."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from click.testing import CliRunner
from graphs import graph_of

from cnnc.backends.configuration import gaps, table_of
from cnnc.backends.diagram.fork import ways_of
from cnnc.backends.diagram.mermaid import to_mermaid
from cnnc.backends.diagram.picture import Picture
from cnnc.backends.diagram.plan import picture
from cnnc.backends.diagram.terms import term_lines
from cnnc.backends.diagram.words import named_call
from cnnc.backends.outline import Outline
from cnnc.backends.rf_picture import trail_of
from cnnc.backends.table.rows import rows_of
from cnnc.backends.volumes.place import label_lines
from cnnc.backends.volumes.plan import plan_of
from cnnc.cli.commands import cnnc
from cnnc.compiler.graph import Graph
from cnnc.compiler.summary import summarise
from cnnc.net import load

# One convolution, and the same but for one thing: arguments, or the size that it gives.
UNLIKE = {
    "groups": "conv3-64(groups=2)",
    "dilation": "conv3-64(dilation=2)",
    "padding": "conv3-64(pad=valid)",
    "bias": "conv3-64(bias=no)",
    "init": "conv3-64(init=normal(0.01))",
    "stride": "conv3-64/2",
    "kernel": "conv5-64",
    "activation": "conv3-64(act=leaky(0.3))",
    "norm": "conv3-64(norm=gn(2))",
    "norm's argument": "conv3-64(norm=gn(4))",
}


def counts_of(graph: Graph) -> dict[str, list[int]]:
    """How often boxes, volumes and rows of the pictures of a graph stand for several layers."""
    return {
        "diagram": [box.times for box in picture(graph).nodes if box.kind == "convolution"],
        "volumes": [volume.times for volume in plan_of(graph).volumes if volume.kind == "convolution"],
        "summary": [row.times for row in rows_of(summarise(graph), depth=1, fold=True) if "conv" in row.op],
        "table": [entry.times for row in table_of([graph]).rows for entry in row.cells[0]],
    }


@pytest.mark.parametrize("what", UNLIKE)
def test_unlike_layers_are_not_counted_as_equal(what: str) -> None:
    text = f"input 64x62x62\n[conv3-64]*5 -> {UNLIKE[what]} -> [conv3-64]*5 -> relu\n"
    for kind, times in counts_of(graph_of(text)).items():
        small = what in ("bias", "init", "activation", "norm", "norm's argument")
        if kind == "table" and small:  # papers' tables list the convolution alone, with its count
            continue
        assert sum(times) == 11 and max(times) == 5, kind


def test_equal_layers_are_counted_however_they_are_bracketed() -> None:
    graph = graph_of("input 64x62x62\nconv3-64 -> [conv3-64]*3 -> [conv3-64 -> conv3-64]*2 -> relu\n")
    # A row of the summary is a layer, and the last convolution's relu is one of its own.
    assert counts_of(graph) == {"diagram": [8], "volumes": [8], "summary": [7, 1], "table": [8]}


def test_a_size_that_changes_is_shown() -> None:
    graph = graph_of("input 512x56x56\n[[conv3-512]*3 -> pool]*3\n")
    sizes = {edge.shape for edge in picture(graph).edges}
    assert {"512x28x28", "512x14x14", "512x7x7"} <= sizes
    assert {(512, n, n) for n in (28, 14, 7)} <= {volume.out for volume in plan_of(graph).volumes}


def test_maps_of_nearly_one_size_are_counted_with_both_sizes() -> None:
    graph = graph_of("input 3x64x64\ndefault conv(pad=valid)\n[conv3-8 -> [conv3-8]*2]\n")
    labels = [label_lines(volume) for volume in plan_of(graph).volumes]
    assert labels[1:] == [("conv3-8 x 2", "8×62×62 …", "8×60×60"), ("conv3-8", "8×58×58")] or labels[1:] == [
        ("conv3-8 x 3", "8×62×62 …", "8×58×58")
    ]


def skips(drawn: Picture) -> int:
    return sum(edge.skip for edge in drawn.edges)


def test_of_three_inverted_residuals_of_which_two_add_two_are_counted_and_the_arc_stays() -> None:
    text = (
        "input 3x56x56\nblock ir(t, w, s=1) = [[id + conv1-{t*C} -> dwconv3 -> conv1-w(act=none)] if C == w and s == 1 else"
        " conv1-{t*C} -> dwconv3/s -> conv1-w(act=none)]\nconv3-8 -> [ir(2, 16, 2) -> [ir(2, 16)]*2]\n"
    )
    drawn = picture(graph_of(text))
    opened = [box for box in drawn.nodes if box.kind == "block"]
    assert not any(box.times > 2 for box in opened)
    assert not any(c.count == "x 3" for c in drawn.clusters)
    assert skips(picture(graph_of(text), level="layers")) == 2


def test_mobilenet_v2_counts_only_blocks_that_are_wired_alike() -> None:
    graph = load("zoo:mobilenet_v2").graph
    outline = Outline(graph)
    for box in picture(graph).nodes:
        if box.kind == "block" and box.times > 1:
            length = len(box.nodes) // box.times
            turns = [box.nodes[i * length : (i + 1) * length] for i in range(box.times)]
            assert len({outline.signature(turn) for turn in turns}) == 1


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ("lrn(5, k=2, alpha=5e-4)", ("k=2", "alpha=0.0005")),
        ("conv3-8(groups=2)", ("groups=2",)),
        ("conv3-8(dilation=2)", ("dilation=2",)),
    ],
)
def test_no_picture_drops_an_argument(layer: str, words: Sequence[str]) -> None:
    graph = graph_of(f"input 4x32x32\n{layer}\n")
    told = {
        "diagram": " ".join(line for box in picture(graph).nodes for line in box.lines),
        "volumes": " ".join(volume.word for volume in plan_of(graph).volumes),
        "table": " ".join(e.text for row in table_of([graph]).rows for e in row.cells[0]),
    }
    for kind, text in told.items():
        assert all(word in text for word in words), (kind, text)


@pytest.mark.parametrize("brought", ["gn(2)", "leaky(0.3)"])
def test_diagrams_show_the_arguments_of_what_a_layer_brings(brought: str) -> None:
    key = "norm" if brought.startswith("gn") else "act"
    text = f"input 4x8x8\nconv3-8({key}={brought}) -> conv3-8\n"
    assert any(brought in line for box in picture(graph_of(text)).nodes for line in box.lines)


def test_a_net_of_one_block_is_opened() -> None:
    """U-Net is one block within another: closed, its picture would be a single box."""
    drawn = picture(load("zoo:unet").graph)
    assert sum(line.startswith("tconv") for box in drawn.nodes for line in box.lines) == 4
    assert sum(line == "crop" for box in drawn.nodes for line in box.lines) == 4


def test_the_box_of_a_join_tells_the_part_from_the_whole() -> None:
    for volume in plan_of(load("zoo:unet").graph).volumes:
        if volume.word.startswith("tconv"):
            width = int(volume.word.removeprefix("tconv2-").removesuffix("/2"))
            size = "×".join(map(str, volume.out[1:]))
            assert label_lines(volume)[-2:] == (f"{width}×{size}", f"joined: {2 * width}×{size}")


def test_the_branches_of_a_sum_stand_with_their_sign() -> None:
    graph = graph_of(
        "input 8x8x8\nblock b(w) = [conv3-w + conv1-w]\nblock c(w) = [conv3-w | conv1-w]\nb(8) -> c(8)\n"
    )
    told = [entry.text for row in table_of([graph]).rows for entry in row.cells[0]]
    assert told == ["[3x3, 8 + 1x1, 8]", "[3x3, 8 | 1x1, 8]"]


def test_rows_of_unlike_networks_are_told_and_of_like_ones_not() -> None:
    def of(*names: str) -> list[Graph]:
        return [load(f"zoo:{name}").graph for name in names]

    assert gaps(of("vgg16", "vgg19")) is None
    assert "lack one of the networks" in str(gaps(of("unet", "resnet50")))


def test_the_trail_keeps_every_map_where_the_field_grows() -> None:
    graph = load("zoo:resnet50").graph
    names = [step.name for step in trail_of(graph, "layer2").steps]
    assert {f"layer2.{i}.conv2" for i in range(4)} <= set(names)
    assert not any(name.endswith((".conv1", ".conv3")) for name in names[1:])


def test_planes_of_one_local_name_are_told_apart() -> None:
    from cnnc.backends.rf_picture.planes import _lines

    text = "input 3x64x64\na: [conv3-8 + conv1-8 -> conv3-8] -> b: [conv3-8 + conv3-8 -> conv3-8]\n"
    steps = trail_of(graph_of(text), "b").steps
    shown = [_lines(step)[0] for step in steps]
    assert len(set(shown)) == len(shown)


def test_a_field_is_drawn_without_its_table() -> None:
    field = ["draw", "zoo:lenet5", "--rf", "C3", "-o", "-"]
    run, whole = (CliRunner().invoke(cnnc, [*field, *more]) for more in (["--no-table"], []))
    assert 'class="row"' in whole.output and 'class="row"' not in run.output


def lines_of(text: str, block: str = "b") -> tuple[str, ...]:
    """What the closed box of a block says under its call."""
    graph = graph_of(text)
    scope = next(s for s in graph.scopes() if s.block is not None and s.block.name == block)
    return term_lines(graph, scope)


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        ("[id + conv1-16 -> dwconv3 -> conv1-8]", ("conv1-16", "dwconv3", "conv1-8", "+ id")),
        ("conv1-16 -> dwconv3 -> conv1-8", ("conv1-16", "dwconv3", "conv1-8")),
        ("[conv3-16/2 -> conv3-16 + shortcut] -> relu", ("conv3-16/2", "conv3-16", "+ conv1-16/2")),
        ("conv1-4 -> [conv1-8 | conv3-8]", ("conv1-4", "[conv1-8 | conv3-8]")),
        ("[conv1-8 | conv1-4 -> conv3-8 | pool(3, 1, pad=1)]", ("conv1-8", "| conv1-4 -> conv3-8", "| maxpool3/1(pad=1)")),
        ("conv3-8 -> [id & gap -> conv1-2 -> conv1-C]", ("conv3-8", "[id × gap -> conv1-2 -> conv1-8]")),
        ("[bn + conv3-8(bias=no)]", ("bn", "+ conv3-8")),
        ("[a: conv1-8 -> c: conv1-8 -> [a | c]]", ("conv1-8", "[id | conv1-8]")),
        # What is too long for a line goes on in the next: Inception v3's, and a bracket within a chain.
        ("[conv1-8 | conv1-8 -> conv1x7-128 -> conv7x1-128 -> conv1x7-192]",
         ("conv1-8", "| conv1-8 -> conv1x7-128 -> conv7x1-128", "-> conv1x7-192")),
        ("[conv1-8 -> conv3-128 -> conv1-64 | conv1-8 -> conv3-128] -> conv1-16",
         ("[conv1-8 -> conv3-128 -> conv1-64", "| conv1-8 -> conv3-128]", "conv1-16")),
        ("[id | conv1-8 -> conv3-128 -> [conv1x3-384 | conv3x1-384]]",
         ("id", "| conv1-8 -> conv3-128", "-> [conv1x3-384 | conv3x1-384]")),
        # No brackets can say what flows where: x goes on beside y, and both meet z.
        ("[x: conv1-8 -> y: conv3-8 -> z: [x + y] -> [y | z]]", ()),
    ],
)  # fmt: skip
def test_a_closed_block_says_its_branches(body: str, lines: tuple[str, ...]) -> None:
    """A list of layers alone reads as a chain, and a residual block without its sum as one that adds nothing."""
    assert lines_of(f"input 8x16x16\nblock b() = {body}\nb() -> conv3-4\n") == lines


def test_a_call_whose_layers_cannot_be_listed_names_its_parameters() -> None:
    body = " -> ".join(f"conv{1 + 2 * (i % 2)}-{{w + {i}}}" for i in range(8))
    text = f"input 8x16x16\nblock b(w, depth, first=no, kind=1) = {body}\nb(8, 2, yes) -> b(8, 3, yes, 5) -> b(9, 1)\n"
    calls = [named_call(scope) for scope in graph_of(text).scopes() if scope.block is not None]
    assert calls == [
        ("b(w=8, depth=2, first=yes)",),
        ("b(w=8, depth=3, first=yes,", "kind=5)"),
        ("b(w=9, depth=1)",),
    ]
    boxes = [box.lines for box in picture(load("zoo:nasnet_a_mobile").graph).nodes if box.kind == "block"]
    assert boxes[:2] == [("reduction(f=11, before=[…],", "g=32)"), ("reduction(f=22, before=[…])",)]


def test_mobilenet_v2_says_which_of_its_blocks_add() -> None:
    drawn = picture(load("zoo:mobilenet_v2").graph)
    adding = sum(box.times for box in drawn.nodes if box.kind == "block" and box.lines[-1] == "+ id")
    assert adding == 10  # as in table 2 of the paper: of 17 bottlenecks, those of stride 1 and equal width


def test_an_argument_that_says_nothing_new_is_left_out() -> None:
    (conv, valid) = picture(
        graph_of("input 3x8x8\nconv3-4(dilation=1, pad=1) -> conv3-4(pad=valid)\n")
    ).nodes[1:3]
    assert conv.lines[0] == "conv3-4" and valid.lines[0] == "conv3-4(pad=0)"


ATTENTION = "input 16x8x8\nattend(q=[q: conv1-C], k=[k: conv1-C], v=[v: conv1-C], heads=4)\n"
PRODUCT = "input 4x6\n[conv1-4 -> permute(W, C) @ conv1-4] -> softmax\n"


def test_query_key_and_value_are_told_apart() -> None:
    drawn = picture(graph_of(ATTENTION))
    target = next(box for box in drawn.nodes if box.kind == "attention")
    titles = {box.id: box.title for box in drawn.nodes}
    assert {titles[edge.source]: edge.text.partition(":")[0] for edge in drawn.edges if edge.target == target.id} == {
        "q": "q", "k": "k", "v": "v",
    }  # fmt: skip
    assert '"q: 16x8x8"' in to_mermaid(graph_of(ATTENTION))


def test_a_product_says_its_left_and_its_right_and_the_size_that_it_gives() -> None:
    graph = graph_of(PRODUCT)
    drawn = picture(graph)
    target = next(box for box in drawn.nodes if box.kind == "merge")
    assert {edge.text for edge in drawn.edges if edge.target == target.id} == {"left: 6x4", "right: 4x6"}
    plan = plan_of(graph)
    product = next(volume for volume in plan.volumes if volume.sign == "@")
    assert label_lines(product) == ("6×6",)
    factors = {v.out for v in plan.volumes for f in plan.flows if (f.source, f.target) == (v.id, product.id)}
    assert factors == {(6, 4), (4, 6)}  # the transposed one has a box of its own


def test_recurrent_layers_are_not_called_fully_connected() -> None:
    graph = graph_of("input 8x20\nlstm-16 -> gru-8 -> linear-4\n")
    assert [box.kind for box in picture(graph).nodes] == [
        "input",
        "recurrent",
        "recurrent",
        "linear",
        "output",
    ]
    assert {volume.kind for volume in plan_of(graph).volumes} == {"input", "recurrent", "linear"}


def test_both_uses_of_a_shared_module_say_so() -> None:
    drawn = picture(load("zoo:siamese").graph)
    assert [frame.title for frame in drawn.clusters] == ["tower (shared weights)"] * 2


def test_what_is_used_again_says_so() -> None:
    drawn = picture(graph_of(
        "input 8x16x16\nc: conv3-8(norm=bn)\nagain(c, dilation=2)\nh: [conv3-8 -> pool -> conv3-8(act=relu)]\n"
        "again(h) -> again(c, transpose=yes)\n"
    ))  # fmt: skip
    assert [frame.title for frame in drawn.clusters] == ["h", "h (again)"]
    assert [box.title for box in drawn.nodes if (box.title or "").endswith("(again)")] == ["c (again)"] * 2


def test_a_skip_into_a_frame_is_a_skip_wherever_its_source_stands() -> None:
    """The positions of a transformer are added outside of the frame that the sum's scope is drawn before."""
    drawn = picture(load("zoo:vit_b_16").graph)
    sums = [box.id for box in drawn.nodes if box.lines == ("+",)]
    assert sum(edge.skip for edge in drawn.edges if edge.target in sums) == 2


def test_the_arc_of_a_folded_dense_block_tells_how_its_map_grows() -> None:
    ways = ways_of(picture(load("zoo:densenet121").graph))
    assert [edge.shape for edge in ways.edges if edge.skip] == [
        "64…224x56x56", "128…480x28x28", "256…992x14x14", "512…992x7x7",
    ]  # fmt: skip


def test_a_field_picture_says_why_a_frame_lies_to_one_side() -> None:
    said = "Frames lie to one side"
    assert said in load("zoo:vgg16").field_picture("features")  # 2x2 pools on maps of even size
    assert said not in load("zoo:alexnet").field_picture("conv5")  # maps of 55, 27 and 13


def test_branches_that_cross_are_looked_at_once() -> None:
    """Each sum takes the two before it: the ways through them double with every other one."""
    sums = " -> ".join(f"x{i}: [x{i - 2} + x{i - 1}]" for i in range(2, 80))
    assert (
        lines_of(f"input 4x8x8\nblock b() = [x0: conv1-4 -> x1: conv3-4 -> {sums}]\nb() -> conv3-4\n") == ()
    )
