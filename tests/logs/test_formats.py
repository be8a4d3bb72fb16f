"""Files that users have, and what is said of those that cannot be read."""

import gzip
import re

import numpy as np
import pandas as pd
import pytest

from spectral_jepa import InputError, cli
from spectral_jepa.logs import read_log

COLUMNS = {"state": ["a", "b", "c"], "action": ["go", "go", "no"], "next_state": ["b", "c", "a"], "reward": [0.5, 1.5, -2.0]}
TEXT = "state,action,next_state,reward\na,go,b,0.5\nb,go,c,1.5\nc,no,a,-2\n"


def check(data):
    assert data.state_labels == ("a", "b", "c") and data.action_labels == ("go", "no")
    assert data.state.tolist() == [0, 1, 2] and data.next_state.tolist() == [1, 2, 0]
    assert data.reward.tolist() == COLUMNS["reward"]


def by(mark):
    return TEXT.replace(",", mark)


FILES = {
    "log.tsv": by("\t").encode(),
    "semicolons.csv": by(";").encode(),
    "bars.csv": by("|").encode(),
    "log.csv.gz": gzip.compress(TEXT.encode()),
    "log.tsv.gz": gzip.compress(by("\t").encode()),
    "LOG.CSV": TEXT.encode(),
    "utf16.csv": TEXT.encode("utf-16"),
    "mark.csv": TEXT.encode("utf-8-sig"),
    "comments.csv": ("# made by a robot\n# in 2024\n" + TEXT).encode(),
    "windows.csv": TEXT.replace("\n", "\r\n").encode(),
    "quoted.csv": TEXT.replace("a,go,b", '"a","go","b"').encode(),
}


@pytest.mark.parametrize("name", FILES)
def test_text_of_every_kind_is_read(tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name])
    check(read_log(tmp_path / name))


def test_a_decimal_comma_is_named(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(by(";").replace(".", ","))
    check(read_log(path, decimal=","))
    with pytest.raises(InputError, match=r"no finite number as 'reward' in 2 of 3.*decimal=',' \(--decimal ,\)"):
        read_log(path)
    with pytest.raises(InputError, match="decimal is ':'"):
        read_log(path, decimal=":")
    with pytest.raises(InputError, match="separator is '::', expected one character"):
        read_log(path, separator="::")


def test_any_separator_can_be_named(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(by(":"))
    with pytest.raises(InputError, match=r"no column 'state'.*another separator with separator="):
        read_log(path)
    check(read_log(path, separator=":"))


def test_columns_without_names_are_numbered(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("".join(line + "\n" for line in TEXT.splitlines()[1:]))
    with pytest.raises(InputError, match=r"no column 'state'.*header=False \(--separator, --no-header\)"):
        read_log(path)
    check(read_log(path, header=False, state="0", action="1", next_state="2", reward="3"))


def test_row_names_as_r_writes_them_are_told(tmp_path):
    path = tmp_path / "log.csv"
    lines = TEXT.splitlines()
    path.write_text("\n".join([lines[0], *(f"{i},{line}" for i, line in enumerate(lines[1:]))]))
    with pytest.warns(UserWarning, match="one field more than its header"):
        check(read_log(path))
    path.write_text("\n".join([lines[0], *(line + "," for line in lines[1:])]))
    with pytest.raises(InputError, match=r"cannot be read as csv.*separator=, on the command line --separator"):
        read_log(path)


def test_folders_of_parquet_files_are_one_log(tmp_path):
    frame = pd.DataFrame(COLUMNS)
    for run in (0, 1):
        (tmp_path / f"log/run={run}").mkdir(parents=True)
        frame.iloc[run * 2 : run * 2 + 2].to_parquet(tmp_path / f"log/run={run}/part-0.parquet")
    check(read_log(tmp_path / "log"))
    (tmp_path / "log/run=0/part-1.parquet").write_text("hello")
    with pytest.raises(InputError, match=r"cannot be read as parquet.*take out what is none"):
        read_log(tmp_path / "log")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty"):
        read_log(tmp_path / "empty")


def test_a_structured_array_is_a_table(tmp_path):
    rows = list(zip(*COLUMNS.values(), strict=True))
    kinds = [("state", "U1"), ("action", "U2"), ("next_state", "U1"), ("reward", float)]
    table = np.array(rows, dtype=kinds)
    np.savez(tmp_path / "log.npz", table)
    check(read_log(tmp_path / "log.npz"))
    np.savez(tmp_path / "two.npz", state=table, action=np.zeros(3), next_state=np.zeros(3))
    with pytest.raises(InputError, match=r"'state' .* is structured, with fields 'state', 'action'"):
        read_log(tmp_path / "two.npz")


def test_an_empty_column_of_rewards_that_nobody_asked_for_is_none(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("state,action,next_state,reward,gain\na,go,b,,\nb,go,a,,\n")
    assert read_log(path).reward is None
    with pytest.raises(InputError, match="no finite number as 'gain' in 2 of 2"):
        read_log(path, reward="gain")
    path.write_text("state,action,next_state,reward\na,go,b,1\nb,go,a,\n")
    with pytest.raises(InputError, match=r"no finite number as 'reward' in 1 of 2.*reward=None \(--reward None\)"):
        read_log(path)
    assert read_log(path, reward=None).reward is None


@pytest.mark.parametrize(
    ("name", "content", "pattern"),
    [
        ("log.csv", b"PK\x03\x04 zip", "is no text but a zip file"),
        ("log.csv", b"PAR1 parquet", "is no text but a Parquet file"),
        ("log.csv.gz", b"hello", "cannot be read as csv.gz"),
        ("log.csv", b"state,action,next_state\na,go,b\n# end\n", "cannot be read as csv.*comment lines"),
        ("log.parquet", b"version https://git-lfs", "cannot be read as parquet"),
    ],
)
def test_what_is_said_of_other_files(tmp_path, name, content, pattern):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=pattern) as caught:
        read_log(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_options_of_text_are_refused_for_other_formats(tmp_path):
    pd.DataFrame(COLUMNS).to_parquet(tmp_path / "log.parquet")
    with pytest.raises(InputError, match="separator, decimal and header say how a text file is written"):
        read_log(tmp_path / "log.parquet", separator=";")
    with pytest.raises(InputError, match="action names no column"):
        read_log(tmp_path / "log.parquet", action=[])


# --- the command ----------------------------------------------------------------------------------------------------------


def run(capsys, *arguments):
    try:
        cli.main([str(argument) for argument in arguments])
        code = 0
    except SystemExit as end:
        code = end.code
    output = capsys.readouterr()
    return code, output.out + output.err


@pytest.fixture
def walk(tmp_path):
    rng = np.random.default_rng(0)
    lines = ["who;doing;gain;over;run"]
    for episode in range(40):
        place = 0
        for step in range(20):
            lines.append(f"p{place};{'lr'[rng.integers(2)]};0,5;{int(step == 19)};{episode}")
            place = int(rng.integers(0, 12))
    path = tmp_path / "walk.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_trajectory_is_analysed_by_the_command(capsys, walk, tmp_path):
    common = ("analyze", walk, "--state", "who", "--action", "doing", "--trajectory", "--out", tmp_path)
    code, text = run(capsys, *common, "--done", "over", "--reward", "gain", "--decimal", ",", "--dims", "1", "2", "5")
    assert code == 0 and "800 transitions, 13 states" in text and "warn" not in text.lower().replace("warning:", "")
    code, text = run(capsys, *common, "--episode", "run")
    assert code == 0 and "760 transitions, 12 states" in text
    code, text = run(capsys, *common, "--episode", "run", "--next-state", "who")
    assert code == 2 and "--trajectory takes the next state from the next row" in text


REMEDIES = r"--[a-z][a-z-]*"


def test_every_option_that_a_sentence_names_is_one_of_the_command(capsys, walk, tmp_path):
    """The remedies of read_log and analyze, gathered from their source: each option they name is in the command's help."""
    from spectral_jepa.logs import _tables, analysis, estimates, files

    help_text = run(capsys, "analyze", "--help")[1]
    named = set()
    for module in (files, _tables, analysis, estimates):
        named |= set(re.findall(REMEDIES, open(module.__file__).read()))  # noqa: SIM115
    named -= {"--term"}
    assert {"--dims", "--separator", "--no-header", "--decimal", "--trajectory", "--reward"} <= named
    absent = [option for option in named if option not in help_text]
    assert absent == [], help_text


def test_larger_dims_can_be_passed_where_that_is_advised(capsys, tmp_path):
    rng = np.random.default_rng(0)
    state = rng.integers(0, 300, 30_000)
    path = tmp_path / "log.npz"
    np.savez(path, state=state, action=np.zeros(30_000, int), next_state=(state + 1) % 300)
    code, text = run(capsys, "analyze", path, "--out", tmp_path)
    assert code == 0 and "pass larger dims (--dims)" in text
    code, text = run(capsys, "analyze", path, "--out", tmp_path, "--dims", "64", "300")
    assert code == 0 and "pass larger dims" not in text


@pytest.mark.parametrize(
    ("options", "expected", "pattern"),
    [
        (("FrozenLake-v1", "--set", "is_slippery", "0"), 0, "deterministic"),
        (("FrozenLake-v1", "--set", "sparse", "1"), 0, "16 states"),
        (("FrozenLake-v1", "--set", "nonsense", "5"), 2, "FrozenLake-v1 cannot be made with nonsense 5"),
    ],
)
def test_options_of_a_gymnasium_world_are_used_or_refused(capsys, tmp_path, options, expected, pattern):
    code, text = run(capsys, "spectrum", *options, "--out", tmp_path)
    assert code == expected and pattern in text, text
    assert "Traceback" not in text
