"""Modules that are kept as they are."""

from __future__ import annotations

import re

from cnnc.compiler.ops import op_words
from cnnc.dsl.tokens import RESERVED, STATEMENTS
from cnnc.importer.layout import Value
from cnnc.importer.refusal import Refusal
from cnnc.importer.traced import Step
from cnnc.importer.translate import Translation, rule


@rule("cnnc_extern")
def extern(work: Translation, step: Step) -> Value:
    value = work.value(step.args["input"])
    source = work.positional(value)
    if value.batch is None:
        raise Refusal("a module that is kept takes a tensor without a batch")
    word = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", step.where.kind).lower()
    if word in op_words() or word in RESERVED or word in STATEMENTS or word[-1].isdigit():
        word += "_module"
    node = work.layer("extern", (source,), head=word)
    work.spec.lines[node].outside = step.args["outside"]
    return work.fresh(node, work.output_shape(), value.batch)
