"""Feature maps as boxes in space, their sizes from the real shapes: SVG and TikZ, without Graphviz."""

from cnnc.backends.volumes.drawing import draw, scene
from cnnc.backends.volumes.plan import Flow, Plan, Stripe, Volume, plan_of
from cnnc.backends.volumes.write import svg, tikz

__all__ = ["Flow", "Plan", "Stripe", "Volume", "draw", "plan_of", "scene", "svg", "tikz"]
