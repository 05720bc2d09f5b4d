from dataclasses import dataclass, field
from typing import Literal

import pytest

from encoders.errors import BadRequest, NotFound
from encoders.tables import build, nearest, read_toml


@dataclass(frozen=True)
class Inner:
    size: int = 1


@dataclass(frozen=True)
class Outer:
    name: str
    ratio: float = 0.5
    mode: Literal["a", "b"] = "a"
    names: tuple[str, ...] = ()
    limit: float | None = None
    inner: Inner = field(default_factory=Inner)


def test_a_table_becomes_the_dataclass():
    table = {"name": "x", "ratio": 2, "mode": "b", "names": ["p"], "limit": 1, "inner": {"size": 3}}
    assert build(Outer, table, "f.toml") == Outer("x", 2.0, "b", ("p",), 1.0, Inner(3))


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (
            {"name": "x", "raito": 1.0},
            r"f\.toml: raito: found an unknown key; expected ratio; correct the name",
        ),
        ({"name": "x", "inner": {"sise": 1}}, r"f\.toml: inner\.sise: found an unknown key; expected size"),
        ({"name": 3}, r"f\.toml: name: found 3; expected text"),
        ({"name": "x", "ratio": "1"}, r"ratio: found '1'; expected a number"),
        ({"name": "x", "inner": {"size": True}}, r"size: found True; expected a whole number"),
        ({"name": "x", "mode": "c"}, r"mode: found 'c'; expected 'a' or 'b'"),
        ({"name": "x", "names": "p"}, r"names: found 'p'; expected a list"),
        ({"name": "x", "names": [1]}, r"names: found 1; expected text"),
        ({"name": "x", "inner": 1}, r"inner: found 1; expected a table"),
        ({}, r"f\.toml: name: found nothing; expected a value"),
    ],
)
def test_what_is_wrong_is_refused_by_name(table, says):
    with pytest.raises(BadRequest, match=says):
        build(Outer, table, "f.toml")


def test_reading(tmp_path):
    with pytest.raises(NotFound):
        read_toml(tmp_path / "gone.toml")
    (tmp_path / "bad.toml").write_bytes(b"a = \xff")
    with pytest.raises(BadRequest, match="expected TOML"):
        read_toml(tmp_path / "bad.toml")
    (tmp_path / "good.toml").write_text("a = 1")
    assert read_toml(tmp_path / "good.toml") == {"a": 1}


def test_nearest():
    assert nearest("kik", ["kick", "snare"]) == "kick"
    assert nearest("zzz", ["kick", "snare"]) == "kick, snare"
