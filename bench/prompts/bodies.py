"""What each request says: the JSON body of request `index`, a function of the workload, the seed and that index (logic).

The salt guards against a warm prefix cache. A cache matches from the start of a prompt, so one word there that no other prompt has
leaves it nothing to reuse beyond the chat template. Text that is shared on purpose (a prefix, a session, a trace's blocks) is drawn
from the seed instead: it stays shareable within the run, and another seed gives other words. A seed used twice on one warm server
is answered from its cache; so is, on purpose, everything under `salt: false`.
"""

from collections.abc import Callable

from bench.errors import BenchError
from bench.prompts.chat import OPENING, Bodies, Frame, json_inside, salt
from bench.prompts.datasets import DatasetBodies
from bench.prompts.draw import draws
from bench.prompts.replay import TraceBodies
from bench.prompts.synthetic import SyntheticBodies
from bench.seeds import derive
from bench.workload.lengths import Length
from bench.workload.models import Workload
from bench.workload.prompts import JsonLines, Sessions, ShareGpt, Synthetic, TextPrompt, TextsPrompts, TracePrompts

__all__ = ["Bodies", "request_bodies"]


def request_bodies(workload: Workload, *, seed: int) -> Bodies:
    """Reads whatever files the prompts need; BenchError names the field, or the line of a data set, that is wrong."""
    prompts = workload.prompts
    match prompts:
        case TextPrompt() | TextsPrompts():
            texts = (prompts.text,) if isinstance(prompts, TextPrompt) else prompts.texts
            return TextBodies(Frame(workload), texts, prompts.max_tokens, salted=prompts.salt, seed=seed)
        case Synthetic():
            return SyntheticBodies(workload, prompts, seed=seed)
        case JsonLines() | ShareGpt():
            return DatasetBodies(workload, prompts, seed=seed)
        case TracePrompts():
            return TraceBodies(workload, prompts, seed=seed)
        case Sessions():
            raise BenchError("field `prompts`: kind sessions goes turn by turn and cannot be asked for single requests")


class TextBodies:
    """One of a few texts each time, drawn uniformly from the stream `prompts`."""

    def __init__(self, frame: Frame, texts: tuple[str, ...], max_tokens: Length, *, salted: bool, seed: int) -> None:
        self.shared_share = 0.0 if salted else 1.0
        self._seed, self._salted, self._count = seed, salted, len(texts)
        fixed = max_tokens if isinstance(max_tokens, int) else None
        self._endings = [frame.ending(json_inside(text), fixed) for text in texts]
        self._output: Callable[[int], int] | None = draws(max_tokens, seed=seed, name="output") if fixed is None else None

    def __call__(self, index: int) -> bytes:
        ending = self._endings[derive(self._seed, "prompts", index) % self._count if self._count > 1 else 0]
        opening = OPENING + salt(self._seed, index) if self._salted else OPENING
        return opening + ending if self._output is None else b"%b%b%d}" % (opening, ending, self._output(index))
