"""Mutations of specs: most of the results are nearly specs, some are noise."""

from __future__ import annotations

import re
from random import Random

from .corpus import mistakes, specs

_TOKEN = re.compile(r"[A-Za-z_]\w*|\d[\d_.]*|->|\.\.|[=!<>~]=|\*\*|//|\s+|.", re.DOTALL)

WORDS = (
    "->", "|", "+", "&", "[", "]", "(", ")", "{", "}", "*", "**", "//", "/", "%", "-", "=", "==", "~=", "<", "..", ",", ":",
    "\n", "\n\n", " ", "\t", "\r\n", "#", '"', "'", ".", "\\", "\0", "\ufeff", "\u202e", "\u2028", "é", "∞", "²", "٣", "→",
    "if", "else", "for", "in", "and", "or", "not", "as", "from", "std", "hwc",
    "model", "input", "param", "default", "block", "shared", "extern", "use", "output", "expect",
    "id", "shortcut", "crop", "conv3-8", "conv", "conv3x1-4/2", "dwconv3", "sepconv3-8", "tconv2-4/2", "pool", "maxpool3/2",
    "avgpool", "gap", "gmp", "fc-10", "fc", "bn", "gn(2)", "lrn", "relu", "softmax", "dropout", "flatten", "upsample(2)", "resize", "resize(1.5)", "resize(0.7, mode=bilinear)", "pad",
    "reshape", "shuffle(2)", "capsule", "local", "unpool", "conv{C}-{2*C}", "conv3-{C//2}",
    "C", "H", "W", "D", "n", "i", "k", "w", "s", "x", "a", "b", "yes", "no", "none", "same", "valid", "same_tf",
    "norm=bn", "act=none", "pad=1", "pad=same", "groups=2", "dilation=2", "stride=2", "ceil=yes", "bias=no", "of=a", "like=a",
    "params", "macs", "flops", "depth", "rf(a)", "stride(a)", "min", "max", "round", "floor", "divisible",
    "0", "1", "2", "3", "7", "8", "16", "255", "1000", "100000", "2147483647", "2147483648", "1e9", "1e40", "0.5", "1.5",
    "1_000", "12M", "-1", "9" * 39, "9" * 41, "3x16x16", "8x9", "3xHxW", "16", "1x16000", "c{i}", "a.b",
    "[id + conv3-8]", "[id | conv1-4]*2", "[conv3-8 for i in 1..3]", "[| conv{k}-4 for k in 1, 3]",
    "[conv3-4 if C == 3 else id]", "use bottleneck from std\n", "shared t = conv3-4\n", "block f(x, y=1) = x\n",
    'extern e(k=7) = "p.q:R" (shape=same)\n', "expect params == 1\n", "input 3x16x16\n", "output a\n", "a: conv3-4\n",
)  # fmt: skip


def mutated(rng: Random, *, gently: bool = False) -> str:
    """A seed after a few random changes; `gently`, most start from what is right and change little."""
    seeds = specs() if rng.random() < (0.9 if gently else 0.5) else mistakes()
    return changed(rng.choice(seeds), rng, gently=gently)


def changed(text: str, rng: Random, *, gently: bool = False) -> str:
    """A text after a few random changes."""
    tokens = _TOKEN.findall(text)
    for _ in range(rng.choice((1, 1, 1, 2) if gently else (1, 1, 2, 2, 3, 5, 9))):
        change = rng.choice(_GENTLE if gently and rng.random() < 0.8 else _CHANGES)
        tokens = change(tokens, specs(), rng)
    return "".join(tokens)[:20_000]


def _place(tokens: list[str], rng: Random) -> int:
    return rng.randrange(len(tokens) + 1)


def _insert(tokens: list[str], seeds: tuple[str, ...], rng: Random) -> list[str]:
    at = _place(tokens, rng)
    return [*tokens[:at], rng.choice(WORDS), *tokens[at:]]


def _replace(tokens: list[str], seeds: tuple[str, ...], rng: Random) -> list[str]:
    at = _place(tokens, rng)
    return [*tokens[:at], rng.choice(WORDS), *tokens[at + 1 :]]


def _delete(tokens: list[str], seeds: tuple[str, ...], rng: Random) -> list[str]:
    at = _place(tokens, rng)
    return tokens[:at] + tokens[at + rng.choice((1, 1, 1, 2, 5)) :]


def _repeat(tokens: list[str], seeds: tuple[str, ...], rng: Random) -> list[str]:
    at = _place(tokens, rng)
    part = tokens[at : at + rng.choice((1, 3, 8, 20))]
    return tokens[:at] + part * rng.choice((2, 2, 3, 9)) + tokens[at + len(part) :]


def _move(tokens: list[str], seeds: tuple[str, ...], rng: Random) -> list[str]:
    at = _place(tokens, rng)
    part = tokens[at : at + rng.choice((1, 3, 8))]
    rest = tokens[:at] + tokens[at + len(part) :]
    to = _place(rest, rng)
    return rest[:to] + part + rest[to:]


def _splice(tokens: list[str], seeds: tuple[str, ...], rng: Random) -> list[str]:
    other = _TOKEN.findall(rng.choice(seeds))
    start = _place(other, rng)
    at = _place(tokens, rng)
    return tokens[:at] + other[start : start + rng.choice((2, 5, 12, 40))] + tokens[at:]


def _lines(tokens: list[str], seeds: tuple[str, ...], rng: Random) -> list[str]:
    """Whole lines of another seed, first or last."""
    other = rng.choice(seeds).splitlines(keepends=True)
    start = rng.randrange(len(other))
    some = other[start : start + rng.choice((1, 2, 4))]
    return [*some, *tokens] if rng.random() < 0.5 else [*tokens, "\n", *some]


def _names(tokens: list[str], seeds: tuple[str, ...], rng: Random) -> list[str]:
    """One word of the text in the place of another."""
    places = [i for i, token in enumerate(tokens) if token[:1].isalnum()]
    if len(places) < 2:
        return tokens
    at, other = rng.choice(places), rng.choice(places)
    return [*tokens[:at], tokens[other], *tokens[at + 1 :]]


def _number(tokens: list[str], seeds: tuple[str, ...], rng: Random) -> list[str]:
    places = [i for i, token in enumerate(tokens) if token[:1].isdigit()]
    if not places:
        return tokens
    at = rng.choice(places)
    number = rng.choice(
        ("0", "1", "2", "3", "4", "5", "7", "16", "64", "1000", "65536", "1.5", "99999999999")
    )
    return [*tokens[:at], number, *tokens[at + 1 :]]


def _wrap(tokens: list[str], seeds: tuple[str, ...], rng: Random) -> list[str]:
    at = _place(tokens, rng)
    end = at + rng.choice((1, 3, 8, 20))
    left, right = rng.choice(
        (("[", "]"), ("[", "]*3"), ("(", ")"), ("{", "}"), ("[id + ", "]"), ('"', '"'), ("a: ", ""))
    )
    return [*tokens[:at], left, *tokens[at:end], right, *tokens[end:]]


def _noise(tokens: list[str], seeds: tuple[str, ...], rng: Random) -> list[str]:
    at = _place(tokens, rng)
    return [*tokens[:at], chr(rng.choice((rng.randrange(128), rng.randrange(0x3000), rng.randrange(0x20000, 0x2FFFF)))), *tokens[at:]]  # fmt: skip


_CHANGES = (
    _insert, _insert, _replace, _replace, _delete, _repeat, _move, _splice, _splice, _lines, _names, _names, _number, _number,
    _wrap, _noise,
)  # fmt: skip
_GENTLE = (_number, _number, _names, _repeat, _move, _delete, _insert, _wrap)
