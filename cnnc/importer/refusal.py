"""What cannot be imported, told with the operator, the module's path and the source line."""

from __future__ import annotations

from cnnc.dsl.diagnostics import CnncError, fail
from cnnc.importer.traced import Step


class Refusal(Exception):
    """A bare fact: what the language lacks. `at` adds where."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


def at(step: Step, refusal: Refusal) -> CnncError:
    """The refusal with the operator and its place."""
    return fail("E805", f"cannot import `{step.op}`: {refusal.what}", hint=f"it is in {step.where}")
