"""The shapes of requests and answers, as the service's OpenAPI description shows them."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from grader.capstone.serving.index import Ranked
from grader.capstone.serving.manifest import Manifest

MOST_ANSWERS = 50
_LONGEST_NAME = 100


class NameQuery(BaseModel):
    """The body of a search for drawings."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=_LONGEST_NAME, examples=["hot dog"], description="A concept's name.")


class Answer(BaseModel):
    """One concept."""

    characters: str = Field(examples=["\N{HOT DOG}"])
    name: str = Field(examples=["hot dog"])
    probability: float = Field(ge=0, le=1, description="Those of all concepts, also of those not shown, add up to 1.")


class Ranking(BaseModel):
    """Concepts, the likeliest first."""

    model: str = Field(description="The SHA-256 of the model that answered.")
    answers: list[Answer]

    @classmethod
    def of(cls, manifest: Manifest, ranked: Sequence[Ranked]) -> Ranking:
        answers = [
            Answer(characters=one.concept.characters, name=one.concept.name, probability=one.probability)
            for one in ranked
        ]
        return cls(model=manifest.model_digest, answers=answers)


class Health(BaseModel):
    """The process is alive."""

    status: str = "ok"


class Readiness(BaseModel):
    """The model is loaded."""

    status: str = "ready"
    model: str = Field(description="The SHA-256 of the model that answers.")
    method: str = Field(examples=["LoRA"], description="How it was tuned.")
    compression: str = Field(examples=["none", "int8"])
    concepts: int = Field(examples=[1489])

    @classmethod
    def of(cls, manifest: Manifest) -> Readiness:
        return cls(
            model=manifest.model_digest,
            method=manifest.origin.method,
            compression=manifest.compression,
            concepts=len(manifest.concepts),
        )
