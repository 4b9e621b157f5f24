"""One owner of a journal at a time: a number that grows, checked in every transaction."""

from __future__ import annotations

from pathlib import Path

import pytest

from llama_vid.memory.journal import Journal
from llama_vid.memory.lease import FencedError
from llama_vid.memory.records import Record


def noted(journal: Journal) -> list[str]:
    return [record.text for record in journal.camera("front").records("note", 0, 100)]


def note(journal: Journal, text: str) -> None:
    journal.camera("front").note(Record("note", 1.0, 2.0, text))


def test_an_owner_that_was_followed_by_another_writes_nothing_more(tmp_path: Path) -> None:
    with Journal(tmp_path, epoch=1) as old:
        note(old, "mine")
        assert old.flush()
        (tmp_path / "journal.lock").unlink()  # as on shared storage whose lock has run out
        with Journal(tmp_path, epoch=2) as new:
            assert noted(new) == ["mine"]
            note(old, "late")
            assert not old.flush(timeout=2)
            assert "taken over" in old.state.reason
            note(new, "theirs")
            assert new.flush()
            assert noted(new) == ["mine", "theirs"]


def test_a_smaller_number_cannot_take_over(tmp_path: Path) -> None:
    with Journal(tmp_path, epoch=7):
        pass
    with pytest.raises(FencedError) as refused:
        Journal(tmp_path, epoch=6)
    assert refused.value.epoch == 7
    with Journal(tmp_path, epoch=7) as again:  # the same owner, restarted
        assert again.state.ok


def test_a_journal_without_a_number_is_nobody_s(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        note(journal, "alone")
        assert journal.flush()
    with Journal(tmp_path, epoch=1) as owned:
        assert noted(owned) == ["alone"]
