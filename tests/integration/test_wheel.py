"""What a wheel carries: experiments, figures, and the tables that claims read, so that it measures what a clone does."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).resolve().parents[2]
# Where the package is, then a line for every comparison of a claim whose evidence is a committed table.
MEASURE = """
import spectral_jepa
from spectral_jepa.sweep.experiment import load_experiment

print(spectral_jepa.__file__)
claims = load_experiment("claims")
for cell in claims.cells("quick"):
    claim = next(claim for claim in claims.module.CLAIMS if claim.id == cell["claim"])
    if claim.evidence == "table":
        for row in claims(**cell):
            print(claim.id, row["met"], sep="\\t")
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The wheel of this clone, unpacked: what pip would put into site-packages."""
    folder = tmp_path_factory.mktemp("wheel")
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder / "site")
    return folder / "site"


def run(unpacked, tmp_path, *arguments):
    """Python far from the clone; what is installed in its place would come later on the path."""
    environment = {"PYTHONPATH": str(unpacked), "PATH": "/usr/bin:/bin", "MPLBACKEND": "Agg", "HOME": str(tmp_path)}
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True)


def test_every_committed_table_is_listed_and_no_picture():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
        "force-include"
    ]
    entries = {source: target for source, target in listed.items() if source.startswith("reference/")}
    assert entries == {source: f"spectral_jepa/_{source}" for source in entries}
    committed = {path for path in (ROOT / "reference").iterdir() if path.name != "figures"}
    assert {ROOT / source for source in entries} == committed


def test_the_wheel_carries_them(unpacked):
    package = unpacked / "spectral_jepa"
    for inside, beside in (("_reference", "reference"), ("_experiments", "experiments"), ("_figures", "figures")):
        carried = {path.relative_to(package / inside): path.read_bytes() for path in (package / inside).rglob("*.*")}
        names = {path.relative_to(ROOT / beside) for path in (ROOT / beside).rglob("*.*")}
        names = {name for name in names if name.suffix not in (".png", ".pyc")}
        assert set(carried) == names and len(names) >= 12
        assert all(content == (ROOT / beside / name).read_bytes() for name, content in carried.items())


def test_every_claim_that_reads_a_table_is_measured_without_the_clone(unpacked, tmp_path):
    done = run(unpacked, tmp_path, "-c", MEASURE)
    assert done.returncode == 0, done.stderr
    where, *lines = done.stdout.splitlines()
    assert Path(where).resolve() == (unpacked / "spectral_jepa/__init__.py").resolve()
    met = [line.split("\t") for line in lines]
    claims = tomllib.loads((ROOT / "experiments/claims.toml").read_text())["claim"]
    reading = [claim for claim in claims if "tables" in claim]
    assert {claim for claim, _ in met} == {claim["id"] for claim in reading}
    assert len(reading) >= 34 and len(met) > 120
    assert {verdict for _, verdict in met} == {"True"}


def test_a_table_is_not_kept_in_an_installation(unpacked, tmp_path):
    done = run(unpacked, tmp_path, "-m", "spectral_jepa", "sweep", "spectra", "--keep")
    assert done.returncode == 2 and "expected a clone of the repository" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and not (tmp_path / "results").exists()
