"""The rules of the house: imports go downward, torch stays in its room, links lead nowhere else."""

import ast
from itertools import takewhile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "cnnc"
LEVELS = {"dsl": 0, "compiler": 1, "backends": 2, "importer": 2}
TORCH_ROOMS = (
    "backends/pytorch/runtime",
    "backends/pytorch/helpers/",
    "backends/pytorch/verify",
    "importer/torch_",
)
SOURCES = sorted(p for p in PACKAGE.rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def level(module: str) -> int:
    """dsl 0, compiler 1, backends 2, the face and the command line 3."""
    parts = module.split(".")
    return LEVELS.get(parts[1], 3) if len(parts) > 1 else 3


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_downward(path: Path) -> None:
    own = level("cnnc." + str(path.relative_to(PACKAGE).with_suffix("")).replace("/", "."))
    for name in imported(path):
        if name == "cnnc" or name.startswith("cnnc."):
            assert level(name) <= own, f"{path} imports {name}, which lies above it"


def _runs_torch(path: Path) -> bool:
    """Whether a file imports torch other than for type checking."""
    tree = ast.parse(path.read_text(encoding="utf8"))
    checking = [
        node for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    ]  # fmt: skip
    hidden = {id(inner) for node in checking for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if any(name.split(".")[0] == "torch" for name in names):
            return True
    return False


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_torch_stays_in_its_room(path: Path) -> None:
    room = str(path.relative_to(PACKAGE).with_suffix(""))
    if not room.startswith(TORCH_ROOMS):
        assert not _runs_torch(path), f"{path} imports torch"


@pytest.mark.parametrize("name", ["dsl", "compiler", "backends", "specs"])
def test_the_four_links_stand_at_the_top(name: str) -> None:
    link = ROOT / name
    if not link.exists():
        pytest.skip("not a checkout with links")
    assert link.is_symlink()
    assert link.resolve() == (PACKAGE / name).resolve()


def test_every_op_has_one_emitter() -> None:
    import cnnc.backends.pytorch.emitters  # noqa: F401
    from cnnc.backends.pytorch.layer import is_written
    from cnnc.compiler.ops import all_ops

    missing = [op.__name__ for op in all_ops() if not is_written(op) and op.kind != "input"]
    assert not missing
    assert not [op.__name__ for op in all_ops() if op.reusable and not is_written(op, again=True)]


def test_a_forgotten_answer_fails_at_import() -> None:
    from cnnc.compiler.ops import Op
    from cnnc.compiler.ops.base import op

    class Forgetful(Op):
        kind = "forgetful"
        family = "activation"
        example = "forgetful"

        def out_shape(self, *ins: tuple[int, ...]) -> tuple[int, ...]:
            return ins[0]

    with pytest.raises(TypeError, match="does not answer: macs, params, state, window"):
        op(Forgetful)


def test_records_of_many_fields_are_built_by_keyword() -> None:
    """A record takes eight fields by position at the most."""
    for path in SOURCES:
        for cls in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            made = [ast.unparse(d) for d in cls.decorator_list] if isinstance(cls, ast.ClassDef) else []
            if any(d.startswith(("record", "dataclass")) and "kw_only=True" not in d for d in made):
                assert isinstance(cls, ast.ClassDef)
                names = [ast.unparse(line.annotation) for line in cls.body if isinstance(line, ast.AnnAssign)]
                by_position = list(takewhile(lambda name: name != "KW_ONLY", names))
                assert len(by_position) <= 8, f"{path}: {cls.name}"


@pytest.mark.parametrize(
    "name",
    ["zoo:mobilenet_v2", "zoo:densenet_bc100_k12", "zoo:unet", "zoo:two_stream", "zoo:siamese",
     *(f"tests/cases/weird/{name}.cnn" for name in ("handed-names", "handed-lists", "lists", "flags"))],
)  # fmt: skip
def test_a_graph_needs_nothing_of_the_walk(name: str) -> None:
    """No draft, environment or syntax can be reached from a graph, but for the claims about it."""
    import dataclasses

    import cnnc
    from cnnc.compiler.walk import draft, values
    from cnnc.dsl import syntax

    graph = cnnc.load(name if name.startswith("zoo:") else str(ROOT / name)).graph
    data = {values.Pipeline, values.LayerWord, values.Turn, values.CallStep, draft.Decision}
    seen: set[int] = set()
    todo: list[object] = [getattr(graph, f.name) for f in dataclasses.fields(graph) if f.name != "claims"]
    while todo:
        found = todo.pop()
        if id(found) in seen or isinstance(found, str | int | float | type(None) | type):
            continue
        seen.add(id(found))
        kind = type(found)
        assert kind.__module__ != syntax.__name__, kind
        assert kind in data or kind.__module__ not in (draft.__name__, values.__name__), kind
        if dataclasses.is_dataclass(found):
            todo += [getattr(found, f.name) for f in dataclasses.fields(found)]
        elif isinstance(found, dict):
            todo += [*found, *found.values()]
        elif isinstance(found, list | tuple | set | frozenset):
            todo += found
        else:
            todo += getattr(found, "__dict__", {}).values()
    assert len(seen) > len(graph.nodes)
