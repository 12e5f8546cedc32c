"""Groups of files, and the tests that should find what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True, slots=True)
class Group:
    """Files, and the tests that should find what is wrong with them."""

    files: str
    tests: tuple[str, ...]


GROUPS = {
    "sizes": Group(
        "cnnc/compiler/sizes.py cnnc/compiler/limits.py",
        ("cnnc/compiler/sizes.py", "tests/test_size_algebra.py", "tests/test_same_tf.py"),
    ),
    "field": Group(
        "cnnc/compiler/lattice.py cnnc/compiler/receptive_field.py",
        (
            "tests/test_field_lattice.py", "cnnc/compiler/receptive_field.py", "tests/test_receptive_field.py",
            "tests/test_facts_receptive_field.py",
        ),
    ),
    "cost": Group("cnnc/compiler/cost.py", ("tests/test_cost_properties.py", "tests/test_figures.py", "tests/test_cost.py")),
    "evaluate": Group(
        "cnnc/compiler/walk/evaluate.py cnnc/compiler/walk/operations.py",
        ("tests/test_arithmetic.py", "tests/test_sources.py", "tests/test_errors.py"),
    ),
    "ops": Group("cnnc/compiler/ops/*.py", (
        "tests/test_op_model.py", "tests/test_op_contract.py", "tests/test_op_arguments.py", "tests/test_reference.py",
        "tests/test_docs.py::test_layers_page_is_fresh", "tests/test_errors.py", "tests/test_size_algebra.py", "tests/test_same_tf.py",
        "cnnc/compiler/ops/geometry.py",
        *(f"tests/ops/test_{name}.py" for name in (
            "axes", "attention", "borders", "causal", "join", "matmul", "refusals", "resize", "reparam", "standardised", "stretch", "tensors",
            "round_trip", "windows",
        )),
    )),
    "pytorch": Group(
        " ".join(f"cnnc/backends/pytorch/{name}.py" for name in (
            "plan", "checks", "body", "branches", "class_names", "classes", "context", "forward", "in_place", "infix", "layer", "loops", "names", "repeats", "rolled",
            "scope_ends", "sym", "tensors", "trace", "unify", "uses", "variants", "wrap", "write", "emitters/*",
        )),
        (
            *(f"cnnc/backends/pytorch/{name}.py" for name in ("infix", "names", "rolled", "wrap")),
            *(f"tests/test_{name}.py" for name in (
                "golden", "plain_lines", "in_place", "pytorch_structure", "constructor_params", "reading", "pytorch", "shortcut",
                "second_half",
            )),
            "tests/ops/test_tensors.py", "tests/ops/test_again.py",
        ),
    ),
}  # fmt: skip


def paths(name: str) -> list[str]:
    """The files of a group."""
    return [str(p.relative_to(ROOT)) for one in GROUPS[name].files.split() for p in sorted(ROOT.glob(one))]
