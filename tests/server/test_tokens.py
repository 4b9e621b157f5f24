"""The tokens file, the browsers beside it, and the buckets that count."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from llama_vid.access import Scope
from llama_vid.access_desk import AccessDesk
from llama_vid.access_rates import MOST_BUCKETS, Rates
from llama_vid.access_sessions import LIFETIME_S, MOST_OF_TOKEN, Sessions
from llama_vid.access_tokens import create_token, digest, read_tokens, revoke_token
from llama_vid.errors import ConfigError


def test_only_the_hash_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    made = create_token(file, "phone", ["ask", "watch"], ["front", "back", "front"])
    assert made.secret.startswith("lvt_")
    assert len(made.secret) == 47
    assert made.secret not in repr(made)
    text = file.read_text()
    assert made.secret not in text
    assert made.secret[4:20] not in text
    assert file.stat().st_mode & 0o777 == 0o600
    (token,) = read_tokens(file)
    assert token == made.token
    assert token.sha256 == digest(made.secret)
    assert (token.scopes, token.cameras, token.expires) == (["watch", "ask"], ["back", "front"], None)
    assert create_token(file, "phone-2").secret != made.secret
    assert [path.name for path in tmp_path.iterdir()] == ["tokens.json"]


def test_many_programs_may_make_tokens_at_once(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    threads = [threading.Thread(target=create_token, args=(file, f"t{number}")) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert {token.name for token in read_tokens(file)} == {f"t{number}" for number in range(12)}


@pytest.mark.parametrize("name", ["", " ", "x" * 65, "a\nb", "\x1b[31mred", " padded", "nul\x00"])
def test_names_that_are_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="token: name: "):
        create_token(tmp_path / "tokens.json", name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("camera", ["../front", "a b", "", "front\n", "x" * 65])
def test_cameras_that_are_none(tmp_path: Path, camera: str) -> None:
    with pytest.raises(ConfigError, match=r"token: cameras"):
        create_token(tmp_path / "tokens.json", "phone", cameras=[camera])


@pytest.mark.parametrize("days", [0, -1, 4000, float("nan"), float("inf")])
def test_times_that_are_none(tmp_path: Path, days: float) -> None:
    with pytest.raises(ConfigError, match="token: days"):
        create_token(tmp_path / "tokens.json", "phone", days=days)


def test_a_name_is_taken_until_it_is_revoked(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    first = create_token(file, "phone")
    for name in ("phone", first.token.id):
        with pytest.raises(ConfigError, match="already; revoke it first"):
            create_token(file, name)
    with pytest.raises(ConfigError, match="no token 'fone'; there are: phone"):
        revoke_token(file, "fone")
    assert revoke_token(file, first.token.id) == first.token
    assert create_token(file, "phone").token.id != first.token.id


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "not a tokens file"),
        ("[]", "not a tokens file"),
        ("[" * 5000, "not a tokens file"),
        ('{"version": 2}', "version"),
        ('{"tokens": [{"id": "abcd"}]}', r"tokens\.0\.name"),
        ('{"tokens": [], "extra": 1}', "extra"),
        ("\x00\xff", "not a tokens file"),
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str, what: str) -> None:
    file = tmp_path / "tokens.json"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(ConfigError, match=what):
        read_tokens(file)
    with pytest.raises(ConfigError, match=what):
        create_token(file, "phone")
    assert file.read_text() == text  # what is not understood is not overwritten


def test_hashes_are_in_no_error(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    made = create_token(file, "phone")
    tree = json.loads(file.read_text())
    tree["tokens"][0]["scopes"] = ["everything"]
    file.write_text(json.dumps(tree))
    with pytest.raises(ConfigError) as problem:
        read_tokens(file)
    assert made.token.sha256 not in str(problem.value)
    assert made.token.sha256 not in repr(made.token)


def test_no_folder_and_no_permission(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make it first"):
        create_token(tmp_path / "none" / "tokens.json", "phone")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_tokens(tmp_path / "none.json")
    with pytest.raises(ConfigError, match="no token 'phone'; there are: none"):
        revoke_token(tmp_path / "none.json", "phone")


def test_browsers_are_bounded_and_end(tmp_path: Path) -> None:
    now = 1000.0
    sessions = Sessions(tmp_path / "sessions", lambda: now)
    cookies = [sessions.begin("one") for _ in range(MOST_OF_TOKEN + 1)]
    other = sessions.begin("two")
    assert sessions.find(cookies[0]) is None  # the oldest of its token went
    assert sessions.find(cookies[1]) is not None
    assert (found := sessions.find(other)) is not None
    assert found.token_id == "two"
    assert Sessions(tmp_path / "sessions", lambda: now).find(other) == found
    sessions.keep(["two"])
    assert sessions.find(cookies[1]) is None
    now += LIFETIME_S
    assert sessions.find(other) is None


def test_a_broken_sessions_file_costs_signing_in_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "sessions"
    path.write_text("{")
    sessions = Sessions(path)
    assert sessions.find("x") is None
    assert "browsers sign in again" in caplog.text
    assert sessions.find(sessions.begin("one")) is not None
    gone = Sessions(tmp_path / "none" / "sessions")
    assert gone.find(gone.begin("one")) is not None
    assert "cannot be written" in caplog.text


def test_buckets() -> None:
    now = 0.0
    rates = Rates(2.0, 4.0, clock=lambda: now)
    assert [rates.take("a") for _ in range(4)] == [0.0] * 4
    assert rates.take("a") == 0.5
    assert rates.take("b") == 0.0
    now = 0.5
    assert rates.take("a") == 0.0
    assert rates.take("a") == 0.5
    now = 100.0
    assert [rates.take("a") for _ in range(5)] == [0.0] * 4 + [0.5]
    for number in range(2 * MOST_BUCKETS):
        rates.take(f"address {number}")
    assert len(rates) == MOST_BUCKETS


def test_rights_hold_until_they_change(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    scopes: list[Scope] = ["watch"]
    made = create_token(file, "phone", scopes)
    desk = AccessDesk(file)
    access = desk.by_token(made.secret, "192.0.2.1")
    assert access is not None
    assert desk.holds(access)
    text = file.read_text()
    file.write_text(text.replace('"watch"', '"ask"'))  # by hand: other rights, same token
    assert not desk.holds(access)
    now = desk.by_token(made.secret, "192.0.2.1")
    assert now is not None
    assert now.scopes == {"ask"}
