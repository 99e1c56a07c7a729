"""What requests say (models)."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bench.frozen import Frozen
from bench.workload.lengths import Fixed, Length

Text = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(ge=0, le=1)]
_TOKENIZER = (
    "Folder of the model, or tokenizer.json, whose tokens are counted; beside the workload file, unless absolute. "
    "Not needed for a model of the catalog that was pulled to this machine"
)


class _Prompts(Frozen):
    ignore_eos: bool = Field(default=False, description="Ask the engine (vLLM) to go on to exactly the most output tokens, so that output lengths are fixed")
    salt: bool = Field(
        default=True,
        description="Begin each prompt, session or shared prefix with words that follow from the seed, so that no prefix cache can answer for the model; "
        "false: the same words whatever the seed",
    )


class TextPrompt(_Prompts):
    """The same text in every request."""

    kind: Literal["text"]
    text: Text
    max_tokens: Length = Field(description="Most output tokens of one reply")


class TextsPrompts(_Prompts):
    """For each request one of several texts, drawn uniformly with replacement."""

    kind: Literal["texts"]
    texts: tuple[Text, ...] = Field(min_length=1)
    max_tokens: Length = Field(description="Most output tokens of one reply")


class SharedPrefix(Frozen):
    """A share of the prompts opens with one of `pool` prefixes that other prompts have too; the rest have a prefix of their own of the same length."""

    tokens: Fixed
    pool: int = Field(default=1, ge=1, le=100_000)
    hit_ratio: Share = Field(default=1.0, description="Share of the prompts that open with a shared prefix")


class Synthetic(_Prompts):
    """Words that make sense to nobody, of exactly so many tokens (salt included, the model's chat template not)."""

    kind: Literal["synthetic"]
    input_tokens: Length
    max_tokens: Length
    ignore_eos: bool = True
    prefix: SharedPrefix | None = Field(default=None, description="Comes on top of input_tokens")
    tokenizer: Path | None = Field(default=None, description=_TOKENIZER + "; may be given with --tokenizer instead")


class Sessions(_Prompts):
    """Conversations of several turns: each turn sends the whole conversation before it, after the user has thought. Arrivals start sessions."""

    kind: Literal["sessions"]
    turns: Length
    think_s: Annotated[float, Field(ge=0, le=3600)] = Field(default=0.0, description="Mean pause between an answer and the next turn")
    think_spread: Literal["fixed", "exponential"] = "exponential"
    history: Literal["scripted", "reply"] = Field(
        default="scripted", description="Put words drawn from the seed into the assistant's mouth (the same bytes in every run), or what it really said"
    )
    first_tokens: Length = Field(description="Tokens of the first user message (system prompt and the like included)")
    turn_tokens: Length = Field(description="Tokens of each further user message")
    max_tokens: Length
    ignore_eos: bool = True
    tokenizer: Path | None = Field(default=None, description=_TOKENIZER + "; without one, a word is taken for a token and lengths are approximate")


class JsonLines(_Prompts):
    """Prompts from a JSONL file: `prompt`, or `messages`, and `max_tokens` where a line has its own."""

    kind: Literal["jsonl"]
    file: Path = Field(description="Beside the workload file, unless absolute")
    prompt_field: str = "prompt"
    max_tokens: Length = Field(description="For lines without a max_tokens of their own")
    order: Literal["file", "shuffled", "drawn"] = Field(default="shuffled", description="As in the file, each once in another order, or drawn with replacement")


class ShareGpt(_Prompts):
    """First user turns of conversations in ShareGPT's JSON form."""

    kind: Literal["sharegpt"]
    file: Path = Field(description="Beside the workload file, unless absolute")
    max_tokens: Length
    order: Literal["file", "shuffled", "drawn"] = "shuffled"


class TracePrompts(_Prompts):
    """Synthetic prompts with the lengths of the trace that `arrivals` replays; for Mooncake, equal prefix hashes give equal text."""

    kind: Literal["trace"]
    ignore_eos: bool = True
    max_input_tokens: int | None = Field(default=None, ge=1, description="Cut longer prompts to this")
    max_output_tokens: int | None = Field(default=None, ge=1, description="Cut longer replies to this")
    tokenizer: Path | None = Field(default=None, description=_TOKENIZER + "; may be given with --tokenizer instead")


class Quality(Frozen):
    """An accuracy task that must hold for the claim of speed to stand: asked of the same server right after the measured phase."""

    file: Path = Field(description="JSONL, beside the workload file unless absolute; docs/quality.md describes a line")
    score: Literal["exact_match", "regex", "choice_logprob"]
    floor: Share = Field(description="Least share of right answers; the claim of speed is void when the whole 95 % interval lies below it")
    max_tokens: int = Field(default=64, ge=1)
    limit: int | None = Field(default=None, ge=1, description="Ask only the first so many")


class LengthReference(Frozen):
    """Mean output tokens of the reference model on the same prompts."""

    output_tokens_mean: float = Field(gt=0)
    low: float = Field(default=0.9, gt=0, le=1, description="MLPerf's 0.9")
    high: float = Field(default=1.1, ge=1, description="MLPerf's 1.1")

    @model_validator(mode="after")
    def _some_room(self) -> Self:
        if self.low >= self.high:
            raise ValueError("low must be less than high")
        return self


Prompts = Annotated[TextPrompt | TextsPrompts | Synthetic | Sessions | JsonLines | ShareGpt | TracePrompts, Field(discriminator="kind")]
