"""What a pipeline file may say of a labeler (models), and the digest of what decides its votes."""

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from stack.evidence import canonical_json
from stack.pipelines.base import Frozen, Name
from stack.pipelines.dedup.embedders import Embedder
from stack.pipelines.labeling.patterns import MAX_PATTERN, compiled
from stack.pipelines.labeling.python_module import source_digest

Label = Annotated[str, Field(min_length=1, max_length=100)]
Lexicon = Annotated[dict[Label, tuple[Annotated[str, Field(min_length=1)], ...]], Field(min_length=1)]
Pattern = Annotated[str, Field(min_length=1, max_length=MAX_PATTERN)]
Otherwise = Annotated[Label | None, Field(description="The vote on a tie or without any hit; null abstains")]

FEWEST_TOKENS = 16
TEXT_FIELD = "{text}"
HOW_FAST = frozenset({"concurrency", "timeout_s", "attempts"})
WHERE = frozenset({"url", "api_key_file", "ca_file"})
NEW_IN_LLM: dict[str, Any] = {"output": "choice", "json_schema": None, "label_field": None, "temperature": 0, "seed": 0}


class Keywords(Frozen):
    """Votes for the label whose words occur most often."""

    kind: Literal["keywords"]
    name: Name
    lexicon: Lexicon | Path = Field(description="Words and phrases by label, or a YAML file with them (relative to the pipeline file)")
    otherwise: Otherwise = None


class Regex(Frozen):
    """Votes for the label whose patterns match most often."""

    kind: Literal["regex"]
    name: Name
    patterns: dict[Label, tuple[Pattern, ...]] = Field(min_length=1, description="Python regular expressions by label")
    ignore_case: bool = True
    otherwise: Otherwise = None

    @model_validator(mode="after")
    def _compile(self) -> Self:
        for label, patterns in self.patterns.items():
            for place, pattern in enumerate(patterns):
                try:
                    compiled(pattern, ignore_case=self.ignore_case)
                except ValueError as fault:
                    raise ValueError(f"`patterns.{label}.{place}`: {fault}") from None
        return self


class Python(Frozen):
    """Calls a function: list of texts in, list of labels (or None) out. Its module is trusted code, run as it is."""

    kind: Literal["python"]
    name: Name
    entry: str = Field(
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$",
        description="module:function; MODULE.py beside the pipeline file comes before an installed module",
    )


class Example(Frozen):
    """One solved case; never taken from the records that are labeled."""

    text: str
    label: Annotated[str, Field(min_length=1, max_length=8192)]


class Llm(Frozen):
    """Asks a chat model; the engine constrains the answer to the labels, to a JSON Schema or to a list of quotes."""

    kind: Literal["llm"]
    name: Name
    model: str | None = Field(default=None, description="One of the endpoint's models; null: the run's. Each of several is an annotator of its own")
    system: str = ""
    prompt: str = Field(description="The question; {text} stands for the record's text")
    examples: tuple[Example, ...] = Field(default=(), description="Solved cases; for json and spans `label` is the whole answer, as JSON text")
    output: Literal["choice", "json", "spans"] = Field(default="choice", description="One of the labels, an object, or marked parts of the text")
    json_schema: dict[str, Any] | None = Field(default=None, description="For `json`: what the answer must be; only references within it")
    label_field: str | None = Field(default=None, description="For `json`: the answer's field that holds the label; null in it abstains")
    max_tokens: int = Field(default=8, ge=1, le=8192)
    temperature: Literal[0] = Field(default=0, description="Only 0: a vote must be the same in every run")
    seed: int = Field(default=0, ge=0, lt=2**63)
    concurrency: int = Field(default=16, ge=1, le=1024, description="Most requests in flight over the whole run; fewer while the server asks for it")
    timeout_s: float = Field(default=120.0, gt=0)
    attempts: int = Field(default=4, ge=1, le=20, description="Tries per record; 'not now' (429, 503) has log2(concurrency) more")

    @field_validator("prompt")
    @classmethod
    def _has_a_place_for_the_text(cls, prompt: str) -> str:
        if TEXT_FIELD not in prompt:
            raise ValueError(f"must contain {TEXT_FIELD} where the record's text goes")
        return prompt

    @field_validator("json_schema")
    @classmethod
    def _is_a_schema(cls, schema: dict[str, Any] | None) -> dict[str, Any] | None:
        if schema is not None:
            _check_schema(schema)
        return schema

    @model_validator(mode="after")
    def _fields_fit_the_output(self) -> Self:
        if self.output != "choice" and self.max_tokens < FEWEST_TOKENS:
            raise ValueError(f"output {self.output} needs `max_tokens`: {self.max_tokens} tokens never hold a whole answer")
        given = self.json_schema is not None, self.label_field is not None
        if self.output == "json" and not all(given):
            raise ValueError("output json needs `json_schema` and `label_field`")
        if self.output != "json" and any(given):
            raise ValueError(f"`json_schema` and `label_field` are for output json, not {self.output}")
        return self


class Neighbours(Embedder):
    """Votes as the solved examples most like the text do, each by its cosine similarity."""

    kind: Literal["neighbours"]
    name: Name
    examples: tuple[Example, ...] = Field(min_length=1)
    k: int = Field(default=5, ge=1, le=1000, description="So many of the nearest examples vote")
    min_similarity: float = Field(default=0.2, ge=0, le=1, description="Cosine below which an example is not near")
    otherwise: Otherwise = None


class People(Frozen):
    """What people decided on the review page (`stackproof label review`), where they did; the others abstain."""

    kind: Literal["people"]
    name: Name
    reviews: str | None = Field(default=None, description="The log of their decisions, beside the pipeline; null: reviews.jsonl of the run's own folder")


Labeler = Annotated[Keywords | Regex | Python | Llm | Neighbours | People, Field(discriminator="kind")]


def digest(labeler: Labeler, labels: tuple[str, ...], folder: Path) -> str:
    """SHA-256 of all that decides a vote besides text and chat model: words, prompt, examples, code. Not of how fast it is asked, or where.

    `folder` is the pipeline file's. PipelineError when a module or a lexicon file is missing.
    """
    body = labeler.model_dump(mode="json", exclude={"name"} | HOW_FAST | WHERE)
    match labeler:
        case Llm():
            # A labeler that uses nothing new keeps the digest it had before there was anything new.
            body = {field: value for field, value in body.items() if field != "model" and (field not in NEW_IN_LLM or value != NEW_IN_LLM[field])}
        case Python():
            body["source"] = source_digest(labeler.entry, folder)
        case Keywords() if isinstance(labeler.lexicon, Path):
            raise ValueError(f"labeler {labeler.name}: its lexicon file {labeler.lexicon} was not read in")
        case _:
            pass
    return hashlib.sha256(canonical_json({**body, "labels": list(labels)})).hexdigest()


def labels_used(labeler: Labeler) -> tuple[str, ...]:
    """The labels that a labeler's own fields name, sorted: each must be among the pipeline's."""
    match labeler:
        case Keywords():
            used = {*(labeler.lexicon if isinstance(labeler.lexicon, dict) else ()), labeler.otherwise}
        case Regex():
            used = {*labeler.patterns, labeler.otherwise}
        case Neighbours():
            used = {*(example.label for example in labeler.examples), labeler.otherwise}
        case Llm(output="choice"):
            used = {example.label for example in labeler.examples}
        case _:
            used = set()
    return tuple(sorted(label for label in used if label is not None))


def _check_schema(schema: dict[str, Any]) -> None:
    from jsonschema import Draft202012Validator, SchemaError  # slow to import, and few pipelines need it

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as fault:
        raise ValueError(f"not a JSON Schema: {fault.message}") from None
    for reference in _references(schema):
        if not reference.startswith("#"):
            raise ValueError(f"refers to {reference!r}: only references within the schema (#/...) are followed")


def _references(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [value for key, value in part.items() if key in ("$ref", "$dynamicRef") and isinstance(value, str)]
        return own + [found for value in part.values() for found in _references(value)]
    return [found for value in part for found in _references(value)] if isinstance(part, list) else []
