"""The starter corpus: from open songs, kits and soundfonts to the stems that the starter model is trained on."""

from trainer.starter.render import Progress, Report, Sources, render_starter

__all__ = ["Progress", "Report", "Sources", "render_starter"]
