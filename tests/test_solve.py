"""`cnnc solve` finds published designs again, and agrees with trying every point."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from stopwatch import slowness, stopwatch

import cnnc
from cnnc.dsl.diagnostics import CnncError
from cnnc.dsl.source import Source
from cnnc.solving.evaluate import Evaluator, parse_figure, parse_where
from cnnc.solving.solution import Setting, Solution, setting_of, solved
from cnnc.solving.sweep import swept

SPECS = Path(__file__).parent / "cases" / "solve"


def timed_solve(spec: str, *args: Any, **options: Any) -> Solution:
    with stopwatch() as watch:
        found = cnnc.solve(spec, *args, **options)
    assert watch.seconds < 2 * slowness()
    return found


# MobileNetV2 (Sandler et al. 2018, Table 4): 300M at 1.0; 582M at 1.4, where the paper has 585M; torchvision's counts for the others.
# MobileNetV1 (Howard et al. 2017, Table 6): 569M, 325M, 149M, 41M.
@pytest.mark.parametrize(
    ("spec", "budget", "width"),
    [
        ("mobilenet_v2", "macs <= 301M", 1),
        ("mobilenet_v2", "macs <= 582.2M", Fraction(7, 5)),
        ("mobilenet_v2", "macs <= 209.1M", Fraction(3, 4)),
        ("mobilenet_v1", "macs <= 569M", 1),
        ("mobilenet_v1", "macs <= 326M", Fraction(3, 4)),
        ("mobilenet_v1", "macs <= 150M", Fraction(1, 2)),
        ("mobilenet_v1", "macs <= 42M", Fraction(1, 4)),
    ],
)
def test_width_multipliers_of_mobilenets(spec: str, budget: str, width: Any) -> None:
    found = timed_solve(f"zoo:{spec}", {"width": "0.25..2"}, budget)
    assert found.params == {"width": width}


@pytest.mark.parametrize(("scale", "width"), [(2, 48), (4, 26), (8, 14)])
def test_res2nets_widths_at_equal_multiply_adds(scale: int, width: int) -> None:
    """Gao et al. 2019, Table 5: 48w x 2s, 26w x 4s, 14w x 8s."""
    found = timed_solve(str(SPECS / "res2net50.cnn"), where="macs <= 4.256G", s=scale)
    assert found.params == {"w": width}


# Zagoruyko and Komodakis 2016, Table 4: 23.4M (28-8), 36.5M (28-10), 52.5M (28-12).
@pytest.mark.parametrize(("budget", "k"), [("23.4M", 8), ("36.5M", 10), ("52.6M", 12)])
def test_wide_resnets_widths(budget: str, k: int) -> None:
    assert timed_solve(str(SPECS / "wide_resnet.cnn"), where=f"params <= {budget}").params == {"k": k}


def test_a_resnet_of_five_million_parameters_with_a_field_of_400() -> None:
    spec = str(SPECS / "small_resnet.cnn")
    found = timed_solve(spec, where="params <= 5M, rf(layer4) >= 400")
    assert found.params is not None
    net = cnnc.load(spec, **found.params)
    assert net.params == found.figures["params"] <= 5_000_000
    assert all(claim.holds for claim in cnnc.parse(net_text(found) + "expect rf(layer4) >= 400\n").claims)


def net_text(found: Solution) -> str:
    return found.spec()


# --- against trying every point ---------------------------------------------------------

TOY = """input 3x32x32
param w = 8 within 2..20
param d = 1 within 1..4
param k = 3 within (1, 3, 5)
[conv{k}-w]*d -> pool -> last: conv3-{2*w} -> gap -> fc-10
"""
# A width that has the figures fall where it grows: the groups.
TURNING = """input 16x16x16
param g = 1 within (1, 2, 4, 8)
param w = 2 within 1..4
conv3-{16*w}(groups=g) -> [conv1-8 if g > 2 else conv3-8] -> gap -> fc-2
"""
UNEVEN = (
    "input 3x16x16\nparam w = 1.0 within 0.5..2\nconv3-{8*w} -> conv3-{divisible(10*w, 4)} -> gap -> fc-2\n"
)
QUESTIONS = [
    (TOY, "params <= 5K", "params", None),
    (TOY, "macs <= 400K, rf(last) >= 10", "params", None),
    (TOY, "params >= 6K", None, "macs"),
    (TOY, "rf(last) == 14, macs <= 900K", "params", None),
    (TOY, "params <= 20K, params != 19_274", "rf(last)", None),
    (TURNING, "params <= 3K", "macs", None),
    (TURNING, "macs >= 100K, params <= 2K", None, "params"),
    (UNEVEN, "params <= 700", "params", None),
    (UNEVEN, "1K <= macs, params <= 2_000", None, "macs"),
]
IMPOSSIBLE = [
    (TOY, "params <= 100"),
    (TOY, "rf(last) >= 100"),
    (TOY, "params <= 400, rf(last) >= 22"),
    (TOY, "params == 12_345"),
    (TURNING, "params <= 500, macs >= 10M"),
    (UNEVEN, "params <= 10"),
]


def setting(text: str) -> Setting:
    return setting_of(Source("net.cnn", text), "net", ())


def every(text: str, where: str, figure: str) -> list[tuple[float, dict[str, Any]]]:
    """Every point that meets the wishes, by building all of them."""
    asked = setting(text)
    evaluator = Evaluator(
        asked.syntax, asked.space, [parse_figure(figure)], parse_where([where]), options=asked.options
    )
    found = [(point, evaluator.at(point)) for point in asked.space.points()]
    return [(float(f.figures[0]), asked.space.params(p)) for p, f in found if f.is_built and all(f.holds)]


@pytest.mark.parametrize(("text", "where", "most", "least"), QUESTIONS)
def test_the_best_of_all_points(text: str, where: str, most: str | None, least: str | None) -> None:
    points = every(text, where, most or least or "params")
    values = [value for value, _ in points]
    wanted = max(values) if least is None else min(values)
    found = solved(setting(text), [where], most=most, least=least)
    assert found.params is not None
    assert float(found.figures[most or least or "params"]) == wanted
    assert (wanted, dict(found.params)) in points


@pytest.mark.parametrize(("text", "where"), IMPOSSIBLE)
def test_nothing_fits_where_no_point_does(text: str, where: str) -> None:
    assert every(text, where, "params") == []
    found = solved(setting(text), [where])
    assert found.params is None and found.binding
    with pytest.raises(ValueError, match="no solution"):
        found.spec()


def test_it_says_which_claim_binds() -> None:
    found = solved(setting(TOY), ["params <= 100, rf(last) >= 10"])
    (reason,) = found.binding
    assert reason.startswith("`params <= 100` holds nowhere: it is at least")
    together = solved(setting(TOY), ["params <= 400, rf(last) >= 22"])
    assert "nowhere together" in together.binding[0]


def test_the_spec_is_written_with_the_new_values() -> None:
    text = "# mine\nparam w = 8 within 2..20  # channels\ninput 3x8x8\nconv3-w -> gap -> fc-2\n"
    found = solved(setting(text), ["params <= 400"])
    assert found.params == {"w": 13}
    assert found.spec() == text.replace("w = 8", "w = 13")


def test_a_sweep_is_the_table_and_its_front() -> None:
    asked = setting_of(Source("net.cnn", TOY), "net", ["w=2..20:4", "d=1..2:2"])
    found = swept(asked, ["params <= 4K"])
    assert [line.params for line in found.lines][:3] == [(2, 1), (2, 2), (8, 1)]
    for line in found.lines:
        values = dict(zip(found.names, line.params, strict=True))
        net = cnnc.parse(TOY, **values)
        assert (net.params, net.macs) == line.figures[:2]
        assert line.meets == (net.params <= 4000)
    fitting = [line for line in found.lines if line.meets]
    for line in fitting:
        beaten = [o for o in fitting if o.figures[1] <= line.figures[1] and o.figures[0] >= line.figures[0]
                  and o.figures[:2] != line.figures[:2]]  # fmt: skip
        assert line.on_front == (not beaten)
    assert json.loads(json.dumps(found.to_dict()))["points"][0]["params"] == {"w": 2, "d": 1}
    assert found.to_csv().splitlines()[0] == "w,d,params,macs,meets,on_front,problem"
    assert "*" in found.text()


@pytest.mark.parametrize(
    ("vary", "where", "message"),
    [
        (["v=1..2"], "params <= 1", "no param `v`"),
        (["w=1.."], "params <= 1", "no range"),
        (["w=9..2"], "params <= 1", "empty"),
        ([], "params", "no comparison"),
        ([], "parms <= 3", "not a figure"),
        ([], "last >= 10", "not one number"),
    ],
)
def test_questions_that_mean_nothing(vary: list[str], where: str, message: str) -> None:
    with pytest.raises(CnncError, match=message):
        solved(setting_of(Source("net.cnn", TOY), "net", vary), [where])


# --- within -----------------------------------------------------------------------------


def test_whole_ends_and_a_whole_default_mean_whole_numbers() -> None:
    text = "param {}\ninput 3x8x8\nconv3-{{4*w}}\n"
    cnnc.parse(text.format("w = 1 within 1..4"), w=3)
    cnnc.parse(text.format("w = 1.5 within 1..4"), w=2.25)
    cnnc.parse(text.format("w = 1 within (1, 2.5)"), w=2.5)
    for declared, value in (("w = 1 within 1..4", 1.5), ("w = 1 within 1..4", 5), ("w = 1 within (1, 2)", 3)):
        with pytest.raises(CnncError, match="; expected "):
            cnnc.parse(text.format(declared), w=value)
    with pytest.raises(CnncError, match="; expected "):
        cnnc.parse(text.format("w = 5 within 1..4"))


# --- memory in claims -------------------------------------------------------------------


def test_memory_can_be_claimed() -> None:
    text = "input 3x32x32\nconv3-64(norm=bn) -> gap -> fc-10\nexpect memory({}) {}\n"
    net = cnnc.parse(text.format("train, batch=32", "<= 4 GiB"))
    (claim,) = net.claims
    assert claim.holds and claim.unit == "bytes"
    assert claim.left == net.plan(batch=32, train="sgd").memory.peak
    other = cnnc.parse(text.format("train=adamw, batch=32, dtype=bfloat16, amp=yes", "<= 1 KiB"))
    assert not other.claims[0].holds
    assert other.claims[0].left == net.plan(batch=32, train="adamw", amp=True).memory.peak
    assert cnnc.parse(text.format("inference", "<= 4 MiB")).claims[0].left == net.plan().memory.peak


def test_memory_is_a_wish_of_a_process_that_does_nothing_else(tmp_path: Path) -> None:
    """Nothing but the command imports what answers `memory(…)`."""
    spec = tmp_path / "net.cnn"
    spec.write_text("input 3x8x8\nparam w = 4 within 1..40\nconv3-w -> gap -> fc-2\n", encoding="utf8")
    options = ["--where", "memory(train, batch=2) <= 20 KiB", "--json"]
    command = [sys.executable, "-m", "cnnc", "solve", str(spec), *options]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    w = json.loads(run.stdout)["params"]["w"]
    fits = [
        n for n in range(1, 41) if cnnc.load(spec, w=n).plan(batch=2, train="sgd").memory.peak <= 20 * 1024
    ]
    assert 1 <= w == max(fits) < 40


def test_a_param_with_a_value_does_not_vary(tmp_path: Path) -> None:
    spec = str(tmp_path / "net.cnn")
    text = "input 3x8x8\nparam w = 4 within 1..40\nparam n = 1 within 1..3\n[conv3-w]*n\n"
    Path(spec).write_text(text, encoding="utf8")
    assert cnnc.solve(spec).params == {"w": 40, "n": 3}
    assert cnnc.solve(spec, w=7).params == {"n": 3}
    assert cnnc.solve(spec, w=7).figures["params"] == cnnc.load(spec, w=7, n=3).params
    assert cnnc.solve(spec, {"w": "1..9"}, n=2).params == {"w": 9}
    for vary in ({"w": "1..9"}, ["w"]):
        with pytest.raises(CnncError, match="E304: `w` is given a value, and is to vary"):
            cnnc.solve(spec, vary, w=7)
    with pytest.raises(CnncError, match="E303: no param has a range"):
        cnnc.solve(spec, w=7, n=1)
