from dataclasses import replace

import pytest
import torch
from torch import nn

from spectral_jepa._streams import torch_generator
from spectral_jepa._validation import InputError
from spectral_jepa.pixels.config import PlanningConfig
from spectral_jepa.pixels.model.cloning import GoalConditionedPolicy
from spectral_jepa.pixels.model.patch_tokens import PATCH_TOKENS, PatchTokenPredictor
from spectral_jepa.pixels.planning.latent import plan
from spectral_jepa.pixels.presets import TINY
from spectral_jepa.pixels.training.cloning import CloningObjective

PATCHES = replace(
    PATCH_TOKENS, image_size=16, patch_size=8, encoder_width=12, encoder_depth=1, encoder_heads=2, predictor_depth=2,
    predictor_heads=2, predictor_head_dim=5, predictor_hidden=9,
)  # fmt: skip


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def dots(position):
    """Pictures of a 6 x 6 square whose corner is at round(13 + 10 x), 13 + 10 y in a 32 px field, x and y in [-1, 1]."""
    corner = (13 + 10 * position).round().long()
    grid = torch.arange(32)
    rows = (grid >= corner[..., 1:]) & (grid < corner[..., 1:] + 6)
    columns = (grid >= corner[..., :1]) & (grid < corner[..., :1] + 6)
    return 255 * (rows[..., :, None] & columns[..., None, :]).to(torch.uint8)[..., None].expand(*rows.shape, 32, 3)


class Recorder(nn.Module):
    """Stands in for the policy: embeddings hold the frame's number; keeps what it is asked."""

    def __init__(self, n_blocks):
        super().__init__()
        self.n_blocks, self.asked = n_blocks, None

    def encode(self, frames):
        return frames.float()

    def forward(self, latents, goals):
        self.asked = (latents[..., 0], goals[..., 0])
        return torch.zeros(*latents.shape[:-1], self.n_blocks, 2)


@pytest.mark.parametrize("n_blocks", [1, 2, 3])
def test_cloning_asks_each_frame_for_a_later_one(n_blocks):
    n_clips, n_frames = 3000, 5
    frames = torch.arange(n_frames).expand(n_clips, -1)[..., None]
    blocks = draw(n_clips, n_frames, 2)
    model = Recorder(n_blocks)
    parts = CloningObjective()(model, frames, blocks, torch.Generator().manual_seed(0))
    starts, goals = model.asked
    n_starts = {1: 4, 2: 4, 3: 3}[n_blocks]
    assert torch.equal(starts[0], torch.arange(n_starts).float())
    for t in range(n_starts):
        shares = [(goals[:, t] == g).float().mean().item() for g in range(n_frames)]
        later = n_frames - 1 - t
        assert shares == pytest.approx([0.0] * (t + 1) + [1 / later] * later, abs=0.05)
    # The stand-in answers 0, so the loss is the mean square of the blocks t .. t + n_blocks - 1.
    wanted = torch.stack([blocks[:, t : t + n_blocks] for t in range(n_starts)], 1)
    assert float(parts["loss"]) == pytest.approx(float(wanted.square().mean()), rel=1e-5)
    assert float(parts["regularizer"]) == 0


def test_cloning_learns_to_walk_towards_the_goal():
    config = replace(TINY.model, action_block=1)
    policy, objective = GoalConditionedPolicy(config), CloningObjective()
    optimizer = torch.optim.AdamW(policy.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(0)

    def batch(n):
        """Clips of two frames: the action is the difference of the positions."""
        ends = 2 * torch.rand(n, 2, 2, generator=generator) - 1
        return dots(ends), (ends[:, 1] - ends[:, 0])[:, None].expand(-1, 2, -1)

    for _ in range(150):
        frames, blocks = batch(64)
        loss = objective(policy, frames, blocks, generator)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    frames, blocks = batch(200)
    policy.eval()
    error = (policy.act(frames[:, 0], frames[:, 1])[:, 0] - blocks[:, 0]).square().mean()
    blind = (policy.act(frames[:, 0], frames[:, 0])[:, 0] - blocks[:, 0]).square().mean()
    # The variance of a difference of two uniform numbers in [-1, 1] is 2/3; one that sees its own place only has 1/3.
    assert error < 0.1
    assert blind > 0.3


def test_policy_shapes_seed_and_projector_are_those_of_the_world_model():
    policy, again = GoalConditionedPolicy(TINY.model, 3, n_blocks=2), GoalConditionedPolicy(TINY.model, 3, n_blocks=2)
    for name, value in policy.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    frames = torch.zeros(4, 3, 32, 32)
    assert policy.eval().act(frames, frames).shape == (4, 2, 10)
    assert policy(draw(2, 5, 16), draw(2, 5, 16)).shape == (2, 5, 2, 10)
    with pytest.raises(InputError, match="n_blocks is 0"):
        GoalConditionedPolicy(TINY.model, n_blocks=0)
    with pytest.raises(InputError, match="T >= 2"):
        CloningObjective()(policy, torch.zeros(2, 1, 3, 32, 32), torch.zeros(2, 1, 10), torch.Generator())


def masked_forward(model, latents, blocks):
    """The predictor on a whole window at once, with a mask between frames."""
    n_frames, n_tokens = latents.shape[1], model.n_tokens
    actions = model.action_encoder(blocks)[:, :, None].expand(-1, -1, n_tokens, -1)
    x = torch.cat([latents.unflatten(-1, (n_tokens, -1)), actions], -1) + model.position[:n_frames]
    x = x.flatten(1, 2)
    frame = torch.arange(n_frames).repeat_interleave(n_tokens)
    hidden = frame[:, None] < frame[None, :]
    for block in model.blocks:
        q, k, v = block.qkv(block.norm(x)).chunk(3, -1)
        heads = []
        for h in range(2):
            part = slice(5 * h, 5 * h + 5)
            score = (q[..., part] @ k[..., part].mT / 5**0.5).masked_fill(hidden, -torch.inf)
            heads.append(score.softmax(-1) @ v[..., part])
        x = x + block.output(torch.cat(heads, -1))
        x = x + block.feed_forward(x)
    return model.norm(x)[:, -n_tokens:, :12].flatten(1)


@pytest.mark.parametrize("given", [1, 2, 3])
def test_patch_rollout_equals_a_masked_slow_loop(given):
    model = PatchTokenPredictor(PATCHES).eval().double()
    dim = 4 * 12
    latents, blocks = draw(2, given, dim).double(), draw(2, given - 1 + 5, 10, seed=1).double()
    window = latents
    for end in range(given, given + 5):
        start = max(0, end - 3)
        step = masked_forward(model, window[:, start:end], blocks[:, start:end])
        window = torch.cat([window, step[:, None]], 1)
    result = model.rollout(latents, blocks[:, given - 1 :], blocks[:, : given - 1] if given > 1 else None)
    torch.testing.assert_close(result, window[:, given:], rtol=1e-9, atol=1e-9)
    assert (result[0] - result[1]).abs().max() > 0.1
    if given > 1:
        with pytest.raises(InputError, match="past_blocks"):
            model.rollout(latents, blocks)


def test_patch_predictor_has_the_published_shape():
    model = PatchTokenPredictor()
    assert (model.n_tokens, model.token_width, model.config.embedding_dim) == (256, 384, 98_304)
    assert model.position.shape == (3, 256, 394)
    width, inner, hidden = 394, 1024, 2048
    block = 2 * width + width * 3 * inner + inner * width + width + 2 * width + 2 * width * hidden + hidden + width
    assert [sum(p.numel() for p in b.parameters()) for b in model.blocks] == [block] * 6
    # ViT-S/14 at 224 px without a classifier.
    per_layer = 4 * 384 + 4 * (384 * 384 + 384) + 2 * 4 * 384 * 384 + 5 * 384
    vit = 384 + 257 * 384 + 3 * 196 * 384 + 384 + 12 * per_layer + 2 * 384
    assert sum(p.numel() for p in model.encoder.parameters()) == vit
    assert not any(p.requires_grad for p in model.encoder.parameters())


def test_patch_predictor_plans():
    model = PatchTokenPredictor(PATCHES).eval()
    frames = torch.randint(0, 256, (3, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    latents = model.encode(frames)
    assert latents.shape == (3, 48)
    config = PlanningConfig(n_samples=8, n_elites=3, n_iterations=2)
    goals = model.encode(frames.flip(1))
    blocks = plan(model, config, latents, goals, [torch_generator(0, i) for i in range(3)])
    assert blocks.shape == (3, 5, 10)
    with pytest.raises(InputError, match="expected 'vit'"):
        PatchTokenPredictor(TINY.model)
