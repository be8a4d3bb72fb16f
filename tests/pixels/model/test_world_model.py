import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from spectral_jepa._validation import InputError
from spectral_jepa.pixels.config import ModelConfig
from spectral_jepa.pixels.model.encoder import ConvEncoder, ResNet18, VisionTransformer, encode_pictures
from spectral_jepa.pixels.model.predictor import ActionEncoder, ConditionedBlock, Predictor, attend_few
from spectral_jepa.pixels.model.world_model import WorldModel
from spectral_jepa.pixels.presets import SMALL, TINY

VIT = replace(TINY.model, encoder="vit", image_size=16, patch_size=8, encoder_width=12, encoder_depth=2, encoder_heads=3)


def count(module):
    return sum(p.numel() for p in module.parameters())


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def awake(config, seed=0):
    """A model whose blocks act: the modulations, zero at the start, are drawn, and so are BatchNorm's statistics."""
    model = WorldModel(config, seed).eval()
    generator = torch.Generator().manual_seed(seed + 1)
    for module in model.modules():
        if isinstance(module, ConditionedBlock):
            nn.init.normal_(module.modulation.weight, std=0.3, generator=generator)
            nn.init.normal_(module.modulation.bias, std=0.3, generator=generator)
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.running_mean, generator=generator)
            nn.init.uniform_(module.running_var, 0.5, 2, generator=generator)
    return model


@pytest.fixture(scope="module")
def published():
    return WorldModel(ModelConfig())


def test_published_parameter_counts(published):
    counts = {name: count(module) for name, module in published.named_children() if count(module)}
    assert counts == {
        "encoder": 5_501_376,
        "projector": 792_768,
        "predictor": 10_791_360,
        "predictor_projector": 792_768,
        "action_encoder": 156_206,
    }
    assert count(published) == 18_034_478
    assert [count(block) for block in published.predictor.blocks] == [1_798_400] * 6
    assert count(ActionEncoder(25, 192)) == 156_356
    floats = [value for value in published.state_dict().values() if value.is_floating_point()]
    counters = len(published.state_dict()) - len(floats)
    assert (sum(value.numel() for value in floats) + counters, len(published.state_dict())) == (18_042_672, 303)


def test_published_initial_values(published):
    assert 0.9 < published.predictor.position.std() < 1.1
    for parameter in (
        published.encoder.position,
        published.encoder.patches.weight,
        published.encoder.blocks[3].hidden.weight,
    ):
        assert 0.018 < parameter.std() < 0.022
    assert not published.encoder.blocks[0].attention.query.bias.any()


def test_resnet18_has_the_known_number_of_parameters():
    encoder = ResNet18()
    assert count(encoder) == 11_176_512
    assert len(encoder.state_dict()) == 120  # 122 tensors with the classifier's two
    assert encoder.eval()(torch.zeros(1, 3, 224, 224)).shape == (1, 512)
    assert encoder.blocks(encoder.stem(torch.zeros(1, 3, 224, 224))).shape == (1, 512, 7, 7)


def test_small_preset_is_small():
    from torch.utils.flop_counter import FlopCounterMode

    model = WorldModel(SMALL.model)
    with FlopCounterMode(display=False) as counter:
        model.encoder(torch.zeros(1, 3, 64, 64))
    assert 2e6 < counter.get_total_flops() < 12e6
    assert 3e5 < count(model) < 6e5
    assert model.encoder.convolutions(torch.zeros(1, 3, 64, 64)).shape == (1, 64, 4, 4)


@pytest.mark.parametrize("size", [8, 32, 48, 64, 96])
def test_convolutional_encoder_takes_any_size(size):
    encoder = ConvEncoder(replace(TINY.model, image_size=size))
    assert encoder(torch.zeros(2, 3, size, size)).shape == (2, encoder.width)


def test_convolutional_encoder_tells_positions_apart():
    model = WorldModel(SMALL.model).eval()
    frames = torch.zeros(4, 3, 64, 64)
    for index, (row, column) in enumerate([(8, 8), (8, 50), (50, 8), (50, 50)]):
        frames[index, :, row : row + 4, column : column + 4] = 1
    latents = model.encode(frames)
    assert torch.pdist(latents).min() > 1e-3 * latents.abs().max()


def test_vision_transformer_equals_a_plain_loop():
    torch.manual_seed(0)
    encoder = VisionTransformer(VIT).double()
    for parameter in encoder.parameters():
        nn.init.normal_(parameter, std=0.5)
    frame = torch.rand(3, 16, 16, dtype=torch.float64)

    tokens = [encoder.class_token[0, 0]]
    for row in range(2):
        for column in range(2):
            patch = frame[:, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            tokens.append((encoder.patches.weight * patch).sum((1, 2, 3)) + encoder.patches.bias)
    x = torch.stack(tokens) + encoder.position[0]
    for block in encoder.blocks:
        normed = plain_norm(x, block.attention_norm, 1e-12)
        q, k, v = (
            normed @ layer.weight.T + layer.bias
            for layer in (block.attention.query, block.attention.key, block.attention.value)
        )
        mixed = torch.cat([plain_attention(q, k, v, slice(4 * h, 4 * h + 4), causal=False) for h in range(3)], 1)
        x = x + mixed @ block.attention.output.weight.T + block.attention.output.bias
        normed = plain_norm(x, block.hidden_norm, 1e-12)
        x = x + plain_gelu(normed @ block.hidden.weight.T + block.hidden.bias) @ block.output.weight.T + block.output.bias
    expected = plain_norm(x[0], encoder.norm, 1e-12)
    torch.testing.assert_close(encoder(frame[None])[0], expected, rtol=1e-10, atol=1e-10)


def plain_norm(x, layer, eps):
    centered = x - x.mean(-1, keepdim=True)
    normed = centered / (centered.square().mean(-1, keepdim=True) + eps).sqrt()
    return normed if layer is None else normed * layer.weight + layer.bias


def plain_gelu(x):
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def plain_attention(q, k, v, part, causal):
    rows = []
    for t in range(len(q)):
        end = t + 1 if causal else len(k)
        score = torch.stack([q[t, part] @ k[s, part] for s in range(end)]) / math.sqrt(part.stop - part.start)
        share = score.exp() / score.exp().sum()
        rows.append(sum(share[s] * v[s, part] for s in range(end)))
    return torch.stack(rows)


def test_conditioned_block_equals_a_plain_loop():
    config = replace(TINY.model, predictor_width=6, predictor_heads=2, predictor_head_dim=5, predictor_hidden=7)
    block = ConditionedBlock(config).double().eval()
    torch.manual_seed(1)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.7)
    x, condition = draw(3, 6).double(), draw(3, 6, seed=1).double()
    modulation = F.silu(condition) @ block.modulation.weight.T + block.modulation.bias

    shift, scale, gate, shift_2, scale_2, gate_2 = (modulation[:, 6 * i : 6 * i + 6] for i in range(6))
    inner = plain_norm(plain_norm(x, None, 1e-6) * (1 + scale) + shift, block.attention.norm, 1e-5)
    projected = inner @ block.attention.qkv.weight.T
    q, k, v = projected[:, :10], projected[:, 10:20], projected[:, 20:]
    mixed = torch.cat([plain_attention(q, k, v, slice(5 * h, 5 * h + 5), causal=True) for h in range(2)], 1)
    y = x + gate * (mixed @ block.attention.output.weight.T + block.attention.output.bias)
    norm, first, _, _, second, _ = block.feed_forward
    inner = plain_norm(plain_norm(y, None, 1e-6) * (1 + scale_2) + shift_2, norm, 1e-5)
    y = y + gate_2 * (plain_gelu(inner @ first.weight.T + first.bias) @ second.weight.T + second.bias)

    result = block(x[None], modulation[None])[0]
    torch.testing.assert_close(result[0], y, rtol=1e-10, atol=1e-10)
    assert (y - x).abs().max() > 0.1


def test_blocks_start_as_the_identity_and_then_move():
    predictor = Predictor(TINY.model).train()
    tokens, conditions = draw(5, 3, 16), draw(5, 3, 16, seed=1)
    for block, modulation in zip(predictor.blocks, predictor.modulations(conditions), strict=True):
        assert not modulation.any()
        assert torch.equal(block(tokens, modulation)[0], tokens)
        # The gates get a gradient, so training leaves the identity.
        block(tokens, modulation)[0].square().sum().backward()
    assert predictor.blocks[0].modulation.weight.grad.abs().max() > 0


def test_prediction_is_causal():
    model = awake(SMALL.model).double()
    latents, blocks = draw(4, 3, 64).double(), draw(4, 3, 10, seed=1).double()
    base = model.predict(latents, blocks)
    for t in range(3):
        for which in ("latents", "blocks"):
            changed = {"latents": latents.clone(), "blocks": blocks.clone()}
            changed[which][:, t] += draw(4, changed[which].shape[-1], seed=2)
            moved = (model.predict(**changed) - base).abs().amax((0, 2))
            assert (moved[:t] == 0).all()
            assert (moved[t:] > 1e-4).all(), (which, t)
    assert_close_to_scale(model.predict(latents[:, :1], blocks[:, :1])[:, 0], base[:, 0])


@pytest.mark.parametrize("history", [1, 2, 3])
@pytest.mark.parametrize("given", [1, 2, 3, 5])
@pytest.mark.parametrize("dim", [16, 10])
def test_rollout_equals_a_slow_loop(history, given, dim):
    model = awake(replace(TINY.model, history=history, embedding_dim=dim, predictor_depth=2)).double()
    latents, blocks = draw(3, given, dim).double(), draw(3, given - 1 + 6, 10, seed=1).double()
    window = latents
    for end in range(given, given + 6):
        start = max(0, end - history)
        window = torch.cat([window, model.predict(window[:, start:end], blocks[:, start:end])[:, -1:]], 1)
    past = blocks[:, : given - 1] if given > 1 else None
    result = model.rollout(latents, blocks[:, given - 1 :], past)
    torch.testing.assert_close(result, window[:, given:], rtol=1e-10, atol=1e-10)
    assert (result - result[:1]).abs().max() > 1e-2


def test_rollout_passes_gradients_to_the_blocks():
    model = awake(SMALL.model).double()
    latents, blocks = draw(2, 1, 64).double(), draw(2, 5, 10, seed=1).double().requires_grad_()
    model.rollout(latents, blocks)[:, -1].square().sum().backward()
    direction = draw(2, 5, 10, seed=2).double()

    @torch.no_grad()
    def cost(size):
        return float(model.rollout(latents, blocks + size * direction)[:, -1].square().sum())

    slope = (cost(1e-5) - cost(-1e-5)) / 2e-5
    assert abs(slope) > 1e-2
    assert float((blocks.grad * direction).sum()) == pytest.approx(slope, rel=1e-5)
    assert (blocks.grad.abs().amax((0, 2)) > 0).all()


def test_dropout_acts_in_training_only():
    model = awake(replace(SMALL.model, dropout=0.5))
    latents, blocks = draw(4, 3, 64), draw(4, 3, 10, seed=1)
    assert torch.equal(model.predict(latents, blocks), model.predict(latents, blocks))
    model.predictor.train()
    for length in (1, 3):
        with torch.random.fork_rng(devices=[]):
            first, second = (model.predict(latents[:, :length], blocks[:, :length]) for _ in range(2))
        assert (first - second).abs().max() > 1e-3


def test_encode_takes_both_layouts_and_both_types():
    model = awake(SMALL.model).double()
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (2, 3, 64, 64, 3), dtype=torch.uint8, generator=generator)
    latents = model.encode(frames)
    assert latents.shape == (2, 3, 64)
    assert (latents - latents[0, 0]).abs().max() > 1e-2
    for other in (frames.movedim(-1, -3), frames.double() / 255, frames.movedim(-1, -3).contiguous().double() / 255):
        assert_close_to_scale(model.encode(other), latents)


def test_frames_are_normalised_with_imagenet_statistics():
    model = WorldModel(TINY.model)
    seen = []
    model.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    frame = torch.tensor([0, 51, 255], dtype=torch.uint8).expand(2, 32, 32, 3)
    model.encode(frame)
    expected = torch.tensor([(0 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, (1 - 0.406) / 0.225])
    torch.testing.assert_close(seen[0], expected.view(1, 3, 1, 1).expand(2, 3, 32, 32))


def test_batchnorm_sees_all_frames_of_all_clips():
    model = WorldModel(TINY.model).train()
    frames = torch.rand(5, 4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    hidden = []
    model.projector[0].register_forward_hook(lambda _, __, output: hidden.append(output))
    model.encode(frames)
    assert hidden[0].shape == (20, 32)
    momentum = 0.1
    torch.testing.assert_close(model.projector[1].running_mean, momentum * hidden[0].mean(0))
    torch.testing.assert_close(model.projector[1].running_var, 1 - momentum + momentum * hidden[0].var(0))
    model.predict(draw(5, 3, 16), draw(5, 3, 10))
    assert model.predictor_projector[1].num_batches_tracked == 1


@pytest.mark.parametrize(
    ("changes", "n_tensors"),
    [
        ({}, 0),
        ({"embedding_dim": 10}, 6),
        ({"embedding_dim": 24, "predictor_depth": 2}, 6),
        ({"encoder": "resnet18"}, 0),
        ({"encoder": "vit", "patch_size": 8, "encoder_width": 12, "encoder_depth": 2}, 0),
        ({"action_dim": 5, "action_block": 1, "history": 2}, 0),
    ],
)
def test_other_shapes(changes, n_tensors):
    config = replace(TINY.model, **changes)
    model, dim = awake(config), config.embedding_dim
    latents = model.encode(torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert latents.shape == (2, dim)
    out = model.rollout(latents[:, None], draw(2, 4, config.action_dim * config.action_block))
    assert out.shape == (2, 4, dim)
    assert out.isfinite().all()
    projections = [m for m in (model.predictor.input, model.predictor.condition, model.predictor.output) if count(m)]
    assert 2 * len(projections) == n_tensors
    assert model.action_encoder.hidden.out_features == 4 * dim


def test_state_dict_round_trip():
    first, second = awake(VIT, seed=0), WorldModel(VIT, seed=5).eval()
    frames = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(first.encode(frames), second.encode(frames), atol=1e-3)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.encode(frames), second.encode(frames))
    latents, blocks = draw(3, 2, 16), draw(3, 2, 10)
    assert torch.equal(first.predict(latents, blocks), second.predict(latents, blocks))


def test_seed_pins_the_weights_and_leaves_the_global_stream():
    before = torch.get_rng_state()
    first, again, other = WorldModel(VIT, 3), WorldModel(VIT, 3), WorldModel(VIT, 4)
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert not torch.equal(first.encoder.patches.weight, other.encoder.patches.weight)


def test_bfloat16_autocast_stays_close():
    model = awake(SMALL.model)
    latents, blocks = draw(4, 1, 64), draw(4, 5, 10, seed=1)
    exact = model.rollout(latents, blocks)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model.rollout(latents, blocks)
        assert model.encode(torch.rand(2, 3, 64, 64)).isfinite().all()
    assert 0 < (rough.float() - exact).abs().max() < 0.1 * exact.abs().max()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.encode(torch.zeros(2, 3, 31, 32)), r"\(2, 3, 31, 32\).*resize"),
        (lambda m: m.encode(torch.zeros(2, 3, 32, 32, dtype=torch.int64)), "int64.*uint8"),
        (lambda m: m.predict(torch.zeros(2, 4, 16), torch.zeros(2, 4, 10)), "4 time steps.*history 3"),
        (lambda m: m.predict(torch.zeros(2, 2, 16), torch.zeros(2, 3, 10)), r"blocks has shape \(2, 3, 10\)"),
        (lambda m: m.predict(torch.zeros(2, 2, 16), torch.zeros(2, 2, 25)), "action_block 5 x action_dim 2"),
        (lambda m: m.predict(torch.zeros(2, 16), torch.zeros(2, 10)), "time axis"),
        (lambda m: m.rollout(torch.zeros(2, 2, 16), torch.zeros(2, 3, 10)), "past_blocks is missing"),
        (lambda m: m.rollout(torch.zeros(2, 2, 16), torch.zeros(2, 3, 10), torch.zeros(2, 2, 10)), "past_blocks has shape"),
        (lambda m: m.rollout(torch.zeros(2, 1, 16), torch.zeros(3, 3, 10)), "blocks has shape"),
        (lambda m: WorldModel(replace(TINY.model, predictor_heads=0)), "predictor_heads is 0"),
    ],
)
def test_wrong_input_is_one_sentence(call, words):
    with pytest.raises(InputError, match=words):
        call(WorldModel(TINY.model))


@pytest.mark.parametrize("config", [VIT, replace(TINY.model, image_size=16)])
def test_encoding_in_pieces_is_encoding(config, monkeypatch):
    monkeypatch.setattr("spectral_jepa.pixels.model.encoder.CPU_PIXELS", 3 * 16**2)
    # An identity: in double precision, where its rounding depends on no machine's instructions.
    encoder = WorldModel(config).encoder.double()
    pictures = draw(7, 3, 16, 16).double()
    sizes = []
    handle = encoder.register_forward_pre_hook(lambda module, given: sizes.append(len(given[0])))
    pieces = encode_pictures(encoder, torch.nn.Identity(), pictures)
    handle.remove()
    assert sizes == [3, 3, 1]
    whole = encoder(pictures)
    assert_close_to_scale(pieces, whole)
    gradients = [torch.autograd.grad(out.square().sum(), list(encoder.parameters())) for out in (pieces, whole)]
    for mine, other in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-11)


def assert_close_to_scale(found, expected, share=1e-11):
    """Compare with the largest entry of the whole tensor: a small one among large ones has their rounding."""
    assert float((found - expected).detach().abs().max()) <= share * float(expected.detach().abs().max())


def test_batch_statistics_see_the_whole_batch(monkeypatch):
    monkeypatch.setattr("spectral_jepa.pixels.model.encoder.CPU_PIXELS", 32**2)
    sizes = []
    encoder = ResNet18()
    encoder.register_forward_pre_hook(lambda module, given: sizes.append(len(given[0])))
    encode_pictures(encoder, torch.nn.Identity(), draw(3, 3, 32, 32))
    assert sizes == [3]


@pytest.mark.parametrize(("n_queries", "n_keys"), [(1, 2), (1, 3), (2, 3), (3, 3)])
def test_attention_by_sums_is_attention(n_queries, n_keys):
    q, k, v = (draw(5, n, 8, seed=seed).double() for seed, n in enumerate((n_queries, n_keys, n_keys)))
    expected = torch.empty(5, n_queries, 8, dtype=torch.float64)
    for head in (slice(0, 4), slice(4, 8)):
        scores = torch.einsum("bmd,bnd->bmn", q[..., head], k[..., head]) / 4**0.5
        later = torch.arange(n_keys) > torch.arange(n_queries)[:, None] + n_keys - n_queries
        weight = scores.masked_fill(later, -torch.inf).softmax(-1)
        expected[..., head] = torch.einsum("bmn,bnd->bmd", weight, v[..., head])
    torch.testing.assert_close(attend_few(q, k, v, 2), expected, rtol=1e-12, atol=1e-12)
