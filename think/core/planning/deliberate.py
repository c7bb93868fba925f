"""Deliberation beside a text that is being written: another thread makes plans, and they move the state when they come.

    with Deliberation(model, planner, settings, injection) as deliberation:
        deliberation.begin(text)
        for token in text.write(limits, generator):
            deliberation.after(text, token)
        counts = deliberation.finish()

Writing never waits for a plan. A request carries a copy of the state, and requests for which there is no place are
refused, and counted. What comes back acts from the model's next step on: what the text foretold for the very next
token is not taken back. An error of the planner is raised where the text is written, at the next token or at the end.

With `lag` set nothing runs beside the text: each plan is made at once and handed over so many tokens later, so that
equal seeds give equal texts.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil
from types import TracebackType
from typing import Annotated, Any, Protocol

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from think.core.models.state import State
from think.core.models.thinking import Thinking
from think.core.planning.answer import Answer, ids, plan_for, read, told
from think.core.planning.injection import InjectionSettings, gates, inject, moves
from think.core.planning.planner import Planner
from think.core.planning.plans import Buffer, Counts, Fate, Plan
from think.core.planning.transport import Change, carry, change, changed, crosses_norm, decayed
from think.presets.base import Settings, knob


class DeliberationSettings(Settings):
    """When plans are made."""

    every: PositiveInt = knob(32, acts_on="evaluation")
    "tokens from one request to the next"
    ahead: NonNegativeInt = knob(0, acts_on="evaluation")
    "tokens that are foretold, the likeliest each time, before the plan begins; it is for the position after them"
    queue: PositiveInt = knob(1, acts_on="evaluation")
    "requests in work, or waiting for it, beyond which another one is refused"
    busy: Annotated[float, Field(gt=0.0, le=1.0)] = knob(0.2, acts_on="evaluation")
    "largest share of the tokens during which a plan may be in work; the next request waits until it is kept"
    lag: NonNegativeInt | None = knob(None, acts_on="evaluation")
    "tokens after which a plan is handed over, nothing running beside the text; none: when it is done"


class Text(Protocol):
    """A text that is being written; `core.generation.Opened` is one. What `state` gave is not written into later."""

    @property
    def state(self) -> State: ...
    @property
    def tokens(self) -> int: ...
    @property
    def room(self) -> int | None: ...
    def snapshot(self) -> Callable[[], State]: ...
    def change(self, state: State) -> None: ...
    def likeliest(self, logits: Float[Tensor, " V"]) -> int | None: ...
    def mark(self) -> None: ...
    def decays(self) -> Float[Tensor, " R"] | None: ...
    def shaped(self, decays: Float[Tensor, " R"]) -> dict[str, Tensor]: ...


Note = Callable[[str, dict[str, Any]], None]
"Takes a record: its kind, `search` or `injection`, and its fields."


@dataclass(frozen=True)
class _Request:
    """In work. due: position of the text from which on it may be looked at."""

    answer: Future[Answer]
    due: int


class Deliberation:
    """Deliberates about one text at a time, any number of them one after another.

    counts   of all texts so far
    """

    def __init__(
        self,
        model: Thinking,
        planner: Planner,
        settings: DeliberationSettings,
        injection: InjectionSettings,
        *,
        note: Note | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.model, self.planner, self.settings, self.injection = model, planner, settings, injection
        self.counts = Counts()
        self._note, self._clock = note, clock
        self._pool = _thread() if settings.lag is None else None
        self._requests: deque[_Request] = deque()
        self._buffer = Buffer()
        self._generation, self._writing = 0, False
        self._origin, self._written, self._read = 0, list[int](), tuple[int, ...]()
        self._before: Callable[[], State] | None = None
        self._injected: dict[int, State] = {}
        self._since: dict[int, Tensor] = {}
        self._rest = 0

    def __enter__(self) -> "Deliberation":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- one text ----------------------------------------------------------------------------------------------------

    def begin(self, text: Text, read: Sequence[int] = ()) -> None:
        """Deliberate about this text from here on; plans for any other one are void.

        read: its tokens so far, for planners that read them themselves; a critic with its own backbone does
        """
        if self._writing:
            self.finish()
        self._generation += 1
        self._writing = True
        self._origin, self._written, self._read = text.tokens, [], tuple(read)
        self._injected.clear()
        self._since.clear()
        self._rest = 0
        self._before = self._capture(text)

    def after(self, text: Text, token: int) -> None:
        """The text has taken in one more token: ask for a plan if one is due, and let those that came act.

        Raises what the planner raised.
        """
        position = text.tokens
        self._written.append(token)
        if position in self._since:
            self._count_decays(text)
        if self._before is not None:
            self._ask(text, self._before, token)
            self._before = None
        for answer in self._answers(position):
            self._receive(answer, text)
        if (plan := self._buffer.take(position)) is not None:
            self._settle(plan, text)
        if len(self._written) % self.settings.every == 0 and position >= self._rest:
            self._before = self._capture(text)

    def finish(self) -> Counts:
        """The text has ended. What waits is abandoned; what is in work is void when it comes. Raises as `after`."""
        self._writing = False
        for plan in self._buffer.clear():
            self._end(plan, Fate.UNUSED)
        waiting, self._requests = self._requests, deque()
        for request in waiting:
            if request.answer.cancel():
                self.counts.abandoned += 1
            else:
                self._requests.append(request)
        for answer in self._answers(None):
            self._receive(answer, None)
        self._before = None
        self._injected.clear()
        return self.counts

    def close(self) -> None:
        """Wait for what is in work, count it, and let the thread go."""
        if self._writing:
            self.finish()
        if self._pool is not None:
            self._pool.shutdown(wait=True)
        for answer in self._answers(None):
            self._receive(answer, None)

    # ---- requests ----------------------------------------------------------------------------------------------------

    def _capture(self, text: Text) -> Callable[[], State] | None:
        """The state before the token that a plan is to follow; None where full attention has no room for a plan.

        The planner's root is a step of its own, which gives the residuals.
        """
        fits = text.room is None or text.room > self.settings.ahead + 1
        return text.snapshot() if fits else None

    def _ask(self, text: Text, before: Callable[[], State], token: int) -> None:
        self.counts.asked += 1
        if len(self._requests) >= self.settings.queue:
            self.counts.refused += 1
            return
        known = (*self._read, *self._written[:-1]) if self._read else ()
        given = before, token, known, text.likeliest, self._generation, self._clock()
        if self._pool is not None:
            future = self._pool.submit(self._think, *given)
        else:
            future = Future()
            future.set_result(self._think(*given))
        self._since[text.tokens + self.settings.ahead] = torch.ones(0)
        if not self.settings.ahead:
            self._count_decays(text)
        self._requests.append(_Request(future, text.tokens + (self.settings.lag or 0)))

    def _think(
        self,
        snapshot: Callable[[], State],
        token: int,
        known: tuple[int, ...],
        likeliest: Callable[[Tensor], int | None],
        generation: int,
        asked: float,
    ) -> Answer:
        started, before = self._clock(), snapshot()
        ahead = self.settings.ahead
        made = plan_for(self.model, self.planner, before, token, known, ahead, likeliest, generation, asked)
        if self._note is None:
            return Answer(made.plan, {})
        times = {"waited": started - asked, "seconds": self._clock() - started}
        where = {"generation": generation, "captured": before.position + 1, "position": made.position}
        return Answer(made.plan, where | times | told(made.planned))

    def _answers(self, position: int | None) -> Iterator[Answer]:
        """Take out what is done, in the order of asking, and has come due; without a position all that is done."""
        while self._requests and self._requests[0].answer.done():
            if position is not None and position < self._requests[0].due:
                return
            request = self._requests.popleft()
            if self._pool is not None and position is not None:
                took = position - request.due  # what runs beside the text takes turns with it at Python's lock
                self._rest = position + ceil(took * (1 / self.settings.busy - 1))
            done = request.answer
            if (error := done.exception()) is not None:
                self.counts.failed += 1
                raise error
            yield done.result()

    # ---- plans -------------------------------------------------------------------------------------------------------

    def _receive(self, answer: Answer, text: Text | None) -> None:
        if self._note is not None:
            self._note("search", answer.fields)
        plan = answer.plan
        if plan is None:
            self.counts.silent += 1
            return
        self.counts.plans += 1
        if plan.generation != self._generation:
            self._end(plan, Fate.FOREIGN)
        elif text is None or not self._writing:
            self._end(plan, Fate.UNUSED)
        elif plan.position > text.tokens:
            if (before := self._buffer.put(plan)) is not None:
                self._end(before, Fate.REPLACED)
        else:
            self._settle(plan, text)

    @torch.no_grad()
    def _settle(self, plan: Plan, text: Text) -> None:
        """Inject a plan whose position is here or behind, or say why not."""
        position = text.tokens
        lag = position - plan.position
        if lag > self.injection.longest_lag:
            return self._end(plan, Fate.TOO_LATE, lag=lag)
        alpha = gates(self.injection, plan.planned.confidence, lag)
        if not any(alpha):
            return self._end(plan, Fate.CLOSED, lag=lag, alpha=alpha)
        other = plan.projected != self._tokens(plan.captured, plan.position)
        if other and self.injection.diverged == "drop":
            return self._end(plan, Fate.DIVERGED, lag=lag)
        state = text.state
        if crosses_norm(self.model, plan.position, position):
            too_long = text.room is not None and text.room < len(plan.planned.tokens)
            if self.injection.crossing == "drop" or too_long:
                return self._end(plan, Fate.CROSSED, lag=lag)
            fate, target = Fate.RECOMPUTED, read(self.model, plan.planned.tokens, state)
        elif lag or other:
            fate = Fate.ADAPTED if other else Fate.LATE
            target = changed(state, self._arrived(plan, text))
        else:
            fate, target = Fate.ON_TIME, plan.target
        moved = inject(state, target, alpha)
        text.change(moved)
        self._injected[position] = moved
        self._end(plan, fate, lag=lag, alpha=alpha, moved=moves(state, moved) if self._note else ())
        return None

    def _count_decays(self, text: Text) -> None:
        """Take the decays since they were last taken into every product that has begun, and begin those of here."""
        decays, position = text.decays(), text.tokens
        for start in [start for start in self._since if start < position - self.injection.longest_lag]:
            del self._since[start]
        if decays is None:
            return
        for start, product in self._since.items():
            if start < position:
                self._since[start] = product * decays
            elif start == position:
                self._since[start] = torch.ones_like(decays)
        text.mark()

    def _arrived(self, plan: Plan, text: Text) -> Change:
        """What a plan would have changed, as it is at the end of the text."""
        self._count_decays(text)
        by, product = change(plan.target, plan.base), self._since.get(plan.position)
        if product is None or not len(product):
            return self._carried(plan, text.tokens)
        return decayed(by, text.shaped(product))

    def _carried(self, plan: Plan, position: int) -> Change:
        """What a plan would have changed, carried from where it is for to a later position of the text.

        The layers' inputs are those of the text as it was written, other plans that were injected since included.
        """
        state, by = plan.root, change(plan.target, plan.base)
        turns = {at for at in self._injected if plan.captured <= at < position} | {plan.position, position}
        for stop in sorted(turns):
            if stop > state.position:
                between = ids(self.model, self._tokens(state.position, stop))
                if stop > plan.position:
                    by, state = carry(self.model, state, between, by)
                else:
                    state = self.model.hidden(between, state)[1]
            if stop < position:
                state = self._injected.get(stop, state)
        return by

    def _tokens(self, start: int, stop: int) -> tuple[int, ...]:
        """What the text has written from one position to another."""
        return tuple(self._written[start - self._origin : stop - self._origin])

    def _end(
        self,
        plan: Plan,
        fate: Fate,
        *,
        lag: int | None = None,
        alpha: tuple[float, ...] = (),
        moved: tuple[float, ...] = (),
    ) -> None:
        self.counts.fates[fate] += 1
        if self._note is not None:
            fields = {
                "generation": plan.generation,
                "position": plan.position,
                "fate": fate.value,
                "lag": lag,
                "milliseconds": 1e3 * (self._clock() - plan.asked),
                "alpha": list(alpha),
                "moved": list(moved),
                "tokens": list(plan.planned.tokens),
            }
            self._note("injection", fields)


def _thread() -> ThreadPoolExecutor:
    """A thread beside the text, in which torch takes no further ones: they would fight the one that writes."""
    pool, own = ThreadPoolExecutor(1, "deliberation"), torch.get_num_threads()
    pool.submit(torch.get_num_threads).result()  # a thread takes what was set last when it first asks
    pool.submit(torch.set_num_threads, 1).result()
    torch.set_num_threads(own)
    return pool
