"""The `captions:` key of a camera in the settings: true, false, or what is wanted of them."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, field_validator

from llama_vid.settings_section import Section

#: What Whisper can take as a hint: half of its context is 224 tokens.
MAX_GLOSSARY: Final = 40
MAX_GLOSSARY_CHARACTERS: Final = 600


class CaptionSettings(Section):
    """Captions of one camera: `true`, `false`, or `{glossary: [...], model: ..., language: en}`."""

    enabled: bool = True
    #: Names and terms that are said: they are expected, and spelt like this.
    glossary: list[str] = Field(default_factory=list, max_length=MAX_GLOSSARY)
    #: `mini` (Whisper tiny.en), a folder with a CTranslate2 model, or a name that the hub knows.
    model: str = Field(default="mini", min_length=1)
    #: The language spoken, or None where a multilingual model should find out.
    language: str | None = "en"
    threads: int = Field(default=1, ge=1, le=16)

    @field_validator("glossary")
    @classmethod
    def _terms(cls, value: list[str]) -> list[str]:
        terms = [" ".join(term.split()) for term in value]
        if any(not term for term in terms):
            raise ValueError("a term of the glossary is empty; write names and terms")
        if sum(map(len, terms)) > MAX_GLOSSARY_CHARACTERS:
            raise ValueError(f"the glossary has more than {MAX_GLOSSARY_CHARACTERS} characters; keep the rarest terms")
        return terms

    @property
    def hotwords(self) -> str:
        """The glossary as recognition takes it."""
        return ", ".join(self.glossary)

    def __bool__(self) -> bool:
        return self.enabled


def _from_switch(value: Any) -> Any:
    return {"enabled": value} if isinstance(value, bool) else value


#: For `CameraSettings.captions`: a switch or a section.
Captions = Annotated[CaptionSettings, BeforeValidator(_from_switch)]
OFF: Final = CaptionSettings(enabled=False)
