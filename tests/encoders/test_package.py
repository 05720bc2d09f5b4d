import hashlib
import json
import pickle

import pytest
from packages import make_package

from encoders.errors import NoModel
from encoders.package import open_package, read_card


@pytest.fixture
def folder(tmp_path):
    return make_package(tmp_path / "model", dim=64)


def edit(folder, **changes):
    card = json.loads((folder / "model.json").read_text())
    card.update(changes)
    (folder / "model.json").write_text(json.dumps({k: v for k, v in card.items() if v is not ...}))


def test_a_package_opens_with_the_bytes_that_were_checked(folder):
    package = open_package(folder)
    assert package.card.name == "test" and package.card.dim == 64
    assert hashlib.sha256(package.query).hexdigest() == package.card.sha256["query.onnx"]
    assert package.path.is_absolute()


def test_the_digest_tells_models_apart(tmp_path):
    a, b, c = (make_package(tmp_path / str(n), seed=seed) for n, seed in enumerate((1, 2, 1)))
    assert read_card(a).digest == read_card(c).digest != read_card(b).digest


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": 2}, r"format: found 2; expected 1; use a package"),
        ({"sample_rate": 48000}, r"sample_rate: found 48000; expected 44100"),
        ({"window_s": 3.0}, r"window_s: found 3\.0; expected 4\.0"),
        ({"dim": 0}, r"dim: found 0; expected 1 to 65536"),
        ({"dim": True}, r"dim: found True; expected a whole number"),
        ({"dim": "256"}, r"dim: found '256'; expected a whole number"),
        ({"name": ...}, r"name: found nothing; expected text"),
        ({"licence": 3}, r"licence: found 3; expected text"),
        ({"training": "much"}, r"training: found 'much'; expected a table"),
        ({"sha256": {"query.onnx": "0" * 64}}, r"sha256 of key\.onnx: found None; expected 64 hex digits"),
        ({"sha256": {"query.onnx": "0", "key.onnx": "0"}}, r"sha256 of query\.onnx: found '0'"),
    ],
)
def test_a_wrong_card_is_refused_with_both_values(folder, changes, says):
    edit(folder, **changes)
    with pytest.raises(NoModel, match=says):
        open_package(folder)


def test_a_card_without_licence_and_training_is_used_all_the_same(folder):
    edit(folder, licence=..., training=...)
    assert (open_package(folder).card.licence, open_package(folder).card.training) == ("", {})


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\xff", '"a"'])
def test_a_card_that_is_no_card(folder, text):
    (folder / "model.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(NoModel):
        read_card(folder)


def test_no_folder(tmp_path):
    with pytest.raises(NoModel, match=r"no model\.json"):
        open_package(tmp_path / "gone")


@pytest.mark.parametrize("graph", ["query.onnx", "key.onnx"])
@pytest.mark.parametrize("damage", ["flip", "cut", "pickle", "gone"])
def test_a_damaged_graph_is_refused(folder, graph, damage):
    path = folder / graph
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes({"flip": data, "cut": data[:-100], "pickle": pickle.dumps({})}[damage])
    says = (
        "expected the graph that model.json names"
        if damage == "gone"
        else "found sha256 .*; expected [0-9a-f]{64}"
    )
    with pytest.raises(NoModel, match=says):
        open_package(folder)
