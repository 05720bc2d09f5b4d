"""What the trainer's tests share: the maker of songs, and a small corpus that is prepared once."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["test_*.py"]  # without the `train` extra


@pytest.fixture(scope="session")
def songs() -> ModuleType:
    """tests/trainer/songs.py, loaded by its path: tests are no package."""
    path = Path(__file__).with_name("songs.py")
    spec = importlib.util.spec_from_file_location("trainer_test_songs", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def small_corpus(songs: ModuleType, tmp_path_factory: pytest.TempPathFactory):
    """A prepared corpus of 10 songs of 6 s, opened: 8 train, 1 eval, 1 test."""
    from trainer.corpus import Corpus
    from trainer.prepare import prepare

    folder = tmp_path_factory.mktemp("small-corpus")
    songs.make_songs(folder / "stems", n_songs=10)
    prepare(folder / "stems", folder / "corpus")
    return Corpus.open(folder / "corpus")
