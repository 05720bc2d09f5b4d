"""Suggest Drums for Ableton Live: a Remote Script. Live looks for `create_instance` here."""

from .samplefit import Samplefit


def create_instance(c_instance):
    """What Live calls when the control surface is chosen."""
    return Samplefit(c_instance)
