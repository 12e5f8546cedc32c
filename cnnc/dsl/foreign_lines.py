"""Forms of a line that other languages write: what they are, and what to write in their place.

Like the table of `foreign`, it works on texts alone and is imported only once a mistake was found.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from cnnc.dsl import foreign
from cnnc.dsl.foreign_words import word_of
from cnnc.dsl.record import record


@record
class Form:
    """A stretch of a line that another language writes so, what it is, and what to write."""

    start: int
    end: int
    message: str
    hint: str

    @property
    def ends_the_file(self) -> bool:
        """Whether the whole file is of another kind, so that its further mistakes say nothing."""
        return self.message in _OF_THE_FILE


_OF_THE_FILE = frozenset(["this is a merge marker", "this looks like Python"])
_STATEMENT = "model|input|param|default|block|shared|extern|use|output|expect"
_CONV = r"[Cc]onv(?:olution)?(?:2[dD])?"
_FORMS: tuple[tuple[str, str, str], ...] = (
    (r"^(?:<{7}|={7}|>{7}|\|{7})(?= |$)", "this is a merge marker", "choose one side, and delete the three markers"),
    (r"//(?!\s*\d)(?P<at>)\s*[A-Za-z].*$", "a comment begins with `#`", "write # in place of //"),
    (r";", "statements end with their line", "write a new line, or `->` between two layers, in place of `;`"),
    (r"\\\s*$", "a line needs no mark to go on", "leave the `\\` out: a line goes on inside brackets and after an operator"),
    (r"=>", "a chain is written with `->`", "write -> in place of =>"),
    (rf"^\s*(?P<word>{_STATEMENT})\s*:\s*(?P<rest>\S.*)$", "`{word}` is a statement and takes no colon", "drop the colon: {word} {rest}"),
    (r"^\s*(?P<word>Model|Input|Param|Default|Block|Shared|Extern|Use|Output|Expect|MODEL|INPUT|OUTPUT)\b", "statements are written in lower case", "write {lower}"),
    (r"^\s*param\s+(?P<name>\w+)\s*:\s*(?P<value>\S+)", "a param is given with `=`", "write param {name} = {value}"),
    (r"^\s*block\s+(?P<name>\w+)\s*(?P<args>\([^)]*\))?\s*:", "a block is given with `=`", "write block {name}{args} = …"),
    (r"^\s*block\s+(?P<name>\w+)\s+(?P<args>\w+(?:\s+\w+)*)\s*=", "a block's parameters go in ( )", "write block {name}({commas}) = …"),
    (r"^\s*def\s+(?P<name>\w+)\s*(?P<args>\([^)]*\))?", "`def` is Python's; a template is a block", "write block {name}{args} = …"),
    (r"^\s*from\s+(?P<lib>\S+)\s+import\s+(?P<name>[\w, ]+)", "`import` is Python's", "write use {name} from {lib}"),
    (r"^\s*import\s+(?P<name>\w+)\s+from\s+(?P<lib>\S+)", "`import` is another language's", "write use {name} from {lib}"),
    (r"^\s*(?:let|const|var|set|val|def)\s+(?P<name>\w+)\s*:?=\s*(?P<value>\S.*?)\s*$", "a value is a param", "write param {name} = {value}"),
    (r"^\s*(?:include|import|require|load)\s*\(?\s*(?P<lib>\"[^\"]+\")\)?\s*$", "`use` brings what another file has", "write use NAME from {lib}"),
    (r"^\s*\[(?:convolutional|maxpool|avgpool|connected|route|shortcut|upsample|yolo|net)\]\s*$", "this looks like a configuration of Darknet", "write a layer as a word: conv3-16/2 has 16 filters of size 3, stride 2"),
    (r"^\s*(?:filters|batch_normalize|activation|anchors)\s*=", "this looks like a configuration of Darknet", "write a layer as a word: conv3-16/2 has 16 filters of size 3, stride 2"),
    (r"^\s*return\s+(?P<layer>[A-Za-z\[]\S.*?)\s*$", "`return` is Python's; what comes last flows out", "write {layer}"),
    (r"^\s*(?P<name>[A-Za-z_]\w*)\s*\+=\s*(?P<layer>[A-Za-z\[]\S.*?)\s*$", "what is added stands in a bracket with what flows in", "write [id + {layer}]"),
    (r"^\s*repeat\s*\(?\s*(?P<n>\d+|[A-Za-z_]\w*)\s*[:,]\s*(?P<layer>[A-Za-z][^()]*?)\)?\s*$", "a repeat is written `*n` after a bracket", "write [{layer}]*{n}"),
    (r"^\s*repeat\s+(?P<n>\d+)\b", "a repeat is written `*n` after a bracket", "write […]*{n}"),
    (r"^\s*input\s*=\s*(?P<value>\d+(?:x\d+)+)\s*$", "`input` is a statement", "write input {value}"),
    (r"^\s*input\s*(?:shape|size)?\s*=\s*(?P<sizes>[\[(]\s*\d+(?:\s*,\s*\d+)+\s*[\])])\s*$", "`input` is a statement", "write input {shape}"),
    (r"^\s*output\s+(?P<value>\d+(?:x\d+)*)\s*$", "a size that flows out is a claim", "write expect output == {value}"),
    (r"(?P<head>\b(?:spatial)?dropout|\bdroppath)\s*(?:=\s*)?(?P<n>\d+(?:\.\d+)?)(?P<percent>\s*%)", "a share is an argument", "write {head}({shared})"),
    (r"(?P<head>\b(?:spatial)?dropout|\bdroppath)\s*=\s*(?P<value>\d*\.\d+)", "a share is an argument", "write {head}({value})"),
    (r"(?P<here>(?<=\S)\s*(?:>>|\|>|~>)\s*(?=[A-Za-z\[]))", "a chain is written with `->`", "write -> in its place"),
    (r"(?P<misspelt>[a-z]+\d+(?:x\d+)?(?:@\d+|-\d+//\d+)(?:/\d+)?)", "a layer is one word", "write {word}"),
    (r"(?<![\w-])(?P<width>\d+)@(?P<k>\d+)x(?P<k2>\d+)(?P<by>)", "a layer is one word", "write {word_of_sizes}"),
    (r"^\s*class\s+(?P<name>\w+)\s*[(:]", "this looks like Python", "a file is one network: model {name}, then input 3x32x32, then its layers"),
    (r"^\s*return\s+(?P<name>\w+)\s*$", "`return` is Python's; what flows out is `output`", "write output {name}"),
    (r"^\s*if\s+(?P<test>[^:]+):\s*(?P<layer>\S.*)$", "a choice is a bracket", "write [{layer} if {test}]"),
    (r"^\s*if\s+(?P<test>[^:]+):\s*$", "a choice is a bracket", "write [… if {test}], or [… if {test} else …]"),
    (r"^\s*(?P<name>\w+)\s*=\s*lambda\s+(?P<args>[\w, ]+):\s*(?P<layer>.+)$", "`lambda` is Python's; a template is a block", "write block {name}({args}) = {layer}"),
    (r"\blambda\s+(?P<args>[\w, ]+):\s*(?P<layer>.+)$", "`lambda` is Python's; a template is a block", "write block name({args}) = {layer}"),
    (r"\"\"\"(?P<text>.*?)(?:\"\"\"|$)", "a comment begins with `#`", "write # {text}"),
    (r"^\s*(?:import\s+\w+|@\w+|self\.|print\()", "this looks like Python", "a .cnn file is layers: input 3x32x32, then conv3-64 -> pool -> fc-10"),
    (r"^\s*assert\s+(?P<claim>.+)$", "`assert` is Python's; a claim is `expect`", "write expect {claim}"),
    (r"^\s*for\s+(?P<name>\w+)\s+in\s+range\(\s*(?P<n>\w+)\s*\)\s*:?", "a repeat is a bracket", "write [… for {name} in 0..{last}], or […]*{n} where the turns are alike"),
    (r"range\(\s*(?P<a>\w+)\s*,\s*(?P<b>\w+)\s*\)", "a range is written a..b, both ends included", "write {a}..{last}"),
    (r"range\(\s*(?P<n>\w+)\s*\)", "a range is written a..b, both ends included", "write 0..{last}"),
    (r"^\s*-\s*\[", "this is a list of YAML", "write the layers one a line: conv3-64/2, and name what is used later: c3: conv3-64"),
    (r"^\s*-\s+(?P<layer>[A-Za-z]\S*)\s*$", "this is a list of YAML", "drop the dash: {layer}; layers under a key go in a bracket, key: [conv3-64 -> pool]"),
    (r"^\s*(?P<name>\w+)\s*:\s*(?P<value>-?\d[\d._]*)\s*$", "a value needs a statement", "write param {name} = {value}"),
    (r"^\s*param\s+(?P<name>\w+)\s*=\s*\[(?P<value>[^\]]*)\]", "a list is written in ( )", "write param {name} = ({value})"),
    (r"\b(?:if|expect)\b.*?(?P<here>&&)", "conditions are joined by words", "write `and` in place of `&&`"),
    (r"\b(?:if|expect)\b.*?(?P<here>\|\|)", "conditions are joined by words", "write `or` in place of `||`"),
    (r"^(?!\s*expect\b)(?!.*\bif\b).*?[\w\])]\s+(?P<here>>)\s+[A-Za-z\[]", "a chain is written with `->`", "write -> in place of >"),
    (r"\{\s*(?P<a>\w+)\s*\^\s*(?P<b>\w+)", "a power is written with `**`", "write {a}**{b}"),
    (r"\]\*(?P<value>[A-Za-z_]\w*\s*[-+/]\s*\w+)", "a computed count goes in braces", "write […]*{open}{value}{close}"),
    (r"(?P<head>[A-Za-z]\w*-)(?P<value>[A-Za-z_]\w*//\w+)", "arithmetic in a layer's word goes in braces", "write {head}{open}{value}{close}"),
    (r"(?P<name>\w+)\[(?P<a>\w*):(?P<b>\w*)\]", "a part of a list is written a..b, both ends included", "write {name}[{a}..{last}]"),
    (r"^\s*default\s+(?P<name>\w+)\s*:?\s+(?P<value>\w+=\S.*)$", "a default's arguments go in ( )", "write default {name}({value})"),
    (r"^\s*use\s+(?P<name>\w+(?:\s*,\s*\w+)*)\s*$", "`use` says where from", "write use {name} from std, or use {name} from \"file.cnn\""),
    (r"^\s*use\s+(?P<name>.+?)\s+from\s+(?P<lib>[\w./-]+\.cnn)\s*$", "a file's name goes in quotes", "write use {name} from \"{lib}\"; the built-in library is std"),
    (r"^\s*input\s*(?P<sizes>[\[(]?\s*\d+(?:\s*,\s*\d+)+\s*[\])]?)", "sizes are joined by x", "write input {shape}"),
    (r"\b(?P<n>\d+(?:\.\d+)?)\s*(?P<unit>million|billion|thousand)\b", "a unit is a letter", "write {n}{letter}"),
    (r"^\s*(?:layer|layers)\s*\{", "this looks like a prototxt of Caffe", "write a layer as a word: conv3-16 is a Convolution of kernel 3 and 16 filters"),
    (r"^\s*(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<a>[A-Za-z_]\w*)\s*(?P<sign>[-+*&|@])\s*(?P<b>[A-Za-z_]\w*)\s*$", "branches are joined in a bracket, and a label is given with a colon", "write {name}: [{a} {sign} {b}]"),
    (r"^\s*(?:\w+:\s*)?(?P<listed>[A-Za-z][\w/-]*(?:\s*,\s*[A-Za-z][\w/-]*)+)\s*$", "a chain is written with `->`", "write {chain}"),
    (rf"^\s*(?:\w+:\s*)?(?:{_CONV}\s*)?(?P<k>\d+)\s*[x×]\s*(?P<k2>\d+)\s*(?:{_CONV}\s*)?,\s*(?P<width>\d+)(?:\s*,?\s*(?:strides?\s*=?|s\s*=?|/)\s*(?P<by>\d+))?\s*$", "a layer is one word", "write {word_of_sizes}"),
    (r"(?P<layer>[A-Za-z]\w*(?:-\w+)?)\s+(?:strides?|s)\s*=?\s*(?P<n>\d+)\b", "a stride is part of the layer's word", "write {layer}/{n}"),
    (r"^\s*repeat\s*\(?\s*(?P<n>\w+)\s*[:,]?\s*\[", "a repeat is written `*n` after a bracket", "write […]*{n}"),
    (r"(?P<key>\b\w+)\s*=\s*(?P<quoted>'[^'\n]*')", "words need no quotes", "{keyed}"),
    (r"^\s*\w+:\s*$", "this is a key of YAML", "a label goes before its layer, on the same line, and a list of layers in a bracket: backbone: [conv3-64 -> pool]"),
    (r"[\])]\s*[x×]\s*(?P<n>\d+)\b", "a repeat is written `*n` after a bracket", "write […]*{n}"),
    (r"(?P<layer>[A-Za-z][\w-]*)\s+(?:x\s*|×\s*)(?P<n>\d+)\s*$", "a repeat is written `*n` after a bracket", "write [{layer}]*{n}"),
    (r"(?P<head>[A-Za-z]\w*-)(?P<a>\d+)\*(?P<b>[A-Za-z_]\w*)", "arithmetic in a layer's word goes in braces", "write {head}{open}{a}*{b}{close}"),
    (r"(?P<layer>[A-Za-z][\w-]*)\s*\*\s*(?P<n>\d+)\s*$", "a repeat is written `*n` after a bracket", "write [{layer}]*{n}"),
    (r"\b(?P<n>\d+)\s*[*x×]\s*[\[(]", "a repeat is written `*n` after a bracket", "write […]*{n}"),
    (r"[)}]\s*\*\s*(?P<n>\d+)", "layers are grouped in [ ]", "write […]*{n}"),
    (r"^\s*(?:-\s*)?\w+\s*:\s*\{\s*\w+\s*:.*\}\s*$", "this is a mapping of YAML", "write a layer as a word: conv3-16/2 has 16 filters of size 3, stride 2"),
    (r"^\s*(?:\w+:\s*)?\{\s*(?P<layer>[A-Za-z][^{}]*?)\s*\}\s*$", "layers are grouped in [ ]", "write [{layer}]"),
    (r"\]\s*(?:\^|\*\*)\s*(?P<n>\d+)", "a repeat is written `*n` after a bracket", "write […]*{n}"),
    (r"'(?P<word>[^'\n]*)'", "words need no quotes, and names take \"", "write {word}"),
    (r"^\s*(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<value>-?[\d._]+(?:e-?\d+)?)\s*$", "a value needs a statement", "write param {name} = {value}"),
    (r"^\s*(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<layer>[A-Za-z\[]\S*)", "a label is given with a colon", "write {name}: {layer}"),
    (r"^\s*model\s+(?P<name>[\w.-]+[.-][\w.-]*)", "a model's name is of letters, digits and `_`", "write model {plain}"),
    (r"^\s*(?P<n>\d+)\s*:\s*(?P<layer>\S+)", "a label is a name, or quoted", 'write "{n}": {layer}'),
)  # fmt: skip


def form(line: str) -> Form | None:
    """The first habit of another language that a line shows.

    >>> form("[conv3-64] x 2").hint
    'write […]*2'
    >>> form("conv3-64 -> pool") is None
    True
    """
    bare = re.sub(r"#.*$", "", line)
    called = _row_of_yaml(bare) or _foreign_call(bare)
    if called is not None:
        return called
    for pattern, message, hint in _FORMS:
        match = re.search(pattern, bare)
        if match is not None:
            words = _words(match.groupdict())
            here = match.span("here" if "here" in words else 0)
            return Form(*here, message.format(**words), hint.format(**words))
    return None


_ROW = re.compile(
    r"\[\s*(?:-?\d+|\[[-\d, ]*\])\s*,\s*\d+\s*,\s*(?P<name>[\w.]+)\s*,\s*\[(?P<args>[^\]]*)\]\s*\]"
)
_CALL = re.compile(r"(?P<name>[A-Za-z_][\w.]*)\(")
_ADDS = re.compile(r"\w+\.(?:add|append|add_module)")
_KEY = re.compile(r"^\s*(\w+)\s*=(?!=)\s*(.*)$", re.DOTALL)


def _row_of_yaml(line: str) -> Form | None:
    """`[-1, 1, Conv, [64, 3, 2]]`: a row of a YOLO configuration, which is from, repeats, layer, arguments."""
    match = _ROW.search(line)
    if match is None:
        return None
    args = [(None, value) for value in _arguments(match["args"])]
    name = match["name"]
    if name.endswith("Upsample"):
        args = args[1:]
    if name == "Conv":
        name, args = "Conv2D", [*args, (None, "same")][:4] if len(args) == 3 else args[:1]
    hint = foreign.layer_hint(name, args) or "write one layer a line, for instance conv3-64/2"
    return Form(
        *match.span(),
        "this is a row of a YOLO configuration in YAML",
        f"{hint}; name what is used later: c3: conv3-64",
    )


def _foreign_call(line: str) -> Form | None:
    """The first call of another library's layer that no layer word can be.

    Its arguments have quotes or brackets, it is called in turn, or its name begins with a module's.
    """
    added = False
    for match in _CALL.finditer(line):
        end = _closing(line, match.end())
        inside = line[match.end() : end - 1]
        called = line[end : end + 1] == "("
        assigned = re.match(r"\s*\w+\s*=\s*$", line[: match.start()]) is not None
        if _ADDS.fullmatch(match["name"]) and "(" in inside:
            added = True  # model.add(Conv2D(16, 3)): the layer is what it is given
            continue
        of_a_module = foreign.of_a_module(match["name"])
        if not (called or assigned or added or of_a_module or re.search(r"['\"\[]", inside)):
            continue
        hint = foreign.layer_hint(match["name"], _given(inside))
        if hint is not None:
            return Form(match.start(), end, f"`{match['name']}` belongs to another library", hint)
    return None


def _given(inside: str) -> list[tuple[str | None, str]]:
    """The arguments between parentheses, each with its key."""
    found = [(_KEY.match(text), text) for text in _arguments(inside)]
    return [(match[1], match[2]) if match else (None, text) for match, text in found]


def sequence(text: str) -> Form | None:
    r"""The first `Sequential(` of a text whose layers are on further lines, with the chain that it is here.

    >>> sequence("nn.Sequential(\n    nn.Conv2d(3, 64, 3, padding=1),\n    nn.ReLU(),\n)").hint
    'write [conv3-64 -> relu]'
    """
    for match in _SEQUENTIAL.finditer(text):
        end = _closing(text, match.end())
        inside = text[match.end() : end - 1].strip()
        if "\n" not in text[match.end() : end]:
            continue
        if inside.startswith("[") and inside.endswith("]"):  # Keras takes a list
            inside = inside[1:-1]
        layers = [_layer(re.sub(r"#.*", "", part).strip()) for part in _arguments(inside)]
        chain = " -> ".join(layer for layer in layers if layer is not None)
        hint = f"write [{chain}]" if chain and None not in layers else foreign.layer_hint("Sequential")
        assert hint is not None
        return Form(match.start(), end, f"`{match['name']}` belongs to another library", hint)
    return None


_SEQUENTIAL = re.compile(r"(?P<name>(?:\w+\.)*Sequential)\(")


def _layer(text: str) -> str | None:
    """A layer of another library as its word here; None where it has none of its own."""
    match = _CALL.match(text)
    if match is None or _closing(text, match.end()) != len(text):
        return None
    word = foreign.layer(match["name"], _given(text[match.end() : -1]))
    plain = match["name"].rpartition(".")[2].lower()
    if word is None and not text[match.end() : -1].replace("inplace=True", "").strip() and plain in _PLAIN:
        return plain
    return word if word is not None and not foreign.is_more_than_a_word(word) else None


_PLAIN = frozenset({
    "relu", "relu6", "sigmoid", "tanh", "softmax", "silu", "gelu", "elu", "selu", "mish", "flatten", "hardswish",
    "softplus",
})  # fmt: skip
"""Layers that other libraries call by the name they have here."""


def _closing(line: str, start: int) -> int:
    """Behind the parenthesis that closes the one before `start`, or the end of the line."""
    depth = 1
    for i in range(start, len(line)):
        depth += (line[i] in "([") - (line[i] in ")]")
        if depth == 0:
            return i + 1
    return len(line)


def _arguments(text: str) -> list[str]:
    """Arguments parted at the commas outside brackets."""
    parts, depth = [""], 0
    for ch in text:
        depth += (ch in "([") - (ch in ")]")
        if ch == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += ch
    return [part.strip() for part in parts if part.strip()]


def _words(groups: Mapping[str, str | None]) -> dict[str, str]:
    words = {name: (value or "").strip() for name, value in groups.items()}
    upper = words.get("b") or words.get("n", "")
    words["last"] = str(int(upper) - 1) if upper.isdecimal() else f"{upper}-1"
    if "sizes" in words:
        words["shape"] = "x".join(re.findall(r"\d+", words["sizes"]))
    words["letter"] = {"million": "M", "billion": "G", "thousand": "K"}.get(words.get("unit", ""), "")
    if "quoted" in words:
        plain = words["quoted"].strip("'")
        words["keyed"] = foreign.argument(words["key"], plain) or f"write {words['key']}={plain}"
    words["chain"] = " -> ".join(re.split(r"\s*,\s*", words.get("listed", "")))
    if "k" in words:
        kernel = words["k"] if words["k"] == words["k2"] else f"{words['k']}x{words['k2']}"
        words["word_of_sizes"] = f"conv{kernel}-{words['width']}" + (f"/{words['by']}" if words["by"] else "")
    if "misspelt" in words:
        words["word"] = word_of(words["misspelt"]) or words["misspelt"]
    words["shared"] = f"{float(words['n']) / 100:g}" if "percent" in words else ""
    words["lower"] = words.get("word", "").lower()
    words["commas"] = ", ".join(words.get("args", "").split())
    words["open"], words["close"] = "{", "}"
    words["plain"] = re.sub(r"\W", "_", words.get("name", ""))
    return words
