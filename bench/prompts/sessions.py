"""What is said in conversations of several turns, and how long their users think (logic).

Turn t sends everything said in turns 0 to t - 1 and one more user message, so a session grows only at its end and an ideal prefix cache
works on each token once. No two sessions begin alike: a session's words are drawn from the seed and its number.
"""

import math
from collections.abc import Callable, Sequence

from bench.errors import BenchError
from bench.prompts.chat import Frame, conversation, json_inside, message
from bench.prompts.draw import draws, longest, share
from bench.prompts.tokenizer import find_tokenizer, load_tokenizer
from bench.prompts.vocabulary import Texts, Vocabulary
from bench.prompts.word_list import ENGLISH
from bench.seeds import derive
from bench.workload.models import Workload
from bench.workload.prompts import Sessions

TURN_BITS = 24
"""Turn t of session s is draw s * 2^24 + t of a stream; `turns` is at most 10 million."""
SIMULATED = 256
SIMULATED_TURNS = 128
LONGEST_PAUSE = 20.0
"""Times the mean: an exponential pause is cut there, which one of 5 x 10^8 reaches."""


def session_bodies(workload: Workload, *, seed: int) -> "SessionBodies":
    """BenchError when the workload's prompts are not sessions, or its tokenizer cannot be used."""
    prompts = workload.prompts
    if not isinstance(prompts, Sessions):
        raise BenchError(f"field `prompts`: kind {prompts.kind} has no sessions")
    return SessionBodies(workload, prompts, seed=seed)


class SessionBodies:
    """Functions of workload, seed, session and turn; with `history: reply` also of what the server answered."""

    def __init__(self, workload: Workload, prompts: Sessions, *, seed: int) -> None:
        self._frame, self._prompts, self._seed = Frame(workload), prompts, seed
        self._texts = _texts(prompts, model=workload.model, seed=seed if prompts.salt else 0)
        self._turns = draws(prompts.turns, seed=seed, name="turns")
        self._first = draws(prompts.first_tokens, seed=seed, name="input")
        self._further = draws(prompts.turn_tokens, seed=seed, name="input")
        self._output = draws(prompts.max_tokens, seed=seed, name="output")
        self.max_turns = longest(prompts.turns)
        self.shared_share = self._shared_share() if prompts.salt else 1.0

    def turns(self, session: int) -> int:
        """Requests of this session."""
        return self._turns(session)

    def think_ns(self, session: int, turn: int) -> int:
        """From the end of the answer before `turn` to the time when `turn` is due; 0 for the first turn, which the arrivals time."""
        mean_s = self._prompts.think_s
        if turn == 0 or mean_s == 0:
            return 0
        if self._prompts.think_spread == "fixed":
            return round(mean_s * 1e9)
        return round(mean_s * 1e9 * min(LONGEST_PAUSE, -math.log(share(derive(self._seed, "think", _draw(session, turn))))))

    def body(self, session: int, turn: int, replies: Sequence[str] = ()) -> bytes:
        """JSON body; `replies` are what the assistant said in turns 0 to `turn` - 1, and are looked at with `history: reply` alone."""
        messages = []
        for earlier in range(turn):
            messages.append(message("user", self._user(session, earlier)))
            messages.append(message("assistant", self._assistant(session, earlier, replies)))
        messages.append(message("user", self._user(session, turn)))
        return self._frame.whole(conversation(messages), self._output(_draw(session, turn)))

    def _user(self, session: int, turn: int) -> bytes:
        return self._texts("user", _draw(session, turn), self._user_tokens(session, turn))

    def _assistant(self, session: int, turn: int, replies: Sequence[str]) -> bytes:
        if self._prompts.history == "reply":
            return json_inside(replies[turn])
        return self._texts("assistant", _draw(session, turn), self._output(_draw(session, turn)))

    def _user_tokens(self, session: int, turn: int) -> int:
        draw: Callable[[int], int] = self._further if turn else self._first
        return draw(_draw(session, turn))

    def _shared_share(self) -> float:
        """Tokens of the turn before over all tokens, chat template left out, over the first sessions of this seed.

        A scripted answer is new to the server when it comes back; a real one is in its cache already.
        """
        said = self._prompts.history == "reply"
        repeated = total = 0.0
        for session in range(SIMULATED):
            turns, held, known = self.turns(session), 0.0, 0.0
            if turns > SIMULATED_TURNS:  # so long that nearly all of it is repeated
                repeated, total = repeated + (turns - 1) * turns / 2, total + (turns + 1) * turns / 2
                continue
            for turn in range(turns):
                held += self._user_tokens(session, turn)
                repeated, total = repeated + known, total + held
                reply = self._output(_draw(session, turn))
                known = held + (reply if said else 0)
                held += reply
        return repeated / total


def _draw(session: int, turn: int) -> int:
    return session << TURN_BITS | turn


def _texts(prompts: Sessions, *, model: str | None, seed: int) -> Texts:
    path = find_tokenizer(prompts.tokenizer, model=model)
    if path is None:
        return Texts(Vocabulary(ENGLISH, ENGLISH), seed=seed)
    tokenizer = load_tokenizer(path)
    return Texts(Vocabulary.of(tokenizer), seed=seed, tokenizer=tokenizer)
