"""The public layout against numbers of the field's own code (benchmarks/published_weights.py), and what is refused."""

import importlib
import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from spectral_jepa.pixels.config import ModelConfig
from spectral_jepa.pixels.model.published import (
    RENAMED,
    load_published,
    older_name,
    published_name,
    published_settings,
    published_shape,
    write_published,
)
from spectral_jepa.pixels.model.world_model import WorldModel
from spectral_jepa.pixels.presets import preset

pytestmark = pytest.mark.usefixtures("few_threads")
ROOT = Path(__file__).resolve().parents[3]
THEIRS = json.loads((Path(__file__).parent / "published_numbers.json").read_text())
TINY = replace(preset("tiny").model, encoder="vit", image_size=16, patch_size=8, encoder_depth=1, encoder_heads=2)
# transformers 4 -> 5, the other way round than the module has it.
ANEW = (
    ("attention.attention.query", "attention.q_proj"),
    ("attention.attention.key", "attention.k_proj"),
    ("attention.attention.value", "attention.v_proj"),
    ("attention.output.dense", "attention.o_proj"),
    ("intermediate.dense", "mlp.fc1"),
    ("output.dense", "mlp.fc2"),
)


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield importlib.import_module("published_weights")


@pytest.fixture
def folder(tmp_path):
    write_published(WorldModel(TINY), tmp_path)
    return tmp_path


def change(folder, update):
    """Rewrite the tensors of a folder."""
    state = torch.load(folder / "weights.pt", weights_only=True)
    update(state)
    torch.save(state, folder / "weights.pt")


def far(bench, model, case):
    """Largest distance from the field's numbers, in units of the largest of each kind."""
    ours = bench.our_numbers(model, bench.CASES[case])
    other = {name: torch.tensor(values).view(ours[name].shape) for name, values in THEIRS["cases"][case].items()}
    assert set(other) == {"latents", "predicted", "rollout", "costs", "plan"}
    return bench.apart(ours, other)


@pytest.mark.parametrize("case", ["small", "published"])
def test_numbers_are_those_of_the_fields_own_code(bench, case, tmp_path):
    model = WorldModel(bench.CASES[case])
    model.load_state_dict(bench.seeded_state(model))
    write_published(model, tmp_path)
    loaded = load_published(tmp_path)
    gaps = far(bench, loaded, case)
    assert max(gaps.values()) < 1e-5, gaps
    # They could differ: pictures have other latents, and one exchanged pair of weights shows in every number.
    assert float(bench.our_numbers(loaded, bench.CASES[case])["latents"].std(0).max()) > 0.01
    attention = loaded.encoder.blocks[0].attention
    attention.query, attention.value = attention.value, attention.query
    gaps = far(bench, loaded, case)
    assert min(gaps.values()) > 1e-4, gaps


def test_the_published_model_has_303_tensors_of_the_published_names():
    with torch.device("meta"):
        names = [published_name(name) for name in WorldModel(ModelConfig()).state_dict()]
    assert len(set(names)) == 303
    parts = {part: sum(name.startswith(f"{part}.") for name in names) for part in ("encoder", "predictor", "action_encoder")}
    assert parts == {"encoder": 198, "predictor": 81, "action_encoder": 6}
    assert "encoder.encoder.layer.11.attention.attention.value.bias" in names
    assert "predictor.transformer.layers.5.adaLN_modulation.1.weight" in names and "pred_proj.net.1.running_var" in names


def test_both_spellings_both_files_and_the_file_itself(folder, tmp_path_factory):
    pictures = torch.randint(0, 256, (2, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    wanted = load_published(folder).encode(pictures)
    state, other = torch.load(folder / "weights.pt", weights_only=True), tmp_path_factory.mktemp("other")
    anew = {}
    for name, value in state.items():
        spelled = name.replace("encoder.encoder.layer.", "encoder.layers.")
        for old, new in ANEW:
            if spelled != name and f".{old}." in spelled:
                spelled = spelled.replace(old, new)
                break
        anew[spelled] = value.half().float() if value.is_floating_point() else value
    assert len(set(anew) - set(state)) == 16 and all(older_name(name) in state for name in anew)
    assert {older_name(name) for name in anew} == set(state) and RENAMED
    safetensors.torch.save_file({name: value.clone() for name, value in anew.items()}, other / "model.safetensors")
    (other / "config.json").write_bytes((folder / "config.json").read_bytes())
    torch.testing.assert_close(load_published(other).encode(pictures), wanted, atol=2e-3, rtol=0)
    assert torch.equal(load_published(folder / "weights.pt").encode(pictures), wanted)


@pytest.mark.parametrize(
    "c", [ModelConfig(), TINY, replace(TINY, predictor_width=24, action_dim=3, action_block=2, history=2)]
)
def test_a_shape_survives(c):
    assert published_shape(json.loads(json.dumps(published_settings(c))), c.action_block) == c


def test_other_tensors_are_refused_by_name_and_shape(folder, refused):
    first = "encoder.embeddings.cls_token"
    kept = torch.load(folder / "weights.pt", weights_only=True)
    for update, words in (
        (lambda state: state.pop(first), ("lacks", first, "expected the")),
        (lambda state: state.update({"decoder.weight": torch.ones(1)}), ("has an unknown 'decoder.weight'",)),
        (lambda state: state.update({first: torch.ones(1, 2, 8)}), (f"{first} has shape (1, 2, 8), expected (1, 1, 8)",)),
        (lambda state: state[first].fill_(float("nan")), (f"{first} is not finite",)),
        (lambda state: state.update({"epoch": 3}), ("holds dict, expected tensors by name",)),
    ):
        torch.save({name: value.clone() for name, value in kept.items()}, folder / "weights.pt")
        change(folder, update)
        with refused(str(folder / "weights.pt"), *words):
            load_published(folder)


class Trap:
    ran = False

    def __reduce__(self):
        return (exec, ("import tests_trap_marker",))


def test_a_pickle_of_objects_is_not_run(folder, refused, monkeypatch):
    import sys
    import types

    torch.save({"model": Trap()}, folder / "weights.pt")
    with refused("is not a file of tensors", "runs code"):
        load_published(folder)
    assert "tests_trap_marker" not in sys.modules
    (folder / "weights.pt").write_bytes(pickle.dumps(Trap()))
    with refused("is not a file of tensors"):
        load_published(folder)
    # The trap works where somebody unpickles it.
    monkeypatch.setitem(sys.modules, "tests_trap_marker", types.ModuleType("tests_trap_marker"))
    pickle.loads(pickle.dumps(Trap()))


def test_other_settings_are_refused_by_name(folder, refused):
    good = json.loads((folder / "config.json").read_text())
    for section, name, value, words in (
        (None, "_target_", "stable_worldmodel.wm.pldm.PLDM", "_target_ is 'stable_worldmodel.wm.pldm.PLDM'"),
        (None, "decoder", {}, "decoder is {}, expected no such setting"),
        (None, "projector", None, "NoneType for projector"),
        ("encoder", "size", "giant", "encoder.size is 'giant'"),
        ("encoder", "intermediate_size", 99, "encoder.intermediate_size is 99, expected 32"),
        ("encoder", "hidden_act", "relu", "encoder.hidden_act is 'relu', expected no such setting"),
        ("encoder", "image_size", True, "encoder.image_size is True"),
        ("encoder", "patch_size", None, "encoder.patch_size is None"),
        ("predictor", "emb_dropout", 0.1, "predictor.emb_dropout is 0.1, expected 0.0"),
        ("predictor", "depth", 0, "predictor.depth is 0"),
        ("action_encoder", "smoothed_dim", 12, "action_encoder.smoothed_dim is 12"),
        ("action_encoder", "input_dim", 9, "action_encoder.input_dim is 9, expected a multiple of the action block 5"),
        ("pred_proj", "hidden_dim", 7, "pred_proj.hidden_dim is 7, expected 32"),
        ("pred_proj", "norm_fn", {"_target_": "torch.nn.LayerNorm"}, "pred_proj.norm_fn is 'torch.nn.LayerNorm'"),
    ):
        changed = json.loads(json.dumps(good))
        (changed if section is None else changed[section])[name] = value
        (folder / "config.json").write_text(json.dumps(changed))
        with refused("config.json", words, "expected"):
            load_published(folder)


def test_other_folders_are_refused(folder, refused, tmp_path_factory):
    torch.save({}, folder / "weights_epoch_10.pt")
    with refused("2 files of tensors (weights.pt, weights_epoch_10.pt)", "name the file"):
        load_published(folder)
    (folder / "weights_epoch_10.pt").unlink()
    (folder / "config.json").unlink()
    with refused("config.json does not exist"):
        load_published(folder)
    with refused("0 files of tensors (none)"):
        load_published(tmp_path_factory.mktemp("empty"))
    with refused("action_block is 0"):
        load_published(folder, action_block=0)
    with refused("the encoder is 'conv', expected 'vit'"):
        write_published(WorldModel(preset("tiny").model), folder)
    with refused("1 head of its own width"):
        published_settings(replace(TINY, predictor_heads=1, predictor_head_dim=TINY.predictor_width))


def test_the_released_settings_are_the_published_model():
    """As the released config.json has them, in the spelling of the paper's own code."""
    mlp = {"_target_": "module.MLP", "input_dim": 192, "output_dim": 192, "hidden_dim": 2048}
    mlp["norm_fn"] = {"_target_": "torch.nn.BatchNorm1d", "_partial_": True}
    vit = {"size": "tiny", "patch_size": 14, "image_size": 224, "pretrained": False, "use_mask_token": False}
    sizes = {"num_frames": 3, "input_dim": 192, "hidden_dim": 192, "output_dim": 192, "depth": 6, "heads": 16}
    released = {
        "_target_": "jepa.JEPA",
        "encoder": {"_target_": "stable_pretraining.backbone.utils.vit_hf", **vit},
        "predictor": {"_target_": "module.ARPredictor", **sizes, "mlp_dim": 2048, "dim_head": 64, "dropout": 0.1},
        "action_encoder": {"_target_": "module.Embedder", "input_dim": 25, "emb_dim": 192},
        "projector": mlp,
        "pred_proj": mlp,
    }
    assert published_shape(released) == ModelConfig(action_dim=5)
