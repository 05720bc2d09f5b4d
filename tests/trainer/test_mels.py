"""The mel pipeline: its spectrograms are the waveforms', its mixes are their sums, its draws are the seed's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from encoders.errors import Refused
from encoders.windows import WINDOW
from trainer import mels
from trainer.mels import Mels, augment, batches
from trainer.settings import Augment, Treatment, load
from trainer.spectrogram import HOP, N_FRAMES, PowerMel

OFF = replace(
    load("small"),
    augment=Augment(probability=0.0),
    treatment=Treatment(),
    data=replace(load("small").data, batch=8, one_type=0.0),
)


@pytest.fixture(scope="module")
def stored(small_corpus) -> Mels:
    return Mels.open(small_corpus)


@pytest.fixture(scope="module")
def power(stored) -> tuple[torch.Tensor, torch.Tensor]:
    batch = next(batches(stored, OFF))
    return batch.query, batch.key


def test_a_stored_stem_is_the_spectrogram_of_its_waveform(small_corpus, stored, monkeypatch, tmp_path):
    stem = small_corpus.songs[0].stems[0]
    frame = 40
    audio = torch.from_numpy(stem.read(frame * HOP - 4 * HOP, WINDOW))
    expected = PowerMel()(audio[None])[0].T[4:300]
    found = stored.stems[0][0][frame : frame + 296].float()
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=1e-6)
    assert stored.stems[0][0].shape == (stem.n_samples // HOP + 1, 128)


def test_blocks_leave_no_seam(small_corpus, stored, monkeypatch, tmp_path):
    monkeypatch.setattr(mels, "BLOCK_FRAMES", 37)
    hits = [hit for hit in small_corpus.one_shots if hit.song == 0]
    mels._write(tmp_path / "mels" / "parts", small_corpus.songs[0], hits, PowerMel())
    parts = torch.from_numpy(np.fromfile(tmp_path / "mels" / "parts", np.int16)).view(torch.bfloat16)
    whole = torch.cat([*stored.stems[0], *stored.one_shots[: len(hits)]]).flatten()
    torch.testing.assert_close(parts.float(), whole.float(), rtol=1e-2, atol=1e-6)


def test_they_are_made_once(small_corpus, stored, monkeypatch):
    monkeypatch.setattr(mels, "_write", lambda *_: pytest.fail("made again"))
    again = Mels.open(small_corpus)
    assert all(map(torch.equal, again.one_shots, stored.one_shots))


def test_a_corpus_that_cannot_be_written_is_refused(small_corpus, tmp_path):
    (tmp_path / "mels").write_text("a file where the folder should be")
    with pytest.raises(Refused, match="can be written"):
        Mels.open(replace(small_corpus, path=tmp_path))


def test_a_query_lacks_the_stem_of_its_key(small_corpus, stored):
    """A song whose stems are given powers of two tells from the sum which of them are in it."""
    row = small_corpus.query_rows("train")[0]
    hit = small_corpus.one_shots[row]
    n_stems = len(small_corpus.songs[hit.song].stems)
    marked = tuple(torch.full((600, 128), 2.0**place, dtype=torch.bfloat16) for place in range(n_stems))
    stems = tuple(marked if song == hit.song else stored.stems[song] for song in range(len(stored.stems)))
    seen = set()
    for seed in range(60):
        total = mels._mix(replace(stored, stems=stems), row, OFF, np.random.default_rng(seed))
        assert total.shape == (N_FRAMES, 128) and (total == total[0, 0]).all()
        chosen = {place for place in range(n_stems) if int(total[0, 0]) >> place & 1}
        assert hit.stem not in chosen
        seen.add(len(chosen))
    assert seen == set(range(2, n_stems))


def test_a_batch_is_its_seed_and_step(stored):
    first, second, third = (next(batches(stored, OFF, first_step=step)) for step in (0, 0, 1))
    assert torch.equal(first.query, second.query) and torch.equal(first.key, second.key)
    assert not torch.equal(first.query, third.query)
    stream = batches(stored, OFF)
    next(stream)
    assert torch.equal(next(stream).query, third.query)


def test_a_batch_takes_each_song_once_where_there_are_enough(stored):
    assert len(set(next(batches(stored, OFF)).song.tolist())) == 8


def test_one_type_batches_are_of_one_type(stored):
    settings = replace(OFF, data=replace(OFF.data, one_type=1.0))
    assert len(set(next(batches(stored, settings)).type.tolist())) == 1


def test_second_views_are_of_the_same_song(small_corpus, stored):
    batch = next(batches(stored, replace(OFF, loss=replace(OFF.loss, invariance=1.0))))
    by_content = {hit.content: hit.song for hit in small_corpus.one_shots}
    assert [by_content[content] for content in batch.content2.tolist()] == batch.song.tolist()
    assert batch.query2.shape == batch.query.shape


def test_nothing_asked_nothing_changed(power):
    query, key = augment(*power, OFF, torch.Generator())
    assert torch.equal(query, power[0]) and torch.equal(key, power[1])


@pytest.mark.parametrize("preset", ["small"])
def test_augmentation_is_finite_and_repeats_with_its_seed(power, preset):
    results = [augment(*power, load(preset), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    for view in (0, 1):
        assert torch.isfinite(results[0][view]).all() and (results[0][view] >= 0).all()
        assert torch.equal(results[0][view], results[1][view])
        assert not torch.equal(results[0][view], results[2][view])


def test_a_treatment_is_shared_by_a_pair(power):
    """With no part of its own, a curve makes the same difference in decibels to query and key."""
    settings = replace(OFF, treatment=Treatment(probability=1.0, own=0.0, eq_db=6.0, shelf_db=3.0))
    loud = [view + 1.0 for view in power]
    treated = augment(*loud, settings, torch.Generator().manual_seed(0))
    curves = [10 * torch.log10(after / before) for after, before in zip(treated, loud, strict=True)]
    torch.testing.assert_close(curves[0], curves[1], atol=1e-3, rtol=0)
    assert curves[0].std() > 1


def test_shift_moves_and_stretch_reads_faster():
    x = torch.zeros(1, 50, 2)
    x[0, 20] = 1
    place = torch.arange(50.0)[None]
    assert mels._moved(x, place - 5)[0, 25, 0] == 1
    assert mels._moved(x, place * 2)[0, 10, 0] == 1
    assert mels._moved(x, place - 45).sum() == 0  # moved out, nothing comes round


def test_tuning_shifts_the_bins():
    x = torch.zeros(3, 5, 128)
    x[:, :, 20] = 1
    up, down, half = mels._tuned(x, torch.tensor([2.0, -1.0, 0.5])[:, None, None])
    assert (up[:, 22] == 1).all() and (down[:, 19] == 1).all()
    assert (half[:, 20:22] == 0.5).all()


def test_a_room_rings_and_keeps_its_send():
    x = torch.zeros(1, 345, 128)
    x[0, 0] = 1
    wet = mels._room(x, torch.tensor([[0.5]]), torch.tensor([[-6.0]]))
    tail = wet - x
    torch.testing.assert_close(tail.sum(1), torch.full((1, 128), 10**-0.6), rtol=1e-2, atol=0)
    fall_db = 10 * torch.log10(tail[0, 1, 0] / tail[0, 1 + round(0.25 * 44_100 / HOP), 0])
    assert fall_db == pytest.approx(30, abs=1)


def test_compression_spares_the_soft_and_lowers_the_loud():
    x = torch.ones(1, 10, 128)
    x[0, 0] = 100
    y = mels._compressed(x, torch.tensor([[2.0]]))
    assert torch.equal(y[0, 1:], x[0, 1:])
    mean = 109 / 10
    assert y[0, 0, 0].item() == pytest.approx(100 / (100 / mean) ** 0.5, rel=1e-4)
