"""A loop whose clock jumps instead of waiting, and a transport that answers as it is told."""

import asyncio
import json
import selectors
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from stack.pipelines.labeling.connection import HttpAnswer, TransportError
from stack.pipelines.labeling.spec import Llm

T = TypeVar("T")
LABELS = ("no", "yes")


class JumpingLoop(asyncio.SelectorEventLoop):
    """Time passes only when nothing is left to do, and then at once."""

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self.now


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        found = super().select(0)
        if not found and timeout:
            self._loop.now += timeout
        elif not found and timeout is None:
            found = super().select(5)
        return found


def at_once(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run it on a jumping clock."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(work())


def completion(text: str = "yes", *, prompt_tokens: int = 10, completion_tokens: int = 1) -> HttpAnswer:
    body = {
        "choices": [{"message": {"content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens},
    }
    return HttpAnswer(200, json.dumps(body).encode())


@dataclass
class FakeTransport:
    """`answer` gets the text and how often it was asked before."""

    answer: Callable[[str, int], HttpAnswer | TransportError | Awaitable[HttpAnswer]] = lambda _text, _before: completion()
    latency_s: float = 0.1
    asked: Counter[str] = field(default_factory=Counter)
    sent_at: list[tuple[float, str]] = field(default_factory=list)
    in_flight: int = 0
    peak: int = 0

    async def post(self, body: bytes) -> HttpAnswer:
        text = json.loads(body)["messages"][-1]["content"]
        before, self.asked[text] = self.asked[text], self.asked[text] + 1
        self.sent_at.append((asyncio.get_running_loop().time(), text))
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            said = self.answer(text, before)
            await asyncio.sleep(self.latency_s)
            if isinstance(said, TransportError):
                raise said
            return said if isinstance(said, HttpAnswer) else await said
        finally:
            self.in_flight -= 1


def llm(**fields: Any) -> Llm:
    room = {"max_tokens": 200} if "output" in fields else {}
    return Llm.model_validate({"kind": "llm", "name": "model", "prompt": "{text}", **room, **fields})
