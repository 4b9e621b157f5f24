"""`llama-vid token`: made once, listed without secrets, revoked."""

from __future__ import annotations

import json
from pathlib import Path

from llama_vid.access_tokens import digest, read_tokens
from tests.cli.program import llama_vid, one_clear_line


def test_a_token_from_beginning_to_end(tmp_path: Path) -> None:
    (tmp_path / "llama-vid.yaml").write_text("server: {tokens_file: tokens.json}\n")
    made = llama_vid("token", "create", "kitchen", "--camera", "front,back", "--days", "30", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    assert "kitchen: watch, ask; back, front; until 20" in made.stderr
    (token,) = read_tokens(tmp_path / "tokens.json")
    assert token.sha256 == digest(secret)

    as_json = llama_vid("token", "create", "boss", "-s", "watch", "-s", "ask,admin", "--json", cwd=tmp_path)
    boss = json.loads(as_json.stdout)
    assert boss["token"].startswith("lvt_")
    assert (boss["scopes"], boss["cameras"], boss["expires"]) == (["watch", "ask", "admin"], None, None)

    listed = llama_vid("token", "list", cwd=tmp_path)
    assert secret not in listed.stdout
    assert [line.split()[1] for line in listed.stdout.splitlines()] == ["kitchen:", "boss:"]
    tokens = json.loads(llama_vid("token", "list", "--json", cwd=tmp_path).stdout)["tokens"]
    assert tokens[1] == {key: value for key, value in boss.items() if key not in ("token", "file")}

    gone = llama_vid("token", "revoke", "kitchen", "--json", cwd=tmp_path)
    assert json.loads(gone.stdout) == {"revoked": "kitchen", "id": token.id}
    assert [token.name for token in read_tokens(tmp_path / "tokens.json")] == ["boss"]


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    nowhere = llama_vid("token", "create", "a", cwd=tmp_path)
    assert nowhere.returncode == 2
    assert "names no tokens file; add" in one_clear_line(nowhere)
    scope = llama_vid("token", "create", "a", "--scope", "root", "--file", "t.json", cwd=tmp_path)
    assert "there is no scope 'root'; there are: watch, ask, admin" in one_clear_line(scope)
    unknown = llama_vid("token", "revoke", "a", "--file", "t.json", cwd=tmp_path)
    assert (unknown.returncode, "there is no token 'a'" in one_clear_line(unknown)) == (2, True)
    assert list(tmp_path.iterdir()) == []
