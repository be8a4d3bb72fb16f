"""A planner's cost of one's own: be there early, each block counting twice as much as the next."""

import torch

from spectral_jepa._streams import torch_generator
from spectral_jepa.pixels.config import PlanningConfig
from spectral_jepa.pixels.planning.latent import plan


def early(predicted, goal):
    """Predicted latents (E, S, H, D) of S plans, goals (E, 1, 1, D) -> a cost a plan (E, S)."""
    return (0.5 ** torch.arange(predicted.shape[2]) * (predicted - goal).square().sum(-1)).sum(-1)


class Adder:
    """A model in which an action block moves the latent."""

    def rollout(self, latents, blocks):
        """Latents (N, 1, D) and blocks (N, H, D) -> latents (N, H, D)."""
        return latents[:, -1:] + blocks.cumsum(1)


goal = torch.tensor([[2.0, -1.0]])
blocks = plan(Adder(), PlanningConfig(cost=early), torch.zeros(1, 2), goal, [torch_generator(0)], block_dim=2)
print("first block:", blocks[0, 0].round(decimals=1).tolist())
