"""The starter corpus: from open songs, kits and soundfonts to the stems that the starter model is trained on."""

from trainer.starter.plan import Sources
from trainer.starter.render import Progress, Report, render_starter

__all__ = ["Progress", "Report", "Sources", "render_starter"]
