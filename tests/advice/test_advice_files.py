"""Latents from files: every format gives the same rows, and what cannot be meant is refused in one sentence."""

import re

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from spectral_jepa import InputError, read_latents
from spectral_jepa.cli import main


def arrays(n_episodes=12, n_steps=30, dim=3):
    """Paths of a linear system with labels and episode numbers."""
    rng = np.random.default_rng(0)
    path = [rng.standard_normal((n_episodes, dim))]
    for _ in range(n_steps):
        path.append(0.8 * path[-1] + 0.6 * rng.standard_normal((n_episodes, dim)))
    path = np.stack(path, axis=1)
    return path, rng.integers(0, 2, (n_episodes, n_steps))


def test_every_format_gives_the_same_rows(tmp_path):
    path, actions = arrays()
    flat = {
        "latents": path[:, :-1].reshape(-1, 3),
        "next_latents": path[:, 1:].reshape(-1, 3),
        "actions": actions.ravel(),
        "episodes": np.repeat(np.arange(12), 30),
    }
    np.savez(tmp_path / "a.npz", **flat)
    np.savez(tmp_path / "b.npz", latents=path, actions=actions)
    save_file(flat, tmp_path / "c.safetensors")
    lists = {name: list(values) if values.ndim == 2 else values for name, values in flat.items()}
    pd.DataFrame(lists).to_parquet(tmp_path / "d.parquet")
    columns = {f"{name}_{i}": flat[name][:, i] for name in ("latents", "next_latents") for i in range(3)}
    pd.DataFrame(columns | {"actions": flat["actions"], "episodes": flat["episodes"]}).to_parquet(tmp_path / "e.parquet")
    for name in ("a.npz", "b.npz", "c.safetensors", "d.parquet", "e.parquet"):
        rows = read_latents(tmp_path / name)
        for field, expected in flat.items():
            assert np.array_equal(getattr(rows, field), expected), (name, field)
    np.save(tmp_path / "f.npy", path)
    rows = read_latents(tmp_path / "f.npy")
    assert np.array_equal(rows.next_latents, flat["next_latents"]) and rows.actions is None
    assert np.array_equal(rows.episodes, flat["episodes"])


def test_steps_in_order_never_cross_an_episode(tmp_path):
    values = np.arange(10.0).reshape(5, 2)
    np.savez(tmp_path / "steps.npz", z=values, run=["b", "b", "a", "a", "a"], actions=np.eye(5), predicted=-values)
    rows = read_latents(tmp_path / "steps.npz", latents="z", episodes="run")
    assert rows.latents[:, 0].tolist() == [0, 4, 6] and rows.next_latents[:, 0].tolist() == [2, 6, 8]
    assert rows.episodes.tolist() == [1, 0, 0] and rows.actions.argmax(axis=1).tolist() == [0, 2, 3]
    assert rows.predicted[:, 0].tolist() == [0, -4, -6]
    np.save(tmp_path / "one.npy", values)
    with pytest.warns(UserWarning, match="taken for one trajectory"):
        assert len(read_latents(tmp_path / "one.npy").latents) == 4


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        ({"z": np.ones((4, 2))}, {}, "has no array 'latents'"),
        ({"latents": np.ones((4, 2))}, {"actions": "moves"}, "has no array 'moves'"),
        ({"latents": np.ones(4)}, {}, "expected (N, P)"),
        ({"latents": np.ones((0, 2))}, {}, "at least one number"),
        ({"latents": np.ones((4, 2)), "next_latents": np.ones((3, 2))}, {}, "as many rows"),
        ({"latents": np.ones((4, 2)), "episodes": np.arange(4)}, {}, "no two rows"),
        ({"latents": np.ones((2, 3, 2)), "episodes": np.arange(2)}, {}, "one of the two"),
        ({"latents": np.ones((2, 1, 2))}, {}, "at least 2 steps"),
        ({"latents": np.ones((2, 3, 2)), "actions": np.ones((3, 2))}, {}, "one entry a step"),
        ({"latents": np.full((4, 2), np.nan), "next_latents": np.ones((4, 2))}, {}, "nan"),
        ({"latents": np.array([["a", "b"]] * 4), "next_latents": np.ones((4, 2))}, {}, "text"),
        ({"latents": np.array([[{}, {}]] * 4, dtype=object)}, {}, "cannot be read"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, content, options, said):
    np.savez(tmp_path / "bad.npz", **content)
    with pytest.raises(InputError, match=re.escape(said)):
        read_latents(tmp_path / "bad.npz", **options)


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.safetensors", "a.parquet"])
def test_damaged_files_are_refused(tmp_path, name):
    for content in (b"", b"PK\x03\x04 no archive", b"\x00" * 100):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError):
            read_latents(tmp_path / name)


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path, actions = arrays()
    np.savez("mine.npz", latents=path, actions=actions)
    words = ["advise", "mine.npz", "--regularizer", "sigreg", "--batch-size", "64", "--json", "found.json"]
    main([*words, "--frame", "table.csv"])
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "k = 3 of now 3" in shown and "<- recommended" in shown and "far above" in shown
    assert pd.read_csv("table.csv")["dim"].tolist() == [0, 1, 2, 3]
    assert (tmp_path / "results/advise/mine.png").stat().st_size > 10_000
    found = pd.read_json("found.json", typ="series")
    assert found["recommended_dim"] == 3 and found["threshold"]["word"] == "far above"
    for wrong, said in (
        (["--strength", "0.1"], "without --regularizer"),
        (["--data", "mine.npz"], "is no folder of a run"),
        (["--frame", "table.txt"], "ends in .csv or .parquet"),
        (["--regularizer", "nonsense"], "expected one of"),
        (["--confidence", "1.5"], "between 0 and 1"),
        (["--folds", "500"], "lower n_folds"),
        (["--products"], "a map each already"),
    ):
        with pytest.raises(SystemExit):
            main(["advise", "mine.npz", *wrong])
        assert said in capsys.readouterr().err
