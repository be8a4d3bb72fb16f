"""What commands show: tables that fit the terminal, remaining time that is known, figures that are opened."""

import io
import re

import pandas as pd
import pytest
import tqdm

from spectral_jepa import __version__, _terminal, cli
from spectral_jepa._terminal import Bar, frame_text, open_file, steady
from spectral_jepa.sweep.experiment import load_experiment
from spectral_jepa.sweep.results import reference_table


def words(text):
    return set(re.findall(r"[^\s]+", text))


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("name", ["collapse", "jepa_vs_svd", "minimax", "point_mass", "price"])
def test_summaries_fit_and_lose_nothing(name, width):
    table = load_experiment(name).module.summary(reference_table(name))
    whole, text = table.to_string(index=False, float_format="{:.3g}".format), frame_text(table, width=width)
    assert max(map(len, whole.splitlines())) > width  # else nothing is tested
    assert max(map(len, text.splitlines())) <= width
    # Every number as pandas prints it, in every block as many lines of cells as there are rows.
    numbers = {word for word in words(whole) if re.fullmatch(r"-?[\d.]+(e-?\d+)?", word)}
    assert numbers <= words(text)
    # Every heading, once its pieces are put together again: none is hidden.
    letters = "".join(text.split())
    for column in table.columns:
        for piece in re.findall(r"[^\W_]+", str(column)):
            assert piece in letters


def test_a_table_that_fits_is_as_pandas_prints_it():
    table = pd.DataFrame({"k": [1, 2], "risk": [0.5, 0.25]})
    assert frame_text(table, "{:.2f}", width=80) == table.to_string(index=False, float_format="{:.2f}".format)


def test_long_texts_wrap_and_empty_tables_say_so():
    table = pd.DataFrame(
        {"what": ["a sentence of very many words that no terminal of eighty columns could show"], "x": [1.5]}
    )
    text = frame_text(table, width=40)
    assert max(map(len, text.splitlines())) <= 40 and words(table["what"][0]) | {"1.5"} <= words(text)
    assert "no rows" in frame_text(table.head(0)) and "what" in frame_text(table.head(0))


def test_blocks_repeat_what_a_row_is():
    table = pd.DataFrame(
        {"world": ["ring", "torus"], "seed": [0, 1], **{f"measured {i}": [0.125 * i, 2.0] for i in range(9)}}
    )
    blocks = frame_text(table, width=50).split("\n\n")
    assert len(blocks) > 1 and all({"world", "seed", "ring", "torus"} <= words(block) for block in blocks)


def test_the_remaining_time_waits_for_estimates_that_agree():
    assert not steady([10, 10, 10]) and steady([10, 10, 10, 12]) and not steady([10, 10, 10, 13])
    clock = [0.0]
    bar = Bar(total=100, file=io.StringIO(), mininterval=0)
    bar._time, bar.start_t = lambda: clock[0], 0.0
    shown = []
    # The start of the workers takes 30 s, after that a cell takes one.
    for done in range(1, 60):
        clock[0] = 30.0 + done
        bar.n = done
        shown.append("<" in str(bar))
    bar.close()
    first = shown.index(True)
    assert 3 <= first < 40 and all(shown[first:])
    # tqdm shows it at once.
    other = tqdm.tqdm(total=100, file=io.StringIO())
    other.n = 1
    assert "<" in str(other)
    other.close()


def test_a_sweep_says_that_workers_start(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(
        '"""Squares."""\nPRESETS = {"quick": {"x": [1, 2]}}\ndef run_cell(x):\n    return {"y": x}\n'
    )
    cli.main(["sweep", "own.py", "--n-jobs", "2"])
    error = capsys.readouterr().err
    assert error.index("starting workers") < error.index("2 done")
    cli.main(["sweep", "own.py", "--n-jobs", "1", "--overwrite"])
    assert "starting workers" not in capsys.readouterr().err


def test_version(capsys):
    cli.main(["--version"])
    assert capsys.readouterr().out == f"spectral-jepa {__version__}\n"
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version", "twice"])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and "'twice'" in error and "expected nothing" in error


def test_open_shows_the_file_or_says_why_not(tmp_path, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(_terminal.webbrowser, "open", lambda address: opened.append(address) or True)
    monkeypatch.setattr(_terminal.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    open_file(tmp_path / "demo.png")
    error = capsys.readouterr().err
    assert not opened and "no display" in error and str(tmp_path / "demo.png") in error and error.count("\n") == 1
    monkeypatch.setenv("DISPLAY", ":0")
    open_file(tmp_path / "demo.png")
    assert opened == [(tmp_path / "demo.png").as_uri()] and not capsys.readouterr().err


def test_demo_is_least_at_the_number_of_blocks_and_says_when_not(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cli.main(["demo", "--states", "30", "--rank", "3", "--samples", "20000"])
    shown = capsys.readouterr().out
    assert "30 states in 3 blocks" in shown and "least at k = 3, the number of blocks" in shown
    cli.main(["demo", "--states", "30", "--rank", "8", "--samples", "300"])
    shown = capsys.readouterr().out
    assert "below the 8 blocks" in shown and "More --samples" in shown
    assert max(map(len, shown.split("\n\n")[1].splitlines())) <= 80


def test_analyze_prints_a_line_a_dimension(tmp_path, monkeypatch, capsys):
    import spectral_jepa as sj

    monkeypatch.chdir(tmp_path)
    data = sj.sample_transitions(sj.make_ring(8, 0.2), n_per_action=400, seed=0)
    sj.write_log(data, tmp_path / "log.csv")
    cli.main(["analyze", "log.csv", "--dims", "1", "3", "5"])
    shown = capsys.readouterr().out
    analysis = sj.analyze(sj.read_log(tmp_path / "log.csv"), dims=(1, 3, 5))
    for k, risk in zip((1, 3, 5), analysis.held_out_mean, strict=True):
        assert re.search(rf"^ *{k} +{risk:.4f} ", shown, flags=re.MULTILINE)
