"""The core where only numpy, scipy, pandas and matplotlib are, as in a browser: what runs, what is refused."""

import json
import subprocess
import sys

import numpy as np
import pytest

# Pyodide has the scientific four and scikit-learn (with joblib, whose workers it cannot start); nothing else of ours.
MISSING = ["torch", "safetensors", "psutil", "loky", "pyarrow", "gymnasium", "tyro", "tqdm", "h5py", "seaborn", "dask"]
MISSING += ["distributed", "filelock", "mujoco", "dm_control", "ogbench", "jaxtyping", "beartype"]
SKLEARN = ["sklearn", "joblib", "threadpoolctl"]
BLOCK = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""
CORE = """
import json
import numpy as np, pandas as pd
import spectral_jepa as sj

said = {}
world = sj.make_low_rank(n_states=40, rank=5, n_actions=3, seed=0)
exact = sj.CoOccurrence.exact(world)
data = sj.sample_transitions(world, n_per_action=2000, seed=1)
sampled = sj.CoOccurrence.from_transitions(data)
said["tails"] = [float(sj.tail(exact, k).mean()) for k in (4, 5)]
full = sj.spectral_embedding(exact, 5)
said["regret at full rank"] = sj.plan_goals(world, full).mean_regret
fit = sj.spectral_embedding(sampled, 5)
plan = sj.plan_goals(world, fit)
said["regret and bounds"] = [plan.mean_regret, *(
    bound(exact, fit, plan).value for bound in (sj.pointwise_single_step_bound, sj.averaged_single_step_bound))]

reset = sj.make_reset(n_states=4, noise=0.1)
at = sj.CoOccurrence.exact(reset)
fooled = sj.Embedding(*sj.reset_embedding_arrays(n_states=4, angle=0.05), reset.next_weight)
dot = sj.plan_goals(reset, fooled, score="dot")
said["reset"] = [sj.printed_single_step_bound(at, fooled, dot).value, dot.mean_regret]
said["reset"].append(sj.plan_goals(reset, fooled).mean_regret)

rooms = sj.CoOccurrence.exact(sj.make_four_rooms())
said["rooms"] = sj.spectrum(rooms, shared=True)[:3].tolist()

task = sj.make_two_state(0.1, 0.1)
both = sj.CoOccurrence.exact(sj.with_nuisance(task, n_values=2, kind="markov", persistence=0.9))
said["crossing"] = float(sj.critical_nuisance_scale(0.8, 0.9, 2, 2))
said["input"] = []
for scale in (0.9 * said["crossing"], 1.1 * said["crossing"]):
    model = sj.reduced_rank_regression(both, sj.product_observations(np.eye(2), np.eye(2), nuisance_scale=scale))
    kept = model.embedding(2).target[0, :, 1]
    said["input"].append([*model.predicted_variance[0, :2].tolist(), abs(float(np.corrcoef(kept, [0, 0, 1, 1])[0, 1]))])

two = sj.CoOccurrence.exact(task)
said["whitening"] = [float(np.squeeze(sj.whitened_mse_value(two, 2))), *sj.soft_whitening_scales([1.0, 0.5], 2.0).tolist()]
said["sigreg"] = [sj.sigreg_phase(0.8, 1, 0.2), sj.sigreg_phase(0.8, 1, 0.3)]
said["slope"] = sj.sigreg_slope()
said["packing"] = sj.packing_bayes_risk(2, 2, 1, [-0.5, 0.5], [0.5, 0.5])
said["binomial"] = sj.make_autoregressive(3, 0.0).weight.tolist()
said["subspaces"] = sj.shared_encoder_worst_case(0.6, 2, scale=1.0).attained

frame = pd.DataFrame({"state": [*"aab"], "action": 0, "next_state": [*"abb"]})
log = sj.read_log(frame)
said["log"] = [sj.log_to_mdp(log).dense()[0].tolist(), sj.analyze(data).n_states]

from spectral_jepa.plotting.figures import spectrum_figure
said["figure"] = len(spectrum_figure("rooms", sj.spectrum(rooms), sj.spectrum(rooms, shared=True)).axes)

said["refused"] = []
for call in (
    lambda: sj.read_log("log.csv"), lambda: sj.run_sweep(lambda x: {"y": x}, [{"x": 1}], "folder", experiment="square"),
    lambda: sj.TabularMDP.from_gymnasium("FrozenLake-v1"), lambda: __import__("spectral_jepa.losses"),
):
    try:
        call()
    except sj.InputError as error:
        said["refused"].append(str(error))
said["loaded"] = sorted({name.partition(".")[0] for name in sys.modules} & set(MISSING))
print(json.dumps(said))
"""
SOLVERS = """
import json
import numpy as np
import spectral_jepa as sj
from spectral_jepa import factorizers as fz

world = sj.make_low_rank(n_states=20, rank=3, n_actions=2, seed=0)
exact = sj.CoOccurrence.exact(world)
solvers = [fz.FullSVD(), fz.LanczosSVD(), fz.RandomizedSVD(random_state=0), fz.AlternatingLeastSquares(random_state=0)]
print(json.dumps([float(sj.spectral_risk(exact, fz.fit_embedding(exact, 3, solver)).max()) for solver in solvers]))
"""


def run_without(missing, code, folder):
    script = f"MISSING = {missing!r}\n{BLOCK}\n{code}"
    run = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bare")
    (folder / "log.csv").write_text("state,action,next_state\n0,0,1\n")
    return run_without([*MISSING, *SKLEARN], CORE, folder)


def test_the_theory_gives_its_numbers_where_only_numpy_and_scipy_are(said):
    # Each from its closed form or its statement, none from this package.
    assert said["tails"][0] > 1e-3 and said["tails"][1] == pytest.approx(0, abs=1e-12)
    assert said["regret at full rank"] == pytest.approx(0, abs=1e-12)
    regret, pointwise, averaged = said["regret and bounds"]
    assert 0 < regret <= min(pointwise, averaged)
    promised, suffered, mended = said["reset"]
    assert promised == pytest.approx(2 * np.sqrt(0.925 / 0.25) * (1 - np.cos(0.05)), abs=5e-5)
    assert suffered == pytest.approx(0.75 * 0.9, abs=1e-12) and mended == pytest.approx(0, abs=1e-12)
    assert said["rooms"][0] == pytest.approx(1, abs=1e-12) and 0.9 < said["rooms"][2] <= said["rooms"][1] < 1
    assert said["whitening"] == pytest.approx([1 - 0.8**2, 1.0, 1 - (1 - 0.5**2) / 2.0 / 2], abs=1e-9)
    assert said["packing"] == pytest.approx(0.1875) and said["binomial"] == pytest.approx([0.25, 0.5, 0.25])
    assert said["log"][0] == [[0.5, 0.5], [0, 1]] and said["log"][1] == 40 and said["figure"] == 2
    assert said["subspaces"] == pytest.approx(0.8264, abs=5e-5)


def test_latent_against_input_and_collapse_without_torch(said):
    task, kept = 0.8**2 / 2, 0.9**2 / 2
    assert said["crossing"] == pytest.approx(0.8 / 0.9)
    for factor, (first, second, seen) in zip((0.9, 1.1), said["input"], strict=True):
        nuisance = (factor * 0.8 / 0.9) ** 2 * kept
        assert [first, second] == pytest.approx(sorted([task, nuisance], reverse=True), abs=1e-12)
        # Below the crossing the one direction shows the task, above it the nuisance.
        assert seen == pytest.approx(float(factor < 1), abs=1e-6)
    # 1 - .8^2 = .36 lies between .2 and .3 times the pull of 17 knots on [0, 3], by the trapezoidal rule.
    t = np.linspace(0, 3, 17)
    u, step = np.exp(-(t**2) / 2), 3 / 16
    weights = np.where((t == 0) | (t == 3), step, 2 * step)
    slope = float(np.sum(weights * u * (1 - u) * t**2))
    assert said["slope"] == pytest.approx(slope, rel=1e-9)
    assert 0.2 * slope <= 0.36 < 0.3 * slope and said["sigreg"] == ["collapsed", "grows"]


def test_what_needs_more_says_so_in_one_sentence(said):
    for sentence, package in zip(said["refused"], ("pyarrow", "joblib", "gymnasium", "torch"), strict=True):
        assert (
            f"needs the package {package}, which is not installed" in sentence and "pip install 'spectral-jepa" in sentence
        )
        assert "\n" not in sentence
    assert said["loaded"] == []


def test_the_block_blocks(tmp_path):
    for name in ("torch", "psutil", "pyarrow", "tqdm"):
        code = f"try:\n    import {name}\n    print(1)\nexcept ModuleNotFoundError:\n    print(0)"
        assert run_without(MISSING, code, tmp_path) == 0
    assert run_without([], "import psutil; print(1)", tmp_path) == 1


def test_solvers_run_on_scikit_learn_alone(tmp_path):
    # Of a world of rank 3 every solver finds all there is at k = 3.
    assert run_without(MISSING, SOLVERS, tmp_path) == pytest.approx([0.0] * 4, abs=1e-6)
