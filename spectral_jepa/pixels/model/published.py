"""The public checkpoint layout of LeWM and stable-worldmodel: a state dict of tensors and a ``config.json`` beside it.

The names are those of the released checkpoints (arXiv 2603.19312; 303 tensors at the published size), whose encoder is
transformers' ViT. Its release 5 renamed the layers; both spellings are read, the older one, that of the released files, is
written. Tensors are loaded without running any code that a file may hold, and ``_target_`` entries are compared, never
imported.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from spectral_jepa._files import read_json, write_atomic
from spectral_jepa._validation import InputError, check_count, first_line
from spectral_jepa.pixels.config import ModelConfig
from spectral_jepa.pixels.model.world_model import WorldModel

# Ours -> theirs. What stands behind a match (".weight", ".running_mean") is the same on both sides.
PARTS = (
    (r"encoder\.class_token", "encoder.embeddings.cls_token"),
    (r"encoder\.position", "encoder.embeddings.position_embeddings"),
    (r"encoder\.patches", "encoder.embeddings.patch_embeddings.projection"),
    (r"encoder\.blocks\.(\d+)\.attention_norm", r"encoder.encoder.layer.\1.layernorm_before"),
    (r"encoder\.blocks\.(\d+)\.attention\.(query|key|value)", r"encoder.encoder.layer.\1.attention.attention.\2"),
    (r"encoder\.blocks\.(\d+)\.attention\.output", r"encoder.encoder.layer.\1.attention.output.dense"),
    (r"encoder\.blocks\.(\d+)\.hidden_norm", r"encoder.encoder.layer.\1.layernorm_after"),
    (r"encoder\.blocks\.(\d+)\.hidden", r"encoder.encoder.layer.\1.intermediate.dense"),
    (r"encoder\.blocks\.(\d+)\.output", r"encoder.encoder.layer.\1.output.dense"),
    (r"encoder\.norm", "encoder.layernorm"),
    (r"predictor_projector", "pred_proj.net"),
    (r"projector", "projector.net"),
    (r"action_encoder\.mix", "action_encoder.patch_embed"),
    (r"action_encoder\.hidden", "action_encoder.embed.0"),
    (r"action_encoder\.output", "action_encoder.embed.2"),
    (r"predictor\.position", "predictor.pos_embedding"),
    (r"predictor\.input", "predictor.transformer.input_proj"),
    (r"predictor\.condition", "predictor.transformer.cond_proj"),
    (r"predictor\.output", "predictor.transformer.output_proj"),
    (r"predictor\.norm", "predictor.transformer.norm"),
    (r"predictor\.blocks\.(\d+)\.attention\.norm", r"predictor.transformer.layers.\1.attn.norm"),
    (r"predictor\.blocks\.(\d+)\.attention\.qkv", r"predictor.transformer.layers.\1.attn.to_qkv"),
    (r"predictor\.blocks\.(\d+)\.attention\.output", r"predictor.transformer.layers.\1.attn.to_out.0"),
    (r"predictor\.blocks\.(\d+)\.feed_forward", r"predictor.transformer.layers.\1.mlp.net"),
    (r"predictor\.blocks\.(\d+)\.modulation", r"predictor.transformer.layers.\1.adaLN_modulation.1"),
)
# transformers 5 -> the older spelling.
RENAMED = (
    (r"encoder\.layers\.(\d+)\.attention\.(q|k|v)_proj", r"encoder.encoder.layer.\1.attention.attention.\2"),
    (r"encoder\.layers\.(\d+)\.attention\.o_proj", r"encoder.encoder.layer.\1.attention.output.dense"),
    (r"encoder\.layers\.(\d+)\.mlp\.fc1", r"encoder.encoder.layer.\1.intermediate.dense"),
    (r"encoder\.layers\.(\d+)\.mlp\.fc2", r"encoder.encoder.layer.\1.output.dense"),
    (r"encoder\.layers\.(\d+)\.(layernorm_before|layernorm_after)", r"encoder.encoder.layer.\1.\2"),
)
WHOLE = {"q": "query", "k": "key", "v": "value"}
# Width, layers and heads by the name that the released files give the encoder.
VIT_SIZES = {"tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12), "large": (1024, 24, 16)}
# What a `_target_` may end in; the released code called three of them otherwise.
TARGETS = {
    "": ("LeWM", "JEPA"),
    "encoder": ("vit_hf",),
    "predictor": ("Predictor", "ARPredictor"),
    "action_encoder": ("Embedder",),
    "projector": ("MLP",),
    "pred_proj": ("MLP",),
}
OWN = "spectral_jepa"
SUFFIXES = (".pt", ".safetensors")
REMEDY = "pass a LeWM checkpoint of stable-worldmodel, or train one"


def published_name(name: str) -> str:
    """What the public checkpoints call an entry of our state dict.

    Parameters
    ----------
    name : str
        Of a :class:`~spectral_jepa.pixels.model.world_model.WorldModel` with the encoder "vit".

    Returns
    -------
    str

    Raises
    ------
    InputError
        An entry that has no counterpart there.

    Examples
    --------
    >>> published_name("encoder.blocks.3.attention.query.bias")
    'encoder.encoder.layer.3.attention.attention.query.bias'
    >>> published_name("predictor_projector.1.running_mean")
    'pred_proj.net.1.running_mean'
    """
    for pattern, theirs in PARTS:
        found = re.match(rf"{pattern}(?=\.|$)", name)
        if found:
            return found.expand(theirs) + name[found.end() :]
    raise InputError(
        f"entry {name!r} has no name in the public layout, expected one of a world model with the encoder 'vit'"
    )


def load_published(folder: str | Path, *, action_block: int = 5) -> WorldModel:
    """Load a checkpoint in the public LeWM layout, strictly: every tensor by name and shape, no other.

    Parameters
    ----------
    folder : str or Path
        With ``config.json`` and one file ``*.pt`` or ``*.safetensors``; or that file.
    action_block : int
        Raw actions in a block, which the layout does not say; must divide its inputs.

    Returns
    -------
    WorldModel
        On the CPU, float32, in evaluation mode; its shape is ``model.config``.

    Raises
    ------
    InputError
        A file that is missing, holds something else than tensors, or is no LeWM; the first tensor that is missing, unknown,
        of another shape or not finite.

    Notes
    -----
    O(bytes). Source: arXiv 2603.19312 and its released checkpoints. Actions of the model are z-scores whose mean and
    deviation the layout does not hold: :func:`spectral_jepa.pixels.pretrained.import_run` takes them from data.

    Examples
    --------
    >>> import tempfile
    >>> from spectral_jepa.pixels.presets import changed, preset
    >>> vit = {"model.encoder": "vit", "model.patch_size": 8, "model.encoder_depth": 1, "model.encoder_heads": 2}
    >>> model, folder = WorldModel(changed(preset("tiny"), vit).model).eval(), tempfile.mkdtemp()
    >>> write_published(model, folder)
    >>> pictures = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    >>> torch.equal(load_published(folder).encode(pictures), model.encode(pictures))
    True
    """
    check_count("action_block", action_block)
    weights, settings = published_files(folder)
    found = _tensors(weights)
    config = published_shape(settings, action_block)
    model = WorldModel(config).eval()
    wanted = {published_name(name): (name, value) for name, value in model.state_dict().items()}
    _compare(weights, found, {name: value for name, (_, value) in wanted.items()})
    model.load_state_dict({own: found[name].to(value.dtype) for name, (own, value) in wanted.items()})
    return model


def write_published(
    model: WorldModel, folder: str | Path, more: Mapping[str, Any] | None = None, *, weights: str = "weights.pt"
) -> None:
    """Write a world model in the public layout, for the field's own loader.

    Parameters
    ----------
    model : WorldModel
        With the encoder "vit".
    folder : str or Path
        Made if it is not there.
    more : dict, optional
        In JSON types; goes under ``spectral_jepa`` in ``config.json``, which the field's loader passes over.
    weights : {"weights.pt", "model.safetensors"}
        The public loader reads the first.

    Raises
    ------
    InputError
        Another encoder, which the layout has no names for.

    Examples
    --------
    See :func:`load_published`.
    """
    folder = Path(folder)
    content = published_settings(model.config) | ({OWN: dict(more)} if more else {})
    tensors = {published_name(name): value.detach().cpu().clone().contiguous() for name, value in model.state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / weights, _bytes(tensors) if weights.endswith(".pt") else safetensors.torch.save(tensors))
    write_atomic(folder / "config.json", json.dumps(content, indent=2).encode() + b"\n")


def _bytes(tensors: Mapping[str, Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save(dict(tensors), buffer)
    return buffer.getvalue()


def published_settings(c: ModelConfig) -> dict[str, Any]:
    """``config.json`` of the public layout for a model of ours.

    Parameters
    ----------
    c : ModelConfig
        With the encoder "vit".

    Returns
    -------
    dict
        In JSON types.

    Raises
    ------
    InputError
        Another encoder, or one attention head as wide as the predictor, which the field's code gives no output layer.

    Examples
    --------
    >>> settings = published_settings(ModelConfig())
    >>> settings["encoder"]["size"], settings["predictor"]["heads"], published_shape(settings) == ModelConfig()
    ('tiny', 16, True)
    """
    if c.encoder != "vit":
        raise InputError(
            f"the encoder is {c.encoder!r}, expected 'vit': the public layout knows no other, so save it in our own"
        )
    if c.predictor_heads == 1 and c.predictor_head_dim == c.predictor_width:
        raise InputError(
            f"the predictor has 1 head of its own width {c.predictor_width}, expected several heads or another width: the "
            "field's code gives such a head no output layer"
        )
    own = (c.encoder_width, c.encoder_depth, c.encoder_heads)
    size = next((name for name, sizes in VIT_SIZES.items() if sizes == own), None)
    encoder: dict[str, Any] = {"_target_": "stable_pretraining.backbone.utils.vit_hf", "size": size or "tiny"}
    encoder |= {"patch_size": c.patch_size, "image_size": c.image_size, "pretrained": False, "use_mask_token": False}
    if size is None:
        names = ("hidden_size", "num_hidden_layers", "num_attention_heads")
        encoder |= dict(zip(names, own, strict=True)) | {"intermediate_size": 4 * c.encoder_width}
    module, dim = "stable_worldmodel.wm.lewm.module", c.embedding_dim
    batch_norm = {"_target_": "torch.nn.BatchNorm1d", "_partial_": True}
    mlp = {"_target_": f"{module}.MLP", "output_dim": dim, "hidden_dim": c.projector_width, "norm_fn": batch_norm}
    return {
        "_target_": "stable_worldmodel.wm.lewm.LeWM",
        "encoder": encoder,
        "predictor": {
            "_target_": f"{module}.Predictor", "num_frames": c.history, "input_dim": dim, "hidden_dim": c.predictor_width,
            "output_dim": dim, "depth": c.predictor_depth, "heads": c.predictor_heads, "mlp_dim": c.predictor_hidden,
            "dim_head": c.predictor_head_dim, "dropout": c.dropout, "emb_dropout": 0.0,
        },
        "action_encoder": {
            "_target_": f"{module}.Embedder", "input_dim": c.action_block * c.action_dim, "emb_dim": dim,
        },
        "projector": mlp | {"input_dim": c.encoder_width},
        "pred_proj": mlp | {"input_dim": dim},
    }  # fmt: skip


def published_shape(settings: Mapping[str, Any], action_block: int = 5, where: str = "config.json") -> ModelConfig:
    """The shape that a public ``config.json`` describes; what we would not compute as the field does is refused by name.

    Parameters
    ----------
    settings : dict
        Its content.
    action_block : int
        Raw actions in a block.
    where : str
        Its name in messages.

    Returns
    -------
    ModelConfig

    Raises
    ------
    InputError
        Another kind of model or part, a setting that is missing, unknown, or of a value that has no counterpart here.

    Examples
    --------
    >>> published_shape({"_target_": "stable_worldmodel.wm.pldm.PLDM"})
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: config.json: _target_ is 'stable_worldmodel.wm.pldm.PLDM', expected LeWM or ...
    """
    top = _Part("", settings, where)
    for name in (OWN, *TARGETS):
        top.known(name)
    top.done()
    encoder, predictor, actions, projector, after = (_Part(name, settings.get(name), where) for name in TARGETS if name)
    size = encoder.known("size", "tiny")
    if size not in VIT_SIZES:
        encoder.refuse("size", size, " or ".join(map(repr, VIT_SIZES)))
    width, depth, heads = VIT_SIZES[size]
    width, depth = encoder.count("hidden_size", width), encoder.count("num_hidden_layers", depth)
    dim = predictor.count("input_dim")
    hidden = projector.count("hidden_dim")
    encoder.only("intermediate_size", 4 * width, default=4 * width)
    for name in ("pretrained", "use_mask_token"):  # where the first weights came from; a mask token would be a tensor more
        encoder.known(name)
    predictor.only("output_dim", dim, default=dim)
    predictor.only("emb_dropout", 0.0, default=0.0)
    actions.only("emb_dim", dim)
    actions.only("smoothed_dim", 10, default=10)
    actions.only("mlp_scale", 4, default=4)
    for part, inputs in ((projector, width), (after, dim)):
        part.only("input_dim", inputs)
        part.only("output_dim", dim, default=inputs)
        part.only("hidden_dim", hidden)
        part.batch_norm()
    block_dim = actions.count("input_dim")
    if block_dim % action_block:
        actions.refuse("input_dim", block_dim, f"a multiple of the action block {action_block}")
    config = ModelConfig(
        encoder="vit", image_size=encoder.count("image_size"), patch_size=encoder.count("patch_size"),
        encoder_width=width, encoder_depth=depth, encoder_heads=encoder.count("num_attention_heads", heads),
        embedding_dim=dim, projector_width=hidden, predictor_width=predictor.count("hidden_dim"),
        predictor_depth=predictor.count("depth"), predictor_heads=predictor.count("heads"),
        predictor_head_dim=predictor.count("dim_head", 64), predictor_hidden=predictor.count("mlp_dim"),
        dropout=predictor.known("dropout", 0.0), history=predictor.count("num_frames"),
        action_dim=block_dim // action_block, action_block=action_block,
    )  # fmt: skip
    for part in (encoder, predictor, actions, projector, after):
        part.done()
    return config


class _Part:
    """One part of a public ``config.json``: each entry is read once, and what is left unread is refused."""

    def __init__(self, name: str, content: Any, where: str) -> None:
        self.name, self.where = name, where
        if not isinstance(content, Mapping):
            raise InputError(
                f"{where} has {type(content).__name__} for {name or 'its content'}, expected the part's settings: {REMEDY}"
            )
        self.content = content
        self.unread = set(content) - {"_target_"}
        target, known = str(content.get("_target_", "nothing")), TARGETS[name]
        if target.rpartition(".")[2] not in known:
            self.refuse("_target_", target, " or ".join(known))

    def refuse(self, name: str, value: Any, expected: str) -> None:
        dotted = f"{self.name}.{name}".lstrip(".")
        raise InputError(f"{self.where}: {dotted} is {value!r}, expected {expected}, as in LeWM: {REMEDY}")

    def known(self, name: str, default: Any = None) -> Any:
        self.unread.discard(name)
        return self.content.get(name, default)

    def count(self, name: str, default: int | None = None) -> int:
        value = self.known(name, default)
        if type(value) is not int or value < 1:
            self.refuse(name, value, "a whole number of at least 1")
        return value

    def only(self, name: str, value: Any, *, default: Any = None) -> None:
        found = self.known(name, default)
        if found != value:
            self.refuse(name, found, repr(value))

    def batch_norm(self) -> None:
        norm = self.known("norm_fn", {})
        target = norm.get("_target_", "nothing") if isinstance(norm, Mapping) else norm
        if target != "torch.nn.BatchNorm1d":
            self.refuse("norm_fn", target, "torch.nn.BatchNorm1d")

    def done(self) -> None:
        if self.unread:
            name = min(self.unread)
            self.refuse(name, self.content[name], "no such setting")


def published_files(folder: str | Path) -> tuple[Path, dict[str, Any]]:
    """The file of tensors in a checkpoint's folder, and what its ``config.json`` says.

    Parameters
    ----------
    folder : str or Path
        Or the file of tensors itself.

    Returns
    -------
    weights : Path
    settings : dict

    Raises
    ------
    InputError
        No such folder, no file of tensors or several, no ``config.json``.

    Examples
    --------
    >>> published_files("nowhere")
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: there is no folder nowhere, expected that of a checkpoint: check the path
    """
    folder = Path(folder)
    if not folder.exists():
        raise InputError(f"there is no folder {folder}, expected that of a checkpoint: check the path")
    weights = folder
    if folder.is_dir():
        found = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
        if len(found) != 1:
            shown = ", ".join(path.name for path in found) or "none"
            raise InputError(
                f"folder {folder} has {len(found)} files of tensors ({shown}), expected one .pt or .safetensors: "
                "name the file itself"
            )
        (weights,) = found
    return weights, read_json(weights.parent / "config.json", (), REMEDY)


def _tensors(path: Path) -> dict[str, Tensor]:
    """Tensors by their older published name; a pickle that holds anything else is refused unread."""
    try:
        if path.suffix == ".safetensors":
            state: Any = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch names the class that it did not load, over many lines.
        raise InputError(
            f"{path} is not a file of tensors ({first_line(error)[:120]}), expected a state dict: whole pickled models are "
            "not loaded, because that runs code which the file holds"
        ) from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path} holds {type(state).__name__}, expected tensors by name: save model.state_dict()")
    return {older_name(name): value for name, value in state.items()}


def older_name(name: str) -> str:
    """The name of a tensor as the released files spell it, also where transformers 5 saved it.

    Parameters
    ----------
    name : str

    Returns
    -------
    str
        The name itself where no release spells it otherwise.

    Examples
    --------
    >>> older_name("encoder.layers.0.attention.q_proj.weight"), older_name("encoder.layernorm.bias")
    ('encoder.encoder.layer.0.attention.attention.query.weight', 'encoder.layernorm.bias')
    """
    for pattern, older in RENAMED:
        found = re.match(rf"{pattern}(?=\.)", name)
        if found:
            start, end = found.expand(older), name[found.end() :]
            kind = start.rpartition(".")[2]
            return start.removesuffix(kind) + WHOLE.get(kind, kind) + end
    return name


def _compare(path: Path, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    for names, word in (
        (sorted(set(wanted) - set(found)), "lacks"),
        (sorted(set(found) - set(wanted)), "has an unknown"),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise InputError(
                f"{path} {word} {names[0]!r}{more}, expected the {len(wanted)} tensors of its config.json: {REMEDY}"
            )
    for name, value in wanted.items():
        if found[name].shape != value.shape:
            raise InputError(
                f"{path}: {name} has shape {tuple(found[name].shape)}, expected {tuple(value.shape)} by its config.json: "
                f"{REMEDY}"
            )
    broken = next((name for name, value in found.items() if not _finite([value])), None)
    if broken is not None:
        raise InputError(
            f"{path}: {broken} is not finite, expected finite numbers: take another checkpoint of that training"
        )


def _finite(values: Iterable[Tensor]) -> bool:
    return all(bool(torch.isfinite(value).all()) for value in values)
