"""The JSON that commands print against the models that `cnnc schema` publishes, over the zoo."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner
from sampling import sampled

import cnnc
from cnnc.cli.commands import cnnc as command
from cnnc.contracts import CONTRACTS, schema
from cnnc.zoo import entries

SLOW = {"resnet1202", "preact_resnet1001", "resnet110", "preact_resnet164", "nasnet_a_large"}
NAMES = [entry.name for entry in entries() if entry.name not in SLOW]


def printed(*arguments: str) -> str:
    return CliRunner().invoke(command, arguments).stdout


def holds(name: str, data: object) -> None:
    """Both the model and the published schema accept it, as JSON."""
    text = json.dumps(data)
    CONTRACTS[name].model_validate_json(text)
    jsonschema.Draft202012Validator(schema(name)).validate(json.loads(text))


@pytest.mark.parametrize("part", sampled(range(12), 4))
def test_summaries_of_the_zoo(part: int) -> None:
    for name in NAMES[part::12]:
        holds("summary", cnnc.load(f"zoo:{name}").to_dict())


def test_free_sizes_gates_and_externs() -> None:
    text = (
        'input 3xHxW\nextern box(k=3) = "package.module:Box" (shape=same)\n'
        "conv3-4/2 -> box(k=5) -> [id & gap -> conv1-4(act=sigmoid)] -> upsample(2)\n"
    )
    data = cnnc.parse(text).to_dict()
    assert data["unknown"] and data["limits"]
    holds("summary", data)


def test_check_of_good_and_bad_specs(tmp_path: Path) -> None:
    good, bad, library = tmp_path / "good.cnn", tmp_path / "bad.cnn", tmp_path / "library.cnn"
    good.write_text("input 3x8x8\nconv3-4 -> fc-2\nexpect params == 1\nexpect depth == 2\n")
    bad.write_text("input 3x8x8\nconv3-4 -> cnov3-4\n")
    library.write_text("block b(w) = conv3-w\n")
    data = json.loads(printed("check", str(tmp_path), "--format", "json"))
    assert [one["ok"] for one in data["specs"]] == [False, False, True]
    holds("check", data)


@pytest.mark.parametrize("pair", [("vgg16", "vgg19"), ("resnet50", "resnet50_paper"), ("lenet5", "lenet5")])
def test_differences(pair: tuple[str, str]) -> None:
    holds("diff", json.loads(printed("diff", f"zoo:{pair[0]}", f"zoo:{pair[1]}", "--json")))


def test_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.cnn").write_text("input 3x8x8\nconv3-4(norm=bn) -> fc-2\n")
    Path("b.cnn").write_text("input 3xHxW\nconv3-4/2\n")
    CliRunner().invoke(command, ["lock", "a.cnn", "b.cnn"])
    data = tomllib.loads(Path("cnnc.lock").read_text())
    assert {"a.cnn", "b.cnn"} <= data.keys()
    holds("lock", data)


def test_weights_that_fit_and_that_do_not(tmp_path: Path) -> None:
    import torch

    net = cnnc.parse("input 3x8x8\nconv3-4 -> fc-2\n")
    state = dict(net.module().state_dict())
    state["more"] = torch.ones(2)
    state["fc1.bias"] = torch.ones(3)
    del state["conv1.bias"]
    torch.save(state, tmp_path / "w.pt")
    (tmp_path / "net.cnn").write_text("input 3x8x8\nconv3-4 -> fc-2\n")
    data = json.loads(printed("weights", str(tmp_path / "net.cnn"), str(tmp_path / "w.pt"), "--json"))
    assert data["missing"] and data["extra"] and data["shapes"]
    holds("weights", data)


def test_the_zoo() -> None:
    for entry in json.loads(printed("zoo", "--json")):
        holds("zoo", entry)
    holds("zoo", json.loads(printed("zoo", "vgg16", "--json")))


def test_what_is_no_such_record_is_refused() -> None:
    data = cnnc.load("zoo:lenet5").to_dict()
    with pytest.raises(ValueError, match="flop"):
        CONTRACTS["summary"].model_validate({**data, "flop": 1})
    with pytest.raises(ValueError, match="params"):
        CONTRACTS["summary"].model_validate({**data, "totals": {}})


def test_the_command_lists_prints_and_corrects() -> None:
    assert [line.split()[0] for line in printed("schema").splitlines()] == list(CONTRACTS)
    for name in CONTRACTS:
        found = json.loads(printed("schema", name))
        jsonschema.Draft202012Validator.check_schema(found)
        assert found == schema(name)
    run = CliRunner().invoke(command, ["schema", "sumary"])
    assert run.exit_code == 2 and "summary" in run.output
