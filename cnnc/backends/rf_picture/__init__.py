"""The receptive field of one unit, followed back through the net to the input: SVG and TikZ."""

from cnnc.backends.rf_picture.drawing import scene, svg, tikz
from cnnc.backends.rf_picture.trail import Step, Trail, trail_of

__all__ = ["Step", "Trail", "scene", "svg", "tikz", "trail_of"]
