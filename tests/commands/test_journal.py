"""The file of `personlab predict --jsonl` is read in blocks, while it is written and after."""

from __future__ import annotations

import pytest
from json_lines import lines, without_run

from personlab.commands import journal


def test_many_results_become_json_in_blocks(tmp_path, monkeypatch):
    """Lines that cross the border of what is read at once."""
    monkeypatch.setattr(journal, "_BLOCK", 50)
    one = journal.Journal(str(tmp_path / "r.jsonl"), "1-a-b")
    records = [
        {
            "file": "v",
            "frame": i,
            "time": 0.0,
            "image_id": i,
            "size": [9, 9],
            "people": [{"keypoints": [i, i, 1] * (i % 9 + 1), "score": 1.0, "probabilities": [0.5] * (i % 9 + 1)}],
        }
        for i in range(40)
    ]
    for record in records:
        one.add(record)
    assert without_run(one.records()) == records
    assert [result["image_id"] for result in one.keypoints()] == list(range(40))
    iterator = one.records()
    next(iterator)
    one.add({**records[0], "file": "w"})  # while the lines are read
    assert len(list(iterator)) == 40
    assert list(one.records("none")) == []
    one.close()
    again = journal.Journal(str(tmp_path / "r.jsonl"), "1-a-b", resume=True)
    assert again.take_back("w")["image_id"] == 0
    again.close()
    assert len(lines(tmp_path / "r.jsonl")) == 40


PERSON = (
    '{"file":"a","run":"","image_id":1,"frame":0,"size":%s,'
    '"people":[{"score":1.0,"keypoints":%s,"probabilities":%s%s}]}\n'
)


@pytest.mark.parametrize(
    "content",
    [
        "notes of mine\n",
        "notes without an end",
        '{"file": "a"}\n',
        "[1, 2]\n",
        '{"file":3,"run":"","image_id":1,"people":[],"frame":0}\n',
        '{"file":"a","run":"","image_id":1,"people":[{"score":1.0}],"frame":0}\n',
        '{"file":"a","run":"","image_id":1,"people":[],"frame":0,"size":[0,0]}\n',
        '{"file":"a","run":"","image_id":1,"people":[],"frame":"0","size":[9,9]}\n',
        PERSON % ("[9,9]", "[]", "[]", ""),
        PERSON % ("[9,9]", "[1,2,3]", "[1,1]", ""),
        PERSON % ("[9,9]", "[1,2,NaN]", "[1]", ""),
        PERSON % ("[9,9]", '[1,2,"3"]', "[1]", ""),
        PERSON % ("null", "[1,2,3]", "[1]", ""),
        PERSON % ("[9,9]", "[1,2,3]", "[1]", ',"mask":null'),
        PERSON % ("[9,9]", "[1,2,3]", "[1]", ',"mask":{"size":[9,9],"counts":[81]},"mask_score":0.5'),
        PERSON % ("[9,9]", "[1,2,3]", "[1]", ',"mask":{"counts":"T2"},"mask_score":0.5'),
    ],
)
def test_a_file_that_is_no_journal_is_not_touched(tmp_path, content):
    file = tmp_path / "r.jsonl"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"r\.jsonl: expected a result of predict in line 1, got something else"):
        journal.Journal(str(file), "1-a-b", resume=True)
    assert file.read_text() == content
