"""The labelers: keyword counts (pure) and a chat model asked with bounded concurrency (edge)."""

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from stack.pipelines.endpoint import ChatEndpoint
from stack.pipelines.errors import PipelineError
from stack.pipelines.records import Record
from stack.pipelines.spec import TEXT_FIELD, Keywords, Labeler, Llm
from stack.serving.chat import ChatClient, ChatFailedError, read_key

UNAVAILABLE = frozenset({"refused", "http_401", "http_403", "http_404"})
"""Failures that say nothing of a record: nobody listens, or nobody lets us in."""


@dataclass(frozen=True)
class Vote:
    """What one labeler said of one record: a label, or None with the class of the failure in `error`, or None alone (abstained)."""

    label: str | None
    error: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


def vote(labeler: Labeler, records: Sequence[Record], labels: tuple[str, ...], endpoint: ChatEndpoint | None, *, share: int = 1) -> list[Vote]:
    """One vote per record, in order. `share` is how many tasks ask at the same time and so divide the labeler's concurrency.

    PipelineError when the endpoint was gone for every single record: such votes are worth nothing and must not be kept.
    """
    if isinstance(labeler, Keywords):
        return count_keywords(labeler, [record.text for record in records])
    assert endpoint is not None
    votes = asyncio.run(ask_model(labeler, [record.text for record in records], labels, endpoint, concurrency=max(1, labeler.concurrency // share)))
    if votes and all(each.error in UNAVAILABLE for each in votes):
        raise PipelineError(f"endpoint {endpoint.url} stopped answering ({votes[0].error}): start it and run the same command again to go on")
    return votes


def count_keywords(labeler: Keywords, texts: Sequence[str]) -> list[Vote]:
    """Whole words, case folded; of overlapping phrases the longest counts, so "not good" is not also a "good"."""
    assert isinstance(labeler.lexicon, dict)
    by_phrase = {" ".join(phrase.casefold().split()): label for label, phrases in labeler.lexicon.items() for phrase in phrases}
    longest_first = sorted(by_phrase, key=lambda phrase: (-len(phrase), phrase))
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")
    votes = []
    for text in texts:
        hits = Counter(by_phrase[hit] for hit in pattern.findall(" ".join(text.casefold().split())))
        ranked = hits.most_common(2)
        clear = ranked and (len(ranked) == 1 or ranked[0][1] > ranked[1][1])
        votes.append(Vote(ranked[0][0] if clear else labeler.otherwise))
    return votes


async def ask_model(labeler: Llm, texts: Sequence[str], labels: tuple[str, ...], endpoint: ChatEndpoint, *, concurrency: int) -> list[Vote]:
    """All texts, `concurrency` at a time; a request that fails for good becomes a vote with an error."""
    client = ChatClient(
        endpoint.url,
        endpoint.model,
        api_key=read_key(endpoint.api_key_file),
        concurrency=concurrency,
        attempts=labeler.attempts,
        timeout_s=labeler.timeout_s,
    )

    async def ask(text: str) -> Vote:
        try:
            reply = await client.complete(messages(labeler, text), max_tokens=labeler.max_tokens, choices=labels)
        except ChatFailedError as failure:
            return Vote(None, failure.reason)
        answer = reply.text.strip()
        error = None if answer in labels else "not_a_label"
        return Vote(answer if error is None else None, error, reply.prompt_tokens, reply.completion_tokens)

    async with client:
        return list(await asyncio.gather(*map(ask, texts)))


def messages(labeler: Llm, text: str) -> list[dict[str, str]]:
    """The chat: system, solved examples as turns, then the record."""
    chat = [{"role": "system", "content": labeler.system}] if labeler.system else []
    for example in labeler.examples:
        chat += [{"role": "user", "content": labeler.prompt.replace(TEXT_FIELD, example.text)}, {"role": "assistant", "content": example.label}]
    return [*chat, {"role": "user", "content": labeler.prompt.replace(TEXT_FIELD, text)}]
