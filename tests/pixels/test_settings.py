"""Settings by name: one typed, ranged conversion, cross-field checks once, nothing given without effect."""

import itertools
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import get_type_hints

import pytest

from spectral_jepa._validation import InputError
from spectral_jepa.cli import main
from spectral_jepa.pixels.config import REGULARIZERS, PixelConfig, ProbeConfig, SurpriseConfig
from spectral_jepa.pixels.presets import changed, override, preset, unread_settings

SECTIONS = [f.name for f in fields(PixelConfig) if f.name != "kind"]
TINY = preset("tiny")


def hints(section):
    return get_type_hints(type(getattr(TINY, section)))


def settings_of(*kinds):
    return [(s, name) for s in SECTIONS for name, kind in hints(s).items() if kind in kinds]


@pytest.mark.parametrize(("section", "field"), settings_of(bool))
def test_truth_is_read_as_it_is_written(section, field):
    words = {False: ("false", "False", "no", "off", "0"), True: ("true", "True", "YES", "on", "1")}
    for value, texts in words.items():
        for text in texts:
            assert getattr(getattr(override(TINY, {f"{section}.{field}": text}), section), field) is value


@pytest.mark.parametrize(("section", "field"), settings_of(int, float, int | None, float | None))
@pytest.mark.parametrize("text", ["abc", "nan", "inf", "-inf", "-5", "-1", "", "[1]", "1,000", "True"])
def test_senseless_numbers_are_one_sentence(section, field, text):
    with pytest.raises(InputError) as error:
        override(TINY, {f"{section}.{field}": text})
    message = str(error.value)
    assert field in message and "expected" in message and message.count("\n") == 0


@pytest.mark.parametrize(("section", "field"), settings_of(int, int | None))
def test_zero_is_refused_where_a_count_is_meant(section, field):
    if field == "seed":
        assert getattr(override(TINY, {f"{section}.seed": "0"}), section).seed == 0
        return
    with pytest.raises(InputError, match=f"{field} is 0, expected at least"):
        override(TINY, {f"{section}.{field}": "0"})
    with pytest.raises(InputError, match=rf"{field} is '1\.5', expected a whole number"):
        override(TINY, {f"{section}.{field}": "1.5"})


@pytest.mark.parametrize(("section", "field"), settings_of(int | None, float | None))
def test_none_means_none_where_it_may(section, field):
    for text in ("none", "None", "null"):
        assert getattr(getattr(override(TINY, {f"{section}.{field}": text}), section), field) is None


@pytest.mark.parametrize(("section", "field"), settings_of(int, float, bool))
def test_none_is_refused_elsewhere(section, field):
    with pytest.raises(InputError, match="expected"):
        override(TINY, {f"{section}.{field}": "none"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("training.n_steps", -3), ("training.learning_rate", 0), ("training.clip_norm", 0), ("training.warmup", 2),
        ("training.log_every", 0), ("training.seed", -1), ("training.seed", 2**32), ("training.n_epochs", True),
        ("training.compile", "false"), ("training.learning_rate", "abc"), ("model.dropout", 1.0), ("model.dropout", -0.1),
        ("model.image_size", 0), ("model.encoder_heads", 0), ("data.image_size", 0), ("data.seed", 1.5),
        ("objective.strength", -1), ("objective.t_max", 0), ("objective.n_knots", 1), ("objective.stop_gradient", 1),
        ("planning.initial_std", 0), ("planning.temperature", float("nan")), ("evaluation.n_pairs", 0),
        ("evaluation.budget", -50), ("evaluation.start", "still"), ("evaluation.start", 0), ("data.environment", 3),
        ("objective.inverse_dynamics", -0.5), ("objective.inverse_dynamics", True),
    ],
)  # fmt: skip
def test_python_values_are_checked_alike(name, value):
    with pytest.raises(InputError, match=name.partition(".")[2]):
        changed(TINY, {name: value})


def test_other_settings_are_checked_alike():
    for call in (lambda: ProbeConfig(seed=-1), lambda: ProbeConfig(n_train=0), lambda: SurpriseConfig(before=0),
                 lambda: SurpriseConfig(seed=2**40)):  # fmt: skip
        with pytest.raises(InputError, match="expected at least"):
            call()


@pytest.mark.parametrize("order", list(itertools.permutations([("model.image_size", "96"), ("model.patch_size", "12"),
                                                               ("model.encoder", "vit")])))  # fmt: skip
def test_what_must_fit_together_may_come_in_any_order(order):
    config = override(preset("paper"), dict(order))
    assert (config.model.image_size, config.model.patch_size) == (96, 12)
    with pytest.raises(InputError, match="image_size is 96, expected a multiple of patch_size 14"):
        override(preset("paper"), {"model.image_size": "96"})


def test_a_saved_configuration_is_complete():
    saved = TINY.to_dict()
    assert PixelConfig.from_dict(saved) == TINY
    del saved["training"]["warmup"]
    with pytest.raises(InputError, match="'training' lacks 'warmup'"):
        PixelConfig.from_dict(saved)
    with pytest.raises(InputError, match="'model' has an unknown 'colour'"):
        PixelConfig.from_dict({**TINY.to_dict(), "model": {**TINY.to_dict()["model"], "colour": 3}})
    for foreign in ([], None, {"_target_": "x"}, {**TINY.to_dict(), "model": [1]}):
        with pytest.raises(InputError):
            PixelConfig.from_dict(foreign)


def test_runs_from_before_a_setting_was_there_are_read():
    """Some weights in the repository were trained before ``reconstruction`` was a setting."""
    files = sorted((Path(__file__).parents[2] / "weights").glob("*/*/config.json"))
    before = [
        saved for path in files
        if "reconstruction" not in (saved := json.loads(path.read_text())["config"])["objective"]
    ]  # fmt: skip
    assert len(before) >= 5
    for saved in before:
        assert PixelConfig.from_dict(saved).objective.reconstruction == 0.0


def test_unread_settings_are_those_that_change_nothing():
    assert not {"objective.strength", "planning.n_elites", "model.patch_size"} & set(unread_settings(preset("paper")))
    pldm = unread_settings(changed(TINY, {"objective.regularizer": "pldm"}))
    assert "objective.strength" in pldm and "objective.pldm_variance" not in pldm
    cloning = unread_settings(replace(TINY, kind="cloning"))
    assert {"planning.n_samples", "objective.stop_gradient", "objective.inverse_dynamics", "model.dropout"} <= set(cloning)
    # Beside any regulariser, and with any encoder that has a width.
    assert not {"objective.inverse_dynamics", "evaluation.start"} & {
        name for r in REGULARIZERS for name in unread_settings(changed(TINY, {"objective.regularizer": r}))
    }
    pooled = unread_settings(changed(TINY, {"model.encoder": "pooled"}))
    assert "model.patch_size" in pooled and "model.encoder_width" not in pooled
    assert "model.history" not in cloning and "model.predictor_hidden" not in cloning


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["collect", "--set", "training.n_steps", "3"], "--set training.n_steps is not used by pixels collect"),
        (["collect", "--set", "model.image_size", "96"], "--set model.image_size is not used by pixels collect"),
        (["collect", "--set", "data.environment", "cube"], "use --environment"),
        (["collect", "--policy", "random", "--set", "data.policy", "scripted"], "--policy and --set data.policy were"),
        (["collect", "--set", "data.image_size", "0"], "image_size is 0, expected at least 1"),
        (["collect", "--n-jobs", "0"], "n_jobs is 0"),
        (["train", "--set", "evaluation.budget", "3"], "--set evaluation.budget is not used by pixels train"),
        (["train", "--set", "planning.n_samples", "3"], "is not used by pixels train"),
        (["train", "--set", "data.n_episodes", "3"], "--set data.n_episodes is not used by pixels train"),
        (["train", "--seed", "-1"], "seed is -1, expected at least 0"),
        (["train", "--seed", "1", "--set", "training.seed", "2"], "--seed and --set training.seed were"),
        (["train", "--n-subspaces", "4"], "--n-subspaces changes nothing, because objective.regularizer is"),
        (["train", "--kind", "cloning", "--regularizer", "pldm"], "--regularizer changes nothing, because kind is"),
        (["train", "--kind", "cloning", "--set", "objective.inverse_dynamics", "1"], "inverse_dynamics changes nothing"),
        (["train", "--set", "evaluation.start", "rest"], "--set evaluation.start is not used by pixels train"),
        (["train", "--regularizer", "pldm", "--set", "objective.strength", "3"], "objective.strength changes nothing"),
        (["train", "--set", "model.patch_size", "4"], "patch_size changes nothing, because model.encoder is 'conv'"),
        (["train", "--set", "training.learning_rate", "abc"], "training.learning_rate is 'abc', expected a number"),
        (["train", "--set", "training.log_every", "0"], "log_every is 0"),
        (["train", "--set", "kind.x", "cloning"], "setting 'kind.x' is unknown"),
    ],
)  # fmt: skip
def test_a_setting_that_a_command_does_not_use_is_refused_by_name(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["pixels", arguments[0], "--preset", "tiny", *arguments[1:]])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and words in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", ["tiny", "small", "paper"])
def test_reacher_keeps_its_policy(size, monkeypatch):
    from spectral_jepa.pixels.data import collect as module

    seen = []
    monkeypatch.setattr(module, "collect", lambda config, path, **_: seen.append(config.policy) or (path, 1 / 0))
    with pytest.raises(ZeroDivisionError):
        main(["pixels", "collect", "--environment", "reacher", "--preset", size, "--out", "x.h5"])
    assert seen == ["random"]


def test_small_data_of_the_simulators_have_a_row_a_block():
    for name in ("push_t", "reacher", "cube"):
        config = preset("small", name)
        assert config.data.row_steps == config.model.action_block == 5 and config.data.max_steps == 200
        assert config.evaluation.goal_offset % config.data.row_steps == 0
        assert preset("paper", name).data.row_steps == 1
    assert preset("small", "two_room").data == replace(preset("paper", "two_room").data, n_episodes=600, image_size=64)
