"""The exact world: the backbone's own step. A node is what the backbone carries from token to token.

A recurrent state has one size wherever the node is, so nodes of all depths are stacked and stepped together; the policy
is the logits of the actions, by the last layer or by all layers fused, and the value is the critic's. Nodes stand at
different places of the stream: those at which StateNorm is due are normed before their step and the others are not, as
in one pass over all tokens.

No rules are asked whether anything is solved. With `Legality` a node without legal actions is closed, and is worth what
the critic says. Without, the model's policy is all there is: where `end` is likelier than every action, the world ends,
and what the critic says of that place is the reward of the step into it.

T nodes, in any mixture of positions   A actions   L layers   D width
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from think.core.models.state import State
from think.core.models.thinking import Thinking
from think.core.planning.critic import Critic, Judges
from think.core.planning.fusion import Fusion
from think.core.planning.legality import Legality
from think.core.planning.shelf import Named, shelve
from think.core.planning.world import Evaluation, Transition, World

BACKBONE, CRITIC_BACKBONE, HEADS, FUSED = "backbone", "critic_backbone", "critic", "fusion"
"""What is counted: tokens read by the policy's backbone and by the critic's own, positions that the heads judged, and
positions at which the layers were fused."""

POSITION, LOGITS, VALUES, ENDED = "position", "logits", "values", "ended"
_POLICY, _CRITIC = "policy.", "critic."


FIRST_ROOM = 8
"Nodes that a tree has room for at first: those of a first look at some actions."


@dataclass(frozen=True)
class Nodes:
    """Nodes side by side.

    parts   by name, each [T, …]: the states, `position` tokens read so far, `logits` [T, A] of the actions, `values`
            [T, L] of the critic's heads, `ended` where the end of the answer is likelier than any action
    rules   which actions are legal; None: all
    """

    parts: dict[str, Tensor]
    rules: Legality | None = None

    def __len__(self) -> int:
        return len(self.parts[POSITION])

    def rows(self, index: Int[Tensor, " N"]) -> "Nodes":
        """Some of the nodes, which may repeat."""
        rules = None if self.rules is None else self.rules.rows(index)
        return Nodes({name: part[index] for name, part in self.parts.items()}, rules)

    @staticmethod
    def together(several: Sequence["Nodes"]) -> "Nodes":
        """Nodes of the same world, one after the other; of which the rules are known of all or none."""
        parts = {name: torch.cat([nodes.parts[name] for nodes in several]) for name in several[0].parts}
        known = [nodes.rules for nodes in several if nodes.rules is not None]
        return Nodes(parts, Legality.together(known) if known else None)

    @property
    def size(self) -> int:
        """Bytes of one node."""
        return sum(part[:1].numel() * part.element_size() for part in self.parts.values())


class NodeShelf:
    """Where nodes of trees are kept. Memory is taken for nodes that were written, not for places.

    slot    [places] where the node of a place lies, -1: nowhere yet
    parts   the nodes, as many as there is room for at present
    """

    def __init__(self, places: int, parts: Named, room: int, rules: Legality | None):
        self.slot, self.used = torch.full((places,), -1, dtype=torch.int64), 0
        self.parts, self.room, self.rules = parts, room, rules

    @staticmethod
    def like(nodes: Nodes, size: int) -> "NodeShelf":
        """An empty one."""
        room = min(size, FIRST_ROOM * len(nodes))
        rules = None if nodes.rules is None else nodes.rules.rows(torch.zeros(room, dtype=torch.int64))
        return NodeShelf(size, shelve(nodes.parts, room), room, rules)

    def read(self, places: Int[Tensor, " T"]) -> Nodes:
        slots = self.slot[places]
        return Nodes(self.parts.read(slots), None if self.rules is None else self.rules.rows(slots))

    def write(self, places: Int[Tensor, " T"], states: Nodes) -> None:
        fresh = places[self.slot[places] < 0]
        self.slot[fresh] = torch.arange(self.used, self.used + len(fresh))
        self.used += len(fresh)
        if self.used > self.room:
            self._make_room(max(self.used, min(2 * self.room, len(self.slot))))
        slots = self.slot[places]
        self.parts.write(slots, states.parts)
        if self.rules is not None and states.rules is not None:
            self.rules.put(slots, states.rules)

    def moved(self, places: Int[Tensor, " T"], to: Int[Tensor, " T"], size: int) -> "NodeShelf":
        nodes = self.read(places)
        other = NodeShelf.like(nodes, size)
        other.write(to, nodes)
        return other

    def _make_room(self, room: int) -> None:
        held = torch.arange(self.room)
        self.parts = self.parts.moved(held, held, room)
        if self.rules is not None:
            self.rules = self.rules.rows(torch.cat([held, torch.zeros(room - self.room, dtype=torch.int64)]))
        self.room = room


@dataclass(frozen=True)
class Opened:
    """Prompts as a critic has read them. read: the residuals of their last tokens, [B, L, D]; state: after these."""

    read: Float[Tensor, "B L D"]
    state: State


class ExactWorld:
    """A backbone and a critic as a world whose steps are the backbone's.

    actions   token of each action
    end       token that ends an answer, for a world that knows no rules; None: nothing ends there
    judges    how the critic's heads become one number; None: as its settings say
    fusion    weights of the layers in the policy; None: it is that of the last layer, the model's own
    used      what was computed so far, by the names above
    """

    def __init__(
        self,
        model: Thinking,
        critic: Critic,
        actions: Int[Tensor, " A"],
        *,
        end: int | None = None,
        judges: Judges | None = None,
        fusion: Fusion | None = None,
    ):
        self.model, self.critic, self.actions, self.end = model, critic, actions, end
        self.judges = critic.judges if judges is None else judges
        self.fusion = fusion
        self.used: Counter[str] = Counter()

    @torch.no_grad()
    def root(self, tokens: Int[Tensor, "B P"], rules: Legality | None = None) -> Nodes:
        """The nodes at the end of prompts."""
        rows, length = tokens.shape
        parts = {POSITION: torch.full((rows,), length, dtype=torch.int64, device=tokens.device)}
        read, state = _last_of(self.model, tokens)
        parts |= _named(_POLICY, state)
        judged = read
        self.used[BACKBONE] += tokens.numel()
        own = self.critic.backbone
        if own is not None:
            judged, state = _last_of(own, tokens)
            parts |= _named(_CRITIC, state)
            self.used[CRITIC_BACKBONE] += tokens.numel()
        return self._judged(parts, read, judged, rules)

    @torch.no_grad()
    def after(self, nodes: Nodes, actions: Int[Tensor, " T"]) -> Nodes:
        """Where actions lead."""
        tokens, position = self.actions[actions], nodes.parts[POSITION]
        parts = {POSITION: position + 1}
        read, state = _stepped(self.model, _POLICY, nodes.parts, tokens, position)
        parts |= state
        judged = read
        self.used[BACKBONE] += len(tokens)
        own = self.critic.backbone
        if own is not None:
            judged, state = _stepped(own, _CRITIC, nodes.parts, tokens, position)
            parts |= state
            self.used[CRITIC_BACKBONE] += len(tokens)
        return self._judged(parts, read, judged, None if nodes.rules is None else nodes.rules.after(actions))

    @torch.no_grad()
    def opened(self, tokens: Int[Tensor, "B P"]) -> "Opened":
        """Prompts as the critic has read them, the policy reads nothing; for `judge`, as often as there are answers."""
        read, state = _last_of(self.critic.reader(self.model), tokens)
        self.used[self._read_by] += tokens.numel()
        return Opened(read, state)

    @torch.no_grad()
    def judge(self, prompts: "Opened", actions: Int[Tensor, "N K"]) -> Float[Tensor, "N K1"]:
        """What places are worth from the end of a prompt on, along answers.

        N is a multiple of B, the answers to one prompt stand together. What follows the end of an answer is any action.
        """
        count = len(prompts.read)
        origin = torch.arange(count, device=actions.device).repeat_interleave(len(actions) // count)
        after, _ = self.critic.reader(self.model).residuals(self.actions[actions], prompts.state.rows(origin))
        residuals = torch.cat([prompts.read[origin].unsqueeze(1), after], dim=1)
        self.used[self._read_by] += actions.numel()
        self.used[HEADS] += residuals.shape[0] * residuals.shape[1]
        return self.judges.worth(self.critic.values(residuals).float())

    def step(self, nodes: Nodes, actions: Int[Tensor, " T"]) -> Transition[Nodes]:
        """The same, as a search asks for it."""
        after = self.after(nodes, actions)
        worth = self.worth(after)
        if after.rules is not None:
            return Transition(after, torch.zeros_like(worth), torch.zeros(len(after), dtype=torch.bool))
        ended = after.parts[ENDED]
        return Transition(after, worth * ended, ended)

    def evaluate(self, nodes: Nodes) -> Evaluation:
        """What nodes are worth: computed with the step that led to them."""
        legal = None if nodes.rules is None else nodes.rules.legal()
        return Evaluation(nodes.parts[LOGITS], self.worth(nodes), legal)

    def worth(self, nodes: Nodes) -> Float[Tensor, " T"]:
        """The critic's heads as one number for each node."""
        return self.judges.worth(nodes.parts[VALUES])

    def world(self) -> World[Nodes]:
        """Its behaviours, for a search."""
        return World(self.step, self.evaluate, len(self.actions), NodeShelf.like)

    @property
    def _read_by(self) -> str:
        """Whose tokens those are that the critic alone reads."""
        return BACKBONE if self.critic.backbone is None else CRITIC_BACKBONE

    def _judged(
        self,
        parts: dict[str, Tensor],
        read: Float[Tensor, "T L D"],
        judged: Float[Tensor, "T L D"],
        rules: Legality | None,
    ) -> Nodes:
        logits = self._policy(read).float()
        parts[LOGITS] = logits[:, self.actions]
        parts[ENDED] = torch.zeros(len(logits), dtype=torch.bool, device=logits.device)
        if self.end is not None:
            parts[ENDED] = logits[:, self.end] > parts[LOGITS].amax(1)
        parts[VALUES] = self.critic.values(judged).float()
        self.used[HEADS] += len(judged)
        return Nodes(parts, rules)

    def _policy(self, read: Float[Tensor, "T L D"]) -> Float[Tensor, "T V"]:
        """Scores of every token id."""
        if self.fusion is None:
            return self.model.logits(self.model.norm(read[:, -1]))
        self.used[FUSED] += len(read)
        return self.fusion.logits(self.model, read)


def _last_of(model: Thinking, tokens: Int[Tensor, "B P"]) -> tuple[Float[Tensor, "B L D"], State]:
    """The residuals of the last token, and the state after it; those of the others are never held at once."""
    state = model.hidden(tokens[:, :-1])[1] if tokens.shape[1] > 1 else None
    residuals, state = model.residuals(tokens[:, -1:], state)
    return residuals[:, 0], state


def _named(prefix: str, state: State) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.tensors().items()}


def _state(prefix: str, parts: dict[str, Tensor], rows: Tensor | slice, position: int) -> State:
    held = {name[len(prefix) :]: part[rows] for name, part in parts.items() if name.startswith(prefix)}
    return State.from_tensors(held, position)


def _stepped(
    model: Thinking, prefix: str, parts: dict[str, Tensor], tokens: Int[Tensor, " T"], position: Int[Tensor, " T"]
) -> tuple[Float[Tensor, "T L D"], dict[str, Tensor]]:
    """One token for each node: the residuals that it leaves, and the states after it.

    A state knows one position for all of its rows, and a model looks at nothing of it but whether StateNorm is due.
    """
    period = model.norm_period
    if period is None:
        residuals, state = model.residuals(tokens[:, None], _state(prefix, parts, slice(None), 1))
        return residuals[:, 0], _named(prefix, state)
    due = (position > 0) & (position % period == 0)
    found: Tensor | None = None
    after: dict[str, Tensor] = {}
    for rows, stands_at in ((due, period), (~due, 1)):
        if not bool(rows.any()):
            continue
        residuals, state = model.residuals(tokens[rows, None], _state(prefix, parts, rows, stands_at))
        if found is None:
            found = residuals.new_zeros(len(tokens), *residuals.shape[2:])
            after = {name: part.new_zeros(len(tokens), *part.shape[1:]) for name, part in _named(prefix, state).items()}
        found[rows] = residuals[:, 0]
        for name, part in _named(prefix, state).items():
            after[name][rows] = part
    if found is None:
        raise ValueError("there are no nodes to step")
    return found, after
