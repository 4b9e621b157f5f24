"""The section `llm:`: which engine, where its server is, and mistakes in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from llama_vid.config import load_config
from llama_vid.errors import ConfigError


def written(folder: Path, openai: str, engine: str = "openai") -> Path:
    path = folder / "llama-vid.yaml"
    path.write_text(f"llm:\n  engine: {engine}\n  openai:\n    {openai}\n")
    return path


def test_nothing_is_remote_unless_it_is_said(tmp_path: Path) -> None:
    assert load_config(None).llm.remote() is None
    path = written(tmp_path, "{base_url: 'https://a.example', model: m}", engine="local")
    assert load_config(path).llm.remote() is None


def test_the_options_of_a_server(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-secret\n")
    values = (
        "{base_url: 'https://a.example/', model: m, api_key_file: key, timeout: 2m, temperature: null, cameras: [a]}"
    )
    config = load_config(written(tmp_path, values))
    options = config.llm.remote(tmp_path)
    assert options is not None
    assert (options.base_url, options.key, options.first_s) == ("https://a.example/v1", "sk-secret", 120.0)
    assert (options.temperature, options.cameras) == (None, frozenset({"a"}))
    assert "sk-secret" not in repr(options) + repr(config)


def test_a_key_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = load_config(written(tmp_path, "{base_url: 'https://a.example', model: m, api_key_env: MY_KEY}")).llm
    with pytest.raises(ConfigError, match="has no MY_KEY"):
        llm.remote()
    monkeypatch.setenv("MY_KEY", "sk-1")
    options = llm.remote()
    assert options is not None
    assert options.key == "sk-1"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            "{base_url: 'https://a.example', model: m, max_image: 3}",
            "llama-vid.yaml:4: unknown key 'max_image'; did you",
        ),
        ("{base_url: 'https://a.example'}", "'llm.openai.model' is missing"),
        ("{base_url: 'http://a.example', model: m}", "use https, or say plain_http: true"),
        ("{base_url: 'http://8.8.8.8/v1', model: m}", "not on a private network"),
        ("{base_url: 'https://me:hunter2@a.example', model: m}", "api_key_file"),
        ("{base_url: 'ftp://a.example', model: m}", "no web address"),
        ("{base_url: 'https://a.example', model: m, api_key_file: k, api_key_env: K}", "keep one"),
        ("{base_url: 'https://a.example', model: m, requests_per_hour: 0}", "requests_per_hour"),
    ],
)
def test_mistakes_say_what_and_where(tmp_path: Path, values: str, said: str) -> None:
    with pytest.raises(ConfigError) as failure:
        load_config(written(tmp_path, values))
    assert said in str(failure.value)
    assert "hunter2" not in str(failure.value)


@pytest.mark.parametrize("host", ["127.0.0.1:11434", "localhost", "ollama:11434", "gpu.lan", "[::1]:8000", "10.1.2.3"])
def test_private_servers_may_be_plain(tmp_path: Path, host: str) -> None:
    options = load_config(written(tmp_path, f"{{base_url: 'http://{host}', model: m}}")).llm.remote()
    assert options is not None
    assert options.base_url == f"http://{host}/v1"


def test_an_engine_needs_its_section(tmp_path: Path) -> None:
    path = tmp_path / "llama-vid.yaml"
    path.write_text("llm: {engine: openai}\n")
    with pytest.raises(ConfigError, match=r"needs a section llm\.openai"):
        load_config(path)


def test_a_missing_key_file_is_said(tmp_path: Path) -> None:
    llm = load_config(written(tmp_path, "{base_url: 'https://a.example', model: m, api_key_file: key}")).llm
    with pytest.raises(ConfigError, match="there is no file"):
        llm.remote(tmp_path)
