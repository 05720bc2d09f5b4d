"""Keys nobody needs any more go: of models left twice, of sounds without a file; and the disk gets them back."""

from __future__ import annotations

from contextlib import closing

import pytest

from index import cleaning
from index.cache import FOLDER
from index.catalogue import Catalogue, model_id, read_only
from index.cleaning import forget_sounds
from tests.index.conftest import StandIn, paths_of, write_hit

N = 30


def models_with_keys(state) -> set[str]:
    """Digests of the models that have keys in the catalogue."""
    with read_only(state) as db:
        rows = db.execute("SELECT DISTINCT digest FROM models JOIN vectors ON vectors.model = models.id")
        return {digest for (digest,) in rows}


@pytest.mark.parametrize("how", ["adopt", "open"])
def test_the_model_before_keeps_its_keys_and_any_other_loses_them(opened, drums, tmp_path, how):
    for seed in range(N):
        write_hit(drums / f"kick {seed}.wav", seed)
    first, second, third = (StandIn(seed) for seed in range(3))
    library = opened(first)
    library.add(str(drums))

    def use(model: StandIn) -> None:
        nonlocal library
        if how == "adopt":
            library.adopt(model)
        else:
            library = opened(model)
            library.sync()

    def digests(*models: StandIn) -> set[str]:
        return {model.card.digest for model in models}

    state = tmp_path / "state"
    use(second)
    assert models_with_keys(state) == digests(first, second)
    use(first)
    assert first.n_encoded == N, "going back encodes nothing"
    left = state / FOLDER / second.card.digest[:32]
    left.mkdir(parents=True, exist_ok=True)
    use(third)
    assert models_with_keys(state) == digests(first, third)
    assert not left.exists()
    use(second)
    assert second.n_encoded == 2 * N and len(paths_of(library)) == N


def test_sounds_without_a_file_go_once_they_outnumber_the_others(opened, drums, tmp_path, monkeypatch):
    monkeypatch.setattr(cleaning, "SPARE", 5)
    model = StandIn()
    for seed in range(N):
        write_hit(drums / f"kick {seed}.wav", seed)
    library = opened(model)
    library.add(str(drums))
    library.mark(str(drums / "kick 29.wav"), "like")

    def sync_with(first: int, last: int) -> int:
        for seed in range(N):
            (drums / f"kick {seed}.wav").unlink(missing_ok=True)
            if first <= seed < last:
                write_hit(drums / f"kick {seed}.wav", seed)
        before = model.n_encoded
        library.sync()
        forget_sounds(library._catalogue)
        return model.n_encoded - before

    assert sync_with(0, 20) == 0
    assert sync_with(0, N) == 0, "ten sounds away are less than twenty and the spare"
    assert sync_with(0, 12) == 0
    assert sync_with(0, N) == 18, "eighteen are more than twelve and the spare"
    with read_only(tmp_path / "state") as db:
        assert db.execute("SELECT count(*) FROM marks").fetchone() == (1,)
        assert db.execute("SELECT count(*) FROM vectors").fetchone() == (N,)


def test_the_disk_gets_back_what_was_dropped(tmp_path):
    with closing(Catalogue(tmp_path)) as catalogue:
        with catalogue.change() as db:
            model = model_id(db, "a")
            db.executemany(
                "INSERT INTO vectors (model, content, vector) VALUES (?, ?, ?)",
                [(model, number.to_bytes(16, "big"), bytes(1024)) for number in range(2000)],
            )
        catalogue.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        before = catalogue.path.stat().st_size
        with catalogue.quietly() as db:
            db.execute("DELETE FROM vectors WHERE id > 200")
        catalogue.shrink()
        assert catalogue.path.stat().st_size < before / 4
        assert catalogue.db.execute("SELECT count(*) FROM vectors").fetchone() == (200,)
