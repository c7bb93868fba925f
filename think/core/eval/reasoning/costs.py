"""What arms compute, in floating-point operations: 2 for each weight that a token meets, and what grows with the state.

A forward pass is a third of what training a token costs. Reading a prompt, taking a step, judging a place: each is
counted where it is done, so an arm that judges its answers pays for the critic as a search does.
"""

from collections import Counter

from think.core.eval.reasoning.player import Player
from think.core.models.count import flops_per_token
from think.core.models.thinking import Thinking
from think.core.planning.critic import Critic
from think.core.planning.exact import BACKBONE, CRITIC_BACKBONE, FUSED, HEADS, ExactWorld

TRAINING = 3
"A forward pass is a third of what training a token costs."

OTHER = "larger"


def counted(player: Player) -> Counter[str]:
    """Tokens read by each backbone, and places judged, since the player was made."""
    found: Counter[str] = Counter({BACKBONE: player.tokens})
    if player.planner is not None:
        found += player.planner.world.used
    if player.latent is not None:
        found.update(player.latent.used)
    if player.larger is not None:
        found[OTHER] += player.larger.tokens
    return found


def flops(player: Player) -> int:
    """Of all that was counted."""
    found, prices = counted(player), {BACKBONE: per_token(player.model)}
    if player.planner is not None:
        world = player.planner.world
        prices |= {CRITIC_BACKBONE: per_token_of_critic(world.critic), HEADS: 2 * world.critic.parameters_of_heads()}
        prices[FUSED] = per_fusion(world)
    if player.latent is not None:
        prices |= player.latent.prices
    if player.larger is not None:
        prices[OTHER] = per_token(player.larger.model)
    return sum(count * prices[name] for name, count in found.items() if count)


def tokens(player: Player) -> int:
    """Read by all backbones together."""
    found = counted(player)
    return found[BACKBONE] + found[CRITIC_BACKBONE] + found[OTHER]


def per_token(model: Thinking) -> int:
    """One token read, logits included."""
    return flops_per_token(model.settings, 1, model) // TRAINING


def per_token_of_critic(critic: Critic) -> int:
    """One token read by the critic's own backbone, which makes no logits; 0 where it has none."""
    if critic.backbone is None:
        return 0
    sizes = critic.backbone.settings
    return per_token(critic.backbone) - 2 * sizes.vocabulary * sizes.width


def per_fusion(world: ExactWorld) -> int:
    """The layers of one place as one residual stream; its norm and its logits are those of a token that is read."""
    sizes = world.model.settings
    return 2 * sizes.layers * sizes.width


def parameters(player: Player) -> dict[str, int]:
    """Weights of each part, shared ones once."""
    found = {BACKBONE: sum(p.numel() for p in player.model.parameters())}
    if player.planner is not None:
        found["critic"] = sum(p.numel() for p in player.planner.world.critic.parameters())
        if player.planner.world.fusion is not None:
            found[FUSED] = sum(p.numel() for p in player.planner.world.fusion.parameters())
    if player.latent is not None:
        found["dynamics"] = sum(p.numel() for p in player.latent.dynamics.parameters())
    if player.larger is not None:
        found[OTHER] = sum(p.numel() for p in player.larger.model.parameters())
    return found
