"""A world model in the latent space of a backbone: what its layers would hold after actions that it has not read.

    z_l = tanh(W_l r_l / rms(r_l) + b_l)       h = [z_1, …, z_L]       h' = GRU(E[action], h)

r_l is the residual stream after layer l, at one token. Projections are linear and bounded, since a state of a GRU that
starts within [-1, 1] stays there. States are those of a `GruWorld`, so every search takes them as they are.

B positions   L layers   D width of the residual stream   H width of a state
"""

import torch
from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor, nn

from think.core.models.layers import EPSILON
from think.core.planning.gru import GruWorld
from think.presets.base import Settings, knob


class DynamicsSettings(Settings):
    """A latent world model."""

    latent: PositiveInt = knob(64, acts_on="graph")
    "numbers that the state keeps of each layer"
    embedding: PositiveInt = knob(64, acts_on="graph")
    "width of an action's embedding"
    values: PositiveInt = knob(1, acts_on="graph")
    "value heads; a search takes the mean of their probabilities"


class Dynamics(nn.Module):
    """The world model of a backbone: `root` makes states of what the backbone holds, `world` goes on from them."""

    def __init__(self, settings: DynamicsSettings, layers: int, width: int, actions: int):
        """layers, width: of the backbone."""
        super().__init__()
        self.settings = settings
        projections = [nn.Linear(width, settings.latent) for _ in range(layers)]
        for projection in projections:
            nn.init.normal_(projection.weight, std=width**-0.5)  # latents as wide as the normed residuals
            nn.init.zeros_(projection.bias)
        self.projections = nn.ModuleList(projections)
        self.world = GruWorld(
            actions,
            layers * settings.latent,
            embedding=settings.embedding,
            values=settings.values,
            end=True,
            squash=True,
        )

    def root(self, residuals: Float[Tensor, "*B L D"]) -> Float[Tensor, "*B H"]:
        """The state of positions at which the backbone holds these residuals."""
        normed = residuals * torch.rsqrt(residuals.square().mean(-1, keepdim=True) + EPSILON)
        latents = [project(layer) for project, layer in zip(self.projections, normed.unbind(-2), strict=True)]
        return torch.tanh(torch.cat(latents, dim=-1))

    def layers(self, states: Float[Tensor, "*B H"]) -> Float[Tensor, "*B L Z"]:
        """The latents of each layer in a state."""
        return states.unflatten(-1, (len(self.projections), -1))
