"""The whole kit is the best joint choice: no combination beats it, and it is not each type's best."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.drum_types import SIX, TYPES
from plugin_bridge.panel.kit import MAX_KITS, choose_kit


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def drawn(seed, sizes):
    """Scores, best first, and keys of some types."""
    rng = np.random.default_rng(seed)
    scores = {t: np.sort(rng.normal(size=n).astype(np.float32))[::-1] for t, n in sizes.items()}
    return scores, {t: unit(rng.normal(size=(n, 16))).astype(np.float32) for t, n in sizes.items()}


def z(values):
    spread = values.std()
    return (values - values.mean()) / spread if spread > 1e-6 else 0 * values


def all_kits(scores, keys, together):
    """Kit → value, by the docs' sentence, kit by kit."""
    types = list(scores)
    rest = {t: unit(keys[t] - keys[t].mean(axis=0)) for t in types}
    pairs = list(itertools.combinations(types, 2))
    flat = z(np.concatenate([(rest[a] @ rest[b].T).ravel() for a, b in pairs]))
    ends = np.cumsum([0] + [len(rest[a]) * len(rest[b]) for a, b in pairs])
    alike = {
        p: flat[i:j].reshape(len(rest[p[0]]), -1) for p, i, j in zip(pairs, ends, ends[1:], strict=False)
    }
    own = {t: z(scores[t]) for t in types}

    def value(kit):
        at = dict(zip(types, kit, strict=True))
        fit = np.mean([own[t][at[t]] for t in types])
        return fit + together * np.mean([alike[a, b][at[a], at[b]] for a, b in pairs])

    return {kit: value(kit) for kit in itertools.product(*(range(len(scores[t])) for t in types))}


@settings(max_examples=30)
@given(st.integers(0, 1000), st.lists(st.integers(2, 5), min_size=2, max_size=4), st.floats(0, 3))
def test_no_other_kit_has_a_larger_sum_of_fit_and_likeness(seed, sizes, together):
    scores, keys = drawn(seed, dict(zip(TYPES, sizes, strict=False)))
    kits = all_kits(scores, keys, together)
    choice = choose_kit(scores, keys, together)
    assert choice.n_kits == len(kits)
    assert kits[tuple(choice.kit.places.values())] == pytest.approx(max(kits.values()), abs=1e-4)
    assert choice.kit.score + together * choice.kit.likeness == pytest.approx(max(kits.values()), abs=1e-4)


def test_hits_that_only_fit_together_are_found():
    """Where changing one hit after another, from each type's best, ends at a lesser kit."""
    stuck = 0
    for seed in range(20):
        scores, keys = drawn(seed, dict.fromkeys(SIX[:3], 4))
        kits = all_kits(scores, keys, 1.0)
        kit = (0, 0, 0)
        while True:
            near = [k for k in kits if sum(a != b for a, b in zip(k, kit, strict=True)) <= 1]
            better = max(near, key=kits.__getitem__)
            if better == kit:
                break
            kit = better
        found = tuple(choose_kit(scores, keys).kit.places.values())
        assert kits[found] == pytest.approx(max(kits.values()), abs=1e-4)
        stuck += kit != found
    assert stuck, "no seed tells the two ways apart"


def test_without_weight_on_likeness_each_type_has_its_best():
    scores, keys = drawn(1, dict.fromkeys(SIX, 4))
    assert set(choose_kit(scores, keys, together=0.0).kit.places.values()) == {0}


def test_a_kit_of_one_type_is_its_best_hit():
    scores, keys = drawn(2, {"kick": 5})
    assert choose_kit(scores, keys).kit.places == {"kick": 0}


@pytest.mark.parametrize(("n_types", "n_hits"), [(6, 10), (6, 50), (9, 10), (2, 1000), (1, 1000)])
def test_as_many_kits_as_there_is_time_for(n_types, n_hits):
    scores, keys = drawn(5, dict.fromkeys(TYPES[:n_types], n_hits))
    assert MAX_KITS / 30 < choose_kit(scores, keys).n_kits <= MAX_KITS or n_types == 1
