"""A running daemon follows `samplefit model use`: the new model's keys are made aside, then the pair is swapped."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from encoders.errors import SamplefitError
from encoders.package import open_package
from encoders.session import open_encoder
from index.library import Library
from plugin_bridge.progress import Progress
from plugin_bridge.settings import model_in_use

log = logging.getLogger(__name__)


class Switch:
    """Looks now and then whether another model was chosen, and goes over to it on a thread of its own.

    A model that cannot be used is told in the log once, and left until another is chosen.

    Attributes:
        serving: the folder of the model that answers.
    """

    def __init__(self, state: Path, library: Library, serving: Path) -> None:
        self._state, self._library = state, library
        self.serving = self._chosen = serving
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Begins to go over where that is due. Raises nothing: damaged settings change no model."""
        if self._thread and self._thread.is_alive():
            return
        try:
            chosen = model_in_use(self._state)
        except SamplefitError:
            return
        if chosen != self._chosen:
            self._chosen = chosen
            self._thread = threading.Thread(target=self._go_over, args=(chosen,), name="switch", daemon=True)
            self._thread.start()

    def _go_over(self, chosen: Path) -> None:
        log.info("going over to the model %s", chosen)
        progress = Progress(f"encoding for {chosen.name}", "files")
        try:
            self._library.adopt(open_encoder(open_package(chosen)), progress)
        except SamplefitError as error:
            log.warning("the model stays as it is: %s", error.text)
        else:
            self.serving = chosen
            log.info("the model %s answers now", chosen)
        finally:
            progress.close()
