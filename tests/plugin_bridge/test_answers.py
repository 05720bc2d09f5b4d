import json
import os

import pytest

from encoders.errors import BadRequest, NoSignal
from plugin_bridge.answers import check_name, write_answer, write_failure

HIT = {
    "type": "kick",
    "rank": 1,
    "score": 0.25,
    "name": "a",
    "duration_s": 0.5,
    "guessed": False,
    "fit": None,
}


def test_json_and_tsv_carry_any_file_name(tmp_path):
    path = os.fsdecode(b"/s/caf\xe9\t1\n\\x.wav")
    write_answer(tmp_path, "reaper-1", {"hits": [{**HIT, "path": path}]})
    assert json.loads((tmp_path / "answers/reaper-1.json").read_text())["hits"][0]["path"] == path
    header, line = (tmp_path / "answers/reaper-1.tsv").read_bytes().splitlines()
    assert header == b"type\trank\tscore\tpath\tname\tduration_s"
    assert line == b"kick\t1\t0.25\t/s/caf\xe9\\t1\\n\\\\x.wav\ta\t0.5"


def test_a_failure_is_told_too(tmp_path):
    write_failure(tmp_path, "a", NoSignal("the bounce", found="silence"))
    assert json.loads((tmp_path / "answers/a.json").read_text()) == {
        "fail": {"code": "no-signal", "text": "the bounce: found silence"}
    }
    assert (tmp_path / "answers/a.tsv").read_text() == "fail\tno-signal\tthe bounce: found silence\n"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../a", "a/b", ".hidden", "a" * 65, "a\0", "ä", "a b", "C:a"]
)
def test_a_name_that_is_not_plain_is_refused(name):
    with pytest.raises(BadRequest, match="expected a plain name"):
        check_name(name)
