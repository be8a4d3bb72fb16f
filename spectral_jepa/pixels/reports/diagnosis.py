"""The chain from what the world allows to what a planner with a world model reaches, and where it breaks first.

Six stages in a fixed order, each with a stated rule: can it be done, what the data contain, what the encoder sees, what the
predictor keeps, does the cost rank, success. A later link is worth a look only when those before it hold: a better predictor
does not help an encoder that does not see the object. docs/diagnosis.md says how to read them.

Each stage is measured alone (:func:`measure_stage`) and kept in ``RUN/diagnosis/``, the evaluations where ``pixels
evaluate`` keeps its own, so that a diagnosis that was killed goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, SupportsFloat

import numpy as np
import pandas as pd

from spectral_jepa._files import read_csv, value_digest, write_checked
from spectral_jepa._validation import InputError, check_choice, check_count, require_memory
from spectral_jepa.pixels.config import PixelConfig, ProbeConfig
from spectral_jepa.pixels.data.episodes import rows_in
from spectral_jepa.pixels.diagnostics.distance_shares import distance_shares
from spectral_jepa.pixels.diagnostics.latents import CACHE
from spectral_jepa.pixels.diagnostics.predicted_probe import predicted_probe
from spectral_jepa.pixels.diagnostics.probe import OTHERS, probe
from spectral_jepa.pixels.diagnostics.quantities import all_coordinates, quantity_names
from spectral_jepa.pixels.diagnostics.rank_correlation import (
    candidate_plans,
    frame_pairs,
    mean_rank_correlation,
    plan_distances,
    rank_correlation,
)
from spectral_jepa.pixels.diagnostics.window_content import GOAL, window_content
from spectral_jepa.pixels.environments.base import PixelEnvironment
from spectral_jepa.pixels.evaluation.evaluate import evaluate, evaluation_digest
from spectral_jepa.pixels.evaluation.manifest import Manifest
from spectral_jepa.pixels.interfaces import Encoder, Policy
from spectral_jepa.pixels.model.frozen import device_of, weights_digest
from spectral_jepa.pixels.model.world_model import WorldModel
from spectral_jepa.pixels.planning.policies import NothingPolicy, PlannerPolicy, RandomPolicy
from spectral_jepa.pixels.planning.simulator import SimulatorPolicy
from spectral_jepa.pixels.reports.diagnosis_text import COLUMNS, STAGES, broken_link, verdict
from spectral_jepa.pixels.reports.tables import save_table
from spectral_jepa.pixels.runs import FinishedRun, data_path, frozen_pairs, open_run
from spectral_jepa.plotting.pixels.diagnosis import draw_diagnosis
from spectral_jepa.success_rates import wilson_interval

FOLDER = "diagnosis"
# Share of pairs that the true dynamics must solve above the better of doing nothing and acting at random. With 20 pairs one
# standard error is up to .11: below .2 nobody can tell that the task can be done at all.
MARGIN = 0.20
# A set of pairs most of which are solved before anything is done is no task.
MOST_SOLVED = 0.5
# What the task asks to move must do so, by more than its tolerance, in at least a tenth of the training windows.
LEAST_MOVED = 1.0
# A quantity whose read-out is typically further off than what counts as reached cannot be brought there by its latent.
READ_ERROR = 1.0
# The predicted latent at the end of a plan: within the tolerance, or at least half of what standing still gets wrong is
# gone. Plans are made anew on the way, so their ends need not be within the tolerance; but a prediction that misses more
# than half of what happens does not tell plans apart.
KEPT_SHARE = 0.5
# Small presets: Two-Room is solved to 97 % with .63 by predicted latents (.93 by frames), Reacher to 72 % with .73 (.80),
# Push-T to 3 % with .43, and Cube stays at its floor with .46 to .50. What works lies above, what does not below.
RANKS = 0.55
# Success in the share of what separates the floor from the true dynamics under the same planner.
HALF_WAY = 0.5
# Seconds a fit, and enough frames that R2 does not change in its second digit.
PROBE = ProbeConfig(n_train=8_000, n_test=4_000, max_epochs=60)
STEPS = (5, 25, 50)
BLOCKS = (1, 3, 5)
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Diagnosed:
    """A finished run, and what its diagnosis is made with.

    Parameters
    ----------
    folder : Path
        Of the run; stages are kept in its ``diagnosis/``.
    run : FinishedRun
        Of a world model.
    data : Path
        The data file, beside which pairs lie.
    control : Encoder, optional
        An untrained model of the same shape.
    n_simulator : int
        Pairs that the true dynamics plan for, the first ones of all.
    n_starts, n_plans : int
        Starts, and candidate plans from each, that are simulated to see whether the cost ranks them.
    probe : ProbeConfig
        Sizes of the probes; its seed is that of all draws.
    device : str, optional
        Of a cloned policy beside the run. Default: the CPU.
    cache : Path, optional
        Of the unpacked data.
    progress : bool
        Show bars.

    Raises
    ------
    InputError
        The run of a cloned policy, a count below 1 (of plans and starts below 2).
    """

    folder: Path
    run: FinishedRun
    data: Path
    control: Encoder | None = None
    n_simulator: int = 20
    n_starts: int = 20
    n_plans: int = 30
    probe: ProbeConfig = PROBE
    device: str | None = None
    cache: Path | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        check_count("n_simulator", self.n_simulator)
        check_count("n_starts", self.n_starts, 2, why="an interval needs two")
        check_count("n_plans", self.n_plans, 4, why="fewer have no rank correlation to speak of")
        config = self.run.config
        block = config.model.action_block * config.model.action_dim
        shape = (min(self.n_starts, config.evaluation.n_pairs), self.n_plans, config.planning.horizon, block)
        require_memory(shape, "the candidate plans", "lower n_plans")
        if config.kind != "world_model":
            raise InputError(
                f"{self.folder} holds a run of kind {config.kind!r}, expected a world model, whose chain has an "
                "encoder, a predictor and a cost: evaluate it instead"
            )

    @property
    def model(self) -> Any:
        """The world model."""
        assert isinstance(self.run.policy, PlannerPolicy)
        return self.run.policy.model

    def pairs(self, n_pairs: int | None = None) -> Manifest:
        """The frozen pairs, or the first of them."""
        wanted = self.run.config.evaluation
        wanted = wanted if n_pairs is None else replace(wanted, n_pairs=min(n_pairs, wanted.n_pairs))
        return frozen_pairs(self.data, self.run.dataset, self.run.environment, wanted)

    def success(self, policy: Policy, manifest: Manifest, chunk_size: int | None = None) -> pd.DataFrame:
        """Rows of an evaluation, kept where ``pixels evaluate`` keeps its own.

        Parameters
        ----------
        policy : Policy
        manifest : Manifest
        chunk_size : int, optional
            Pairs in one file: what a kill may lose. Default: what the policy prefers.

        Returns
        -------
        DataFrame
            As :func:`spectral_jepa.pixels.evaluation.evaluate.evaluate` gives it.
        """
        return evaluate(
            policy,
            manifest,
            self.run.dataset,
            self.run.environment,
            self.run.config.evaluation,
            folder=self.folder.parent / "evaluations",
            chunk_size=chunk_size,
            progress=self.progress,
        )


def open_diagnosis(
    folder: Path,
    data: Path | None = None,
    *,
    n_simulator: int = 20,
    n_starts: int = 20,
    n_plans: int = 30,
    seed: int = 0,
    device: str | None = None,
    overrides: Mapping[str, str] | None = None,
    cache: Path | None = None,
    progress: bool = True,
) -> Diagnosed:
    """Open a finished run to diagnose it.

    Parameters
    ----------
    folder : Path
        Of the run.
    data : Path, optional
        Default: the data that it was trained on.
    n_simulator, n_starts, n_plans : int
        As of :class:`Diagnosed`.
    seed : int
        Of samples, plans, probes and the untrained encoder.
    device : str, optional
        Default: the CPU.
    overrides : dict of str, optional
        Settings of planning and evaluation, changed after loading.
    cache : Path, optional
        Where the unpacked data go.
    progress : bool

    Returns
    -------
    Diagnosed

    Raises
    ------
    InputError
        As :func:`spectral_jepa.pixels.runs.open_run`, and as :class:`Diagnosed`.
    """
    settings = replace(PROBE, seed=seed)
    run = open_run(folder, data, device, overrides, cache=cache)
    control = None
    if run.config.kind == "world_model":
        assert isinstance(run.policy, PlannerPolicy)
        control = WorldModel(run.config.model, seed).to(device_of(run.policy.model))
    return Diagnosed(
        folder,
        run,
        data_path(folder, data),
        control,
        n_simulator,
        n_starts,
        n_plans,
        settings,
        device,
        cache,
        progress,
    )


def diagnose(of: Diagnosed) -> pd.DataFrame:
    """Measure all stages; writes ``diagnosis.csv`` and ``figures/diagnosis.png`` into the folder of the run.

    Parameters
    ----------
    of : Diagnosed

    Returns
    -------
    DataFrame
        Long: stage, quantity, horizon, measure, value, low, high, n, passes, what. ``passes`` is true or false in rows that
        carry a rule, which ``what`` states, and empty in the others. Intervals are 95 % (Wilson, Fisher, Student) for rates
        and correlations; for movements and errors low and high are the 10 % and 90 % quantiles.

    Raises
    ------
    InputError
        As the stages do: too few or too short episodes.
    """
    table = pd.concat([measure_stage(of, stage) for stage in STAGES], ignore_index=True)
    figures = draw_diagnosis(table, STAGES, _title(of.run.config, of.run.environment), broken_link(table))
    save_table(of.folder, "diagnosis", table, figures)
    return table


def measure_stage(of: Diagnosed, stage: str) -> pd.DataFrame:
    """Measure one stage, or read what was measured before under the same weights, data and settings.

    Parameters
    ----------
    of : Diagnosed
    stage : {"possible", "data", "encoder", "predictor", "cost", "success"}

    Returns
    -------
    DataFrame
        The stage's rows of :func:`diagnose`.

    Raises
    ------
    InputError
        An unknown stage, too few or too short episodes.
    """
    check_choice("stage", stage, list(STAGES))
    measure = _MEASURES[stage]
    if stage in ("possible", "success"):  # evaluate keeps their rows, pair by pair
        return _table(stage, measure(of))
    config = of.run.config
    identity = {
        "stage": stage,
        "weights": weights_digest(of.model),
        "data": of.run.dataset.digest("pixels", "state"),
        "evaluation": asdict(config.evaluation),
        "horizon": config.planning.horizon,
        "probe": asdict(of.probe),
        "plans": [of.n_starts, of.n_plans, config.planning.initial_std],
    }
    path = of.folder / FOLDER / f"{stage}-{value_digest(identity)[:16]}.csv"
    if path.is_file():
        try:
            return typed_diagnosis(read_csv(path, COLUMNS, "measure again", float_precision="round_trip"))[COLUMNS]
        except InputError:
            pass  # damaged: measured again
    table = _table(stage, measure(of))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_checked(path, table.to_csv(index=False).encode())
    return typed_diagnosis(table)


def load_diagnosis(folder: Path) -> pd.DataFrame:
    """Read what :func:`diagnose` left in the folder of a run.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    DataFrame
        As :func:`diagnose` gives it.

    Raises
    ------
    InputError
        No such table, or one that was damaged.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> load_diagnosis(folder)
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: ...diagnosis.csv does not exist, expected a CSV table with ...: run ...
    """
    path = folder / "diagnosis.csv"
    table = read_csv(path, COLUMNS, "run spectral-jepa pixels diagnose", float_precision="round_trip")
    return typed_diagnosis(table)[COLUMNS]


def typed_diagnosis(table: pd.DataFrame) -> pd.DataFrame:
    """The same types, whether a table was measured now or read: numbers, texts, and true, false or None.

    Parameters
    ----------
    table : DataFrame
        With the columns of a diagnosis, and others.

    Returns
    -------
    DataFrame

    Notes
    -----
    O(rows).

    Examples
    --------
    >>> read = pd.DataFrame([("cost", None, "", "share", "0.5", None, None, 9, "True", None)], columns=COLUMNS)
    >>> typed_diagnosis(read)[["quantity", "value", "passes"]].values.tolist()
    [['', 0.5, True]]
    """
    numbers = {name: pd.to_numeric(table[name]).astype(float) for name in ("horizon", "value", "low", "high", "n")}
    passes = [None if pd.isna(value) or value == "" else str(value) == "True" for value in table["passes"]]
    words = ("stage", "quantity", "measure", "what")
    texts = {name: table[name].astype(object).where(table[name].notna(), "").astype(str) for name in words}
    return table.assign(**numbers, **texts, passes=pd.Series(passes, index=table.index, dtype=object))


# --- Stages ---------------------------------------------------------------------------------------------------------------


def _possible(of: Diagnosed) -> Rows:
    """Success of the true dynamics, of doing nothing, of random actions and of a cloned policy."""
    run, manifest = of.run, of.pairs()
    offset = run.config.evaluation.goal_offset
    search = run.config.planning
    note = ""
    if search.method != "cem":
        search, note = replace(search, method="cem"), f" (by cem; {search.method} needs a model)"
    upper = SimulatorPolicy(run.environment, run.scaler, search, run.config.model.action_block)
    first = of.pairs(of.n_simulator)
    ceiling = of.success(upper, first, chunk_size=2)
    floors: dict[str, Policy] = {
        "nothing": NothingPolicy(run.environment, offset),
        "random": RandomPolicy(run.environment, offset),
    }
    rates = {name: of.success(policy, manifest) for name, policy in floors.items()}
    rows = [_rate(ceiling, f"true dynamics{note}"), _rate(rates["nothing"], "nothing"), _rate(rates["random"], "random")]
    rows.append(_cloning(of, manifest))
    floor = max(float(table["success"].mean()) for table in rates.values())
    margin = float(ceiling["success"].mean()) - floor
    passes: bool | None = margin >= MARGIN
    rule = f"true dynamics, expected at least {MARGIN}"
    # So few pairs that the truth may well lie above: no verdict.
    if not passes and rows[0]["high"] - floor >= MARGIN:
        passes, rule = None, f"{rule}; too few pairs ({len(ceiling)}) to tell, raise n_simulator"
    rows.append(_row("points above the floor", margin, n=len(ceiling), passes=passes, what=rule))
    return rows


def _cloning(of: Diagnosed, manifest: Manifest) -> dict[str, Any]:
    """Success of a finished cloned policy beside the run; how to make one where there is none."""
    how = f"cloning: none beside the run, train one with pixels train --kind cloning --data {of.data}"
    for folder in sorted(of.folder.resolve().parent.glob("cloning-*")):
        if not (folder / "config.json").is_file():
            continue
        other = open_run(folder, of.data, of.device, cache=of.cache)
        if other.config.kind == "cloning" and other.environment.image_size == of.run.environment.image_size:
            return _rate(of.success(other.policy, manifest), f"cloning ({folder.name})")
        how = f"cloning: {folder.name} sees pictures of another size, train one of {of.run.environment.image_size} px"
    return _row("success", float("nan"), what=how)


def _rate(rows: pd.DataFrame, what: str) -> dict[str, Any]:
    wins, n = int(rows["success"].sum()), len(rows)
    low, high = wilson_interval(wins, n)
    return _row("success", wins / n, low, high, n=n, what=what)


def _data(of: Diagnosed) -> Rows:
    """How far quantities move in training windows."""
    run, tolerances = of.run, _tolerances(of)
    offset = run.config.evaluation.goal_offset
    steps = sorted({length for length in (*STEPS, offset) if length % run.dataset.row_steps == 0})
    table = window_content(run.dataset, run.dataset.split()["train"], run.environment, steps=steps, seed=of.probe.seed)
    rows: Rows = []
    for line in table.to_dict("records"):
        name, at = line["quantity"], {"horizon": line["steps"], "n": line["n"]}
        low, high = line["q10"], line["q90"]
        if name == GOAL:
            rows.append(_row("movement", line["median"], low, high, quantity=name, **at, what="in units of success, median"))
            solved = round(line["solved"] * line["n"])
            judged = line["steps"] == offset
            rows.append(
                _row(
                    "solved at the start", line["solved"], *wilson_interval(solved, line["n"]), quantity=name, **at,
                    passes=line["solved"] <= MOST_SOLVED if judged else None,
                    what=f"share of windows, expected at most {MOST_SOLVED}" if judged else "share of windows",
                )
            )  # fmt: skip
            continue
        tolerance, unit = tolerances.get(name, (None, ""))
        rows.append(_row("movement", line["median"], low, high, quantity=name, **at, what=f"{unit} median".strip()))
        if tolerance is not None:
            low, median, high = (line[key] / tolerance for key in ("q10", "median", "q90"))
            what = "in tolerances, median"
            rows.append(_row("movement in tolerances", median, low, high, quantity=name, **at, what=what))
            if line["steps"] == offset:
                what = f"90 % quantile in tolerances, expected at least {LEAST_MOVED}"
                passes = high >= LEAST_MOVED
                rows.append(_row("largest movements", high, quantity=name, **at, passes=passes, what=what))
    return rows


def _encoder(of: Diagnosed) -> Rows:
    """Probes of the trained encoder, of an untrained one, and of each quantity from the others."""
    run, tolerances = of.run, _tolerances(of)
    table = probe(
        of.model,
        run.dataset,
        run.dataset.split(),
        of.probe,
        control=of.control,
        tolerances=tolerances,
        cache=of.folder / CACHE,
        progress=of.progress,
    )
    table = table[table["coordinate"] == "mean"]
    names = {"embedding": "trained", "random encoder": "untrained", OTHERS: "from the other quantities", "pixels": "pixels"}
    rows: Rows = []
    for quantity, part in table.groupby("quantity", sort=False):
        for line in part.to_dict("records"):
            what, n = f"{line['probe']}, {names[line['input']]}", line["n_test"]
            rows.append(_row("r2", line["r2"], quantity=str(quantity), n=n, what=what))
            rows += _errors(line, str(quantity), what, n)
        seen = part[part["input"] == "embedding"]["error_in_tolerances"].min()
        if np.isfinite(seen):
            what = f"best read-out of the trained encoder, expected at most {READ_ERROR:g}"
            rows.append(
                _row(
                    "error in tolerances", seen, quantity=str(quantity), passes=bool(seen <= READ_ERROR), what=what,
                    n=part["n_test"].iloc[0],
                )
            )  # fmt: skip
    return rows


def _errors(line: Mapping[Any, Any], quantity: str, what: str, n: int, **more: Any) -> Rows:
    if not np.isfinite(line["error"]):
        return []
    high = line["error_q90"]
    unit = f", {line['unit']}" if line["unit"] else ""
    rows = [_row("error", line["error"], float("nan"), high, quantity=quantity, n=n, what=what + unit, **more)]
    if np.isfinite(line["error_in_tolerances"]):
        rows.append(_row("error in tolerances", line["error_in_tolerances"], quantity=quantity, n=n, what=what, **more))
    return rows


def _predictor(of: Diagnosed) -> Rows:
    """Probes of predicted latents."""
    run, tolerances = of.run, _tolerances(of)
    blocks = sorted({*BLOCKS, run.config.planning.horizon})
    block_rows = rows_in(run.dataset, "model.action_block", run.config.model.action_block)
    longest = (int(run.dataset.ep_len[run.dataset.split()["test"]].max()) - 1) // block_rows
    blocks = [n for n in blocks if n <= longest] or [1]
    table = predicted_probe(
        of.model,
        run.dataset,
        run.dataset.split(),
        run.scaler,
        of.probe,
        blocks=blocks,
        tolerances=tolerances,
        cache=of.folder / CACHE,
        progress=of.progress,
    )
    rows: Rows = []
    for line in table.to_dict("records"):
        what, at = f"{line['probe']}, {line['input']}", {"horizon": line["blocks"]}
        rows.append(_row("r2", line["r2"], quantity=line["quantity"], n=line["n"], what=what, **at))
        rows += _errors(line, line["quantity"], what, line["n"], **at)
    last = max((n for n in blocks if n <= run.config.planning.horizon), default=blocks[0])
    for quantity in tolerances:
        part = table[(table["quantity"] == quantity) & (table["blocks"] == last)]
        best = part.groupby("input")["error_in_tolerances"].min()
        if not len(best) or not np.isfinite(best["predicted"]):
            continue
        allowed = max(1.0, KEPT_SHARE * float(best["first frame"]))
        what = (
            f"best read-out of predicted latents, expected at most {allowed:.2f} (standing still: {best['first frame']:.2f})"
        )
        passes = bool(best["predicted"] <= allowed)
        rows.append(
            _row(
                "error in tolerances", best["predicted"], quantity=quantity, horizon=last, n=part["n"].iloc[0],
                passes=passes, what=what,
            )
        )  # fmt: skip
    return rows


def _cost(of: Diagnosed) -> Rows:
    """Rank correlations of latent and true distances, and what the latent distance is made of."""
    run, seed = of.run, of.probe.seed
    test = run.dataset.split()["test"]
    offset = run.config.evaluation.goal_offset
    options: dict[str, Any] = {"seed": seed, "cache": of.folder / CACHE, "progress": of.progress}
    far = frame_pairs(of.model, run.dataset, test, run.environment, **options)
    near = frame_pairs(of.model, run.dataset, test, run.environment, steps=offset, **options)
    rows = [_row("rank correlation", *rank_correlation(far.latent, far.true), what="any two held-out frames")]
    what = f"held-out frames at most {offset} steps apart"
    rows.append(_row("rank correlation", *rank_correlation(near.latent, near.true), what=what))
    chosen = of.pairs(of.n_starts).table
    plans = candidate_plans(
        run.dataset,
        chosen[:, 1],
        run.scaler,
        n_plans=of.n_plans,
        horizon=run.config.planning.horizon,
        action_block=run.config.model.action_block,
        std=run.config.planning.initial_std,
        seed=seed,
    )
    found = plan_distances(
        of.model,
        run.dataset,
        chosen[:, 1],
        chosen[:, 2],
        run.environment,
        run.scaler,
        plans,
        progress=of.progress,
    )
    for what, latent in (("plans, by the frames they end in", found.seen), ("plans, by predicted latents", found.predicted)):
        found_rank = mean_rank_correlation(latent, found.true)
        # Where no plan changes the distance there is nothing to rank, and a constant cost of what differs is no ranking.
        judged = bool(np.any(np.ptp(found.true, axis=1) > 0))
        passes = found_rank.value >= RANKS if judged else None  # false where it is not defined
        rows.append(_row("rank correlation", *found_rank, passes=passes, what=f"{what}, expected at least {RANKS}"))
    # Near pairs: between frames far apart a latent distance hardly grows any more.
    known = all_coordinates(run.dataset, quantity_names(run.dataset), np.concatenate([near.first, near.second]))
    n = len(near.first)
    differences = {name: values[:n] - values[n:] for name, values in known.items()}
    if near.latent.mean() > 0 and differences:
        for line in distance_shares(near.latent, differences).to_dict("records"):
            what = f"of the latent distance of frames at most {offset} steps apart (R2 of the split {line['r2']:.2f})"
            rows.append(_row("share", line["share"], quantity=line["quantity"], n=line["n"], what=what))
    return rows


def _success(of: Diagnosed) -> Rows:
    """The run's own success, between floor and true dynamics."""
    run, manifest = of.run, of.pairs()
    wanted = run.config.evaluation
    digest = evaluation_digest(run.policy, manifest, run.environment, wanted)
    own = of.folder / f"evaluation-{wanted.goal_offset}.csv"
    rows = pd.DataFrame()
    if own.is_file():
        rows = read_csv(
            own, ["success", "configuration"], "run spectral-jepa pixels evaluate again", dtype={"configuration": str}
        )
    if len(rows) != len(manifest) or set(rows["configuration"]) != {digest}:
        rows = of.success(run.policy, manifest)
    result = _rate(rows, "the run")
    possible = measure_stage(replace(of, progress=False), "possible")
    measured = possible[possible["measure"] == "success"].set_index("what")["value"]
    ceiling = float(measured.iloc[0])
    floor = float(measured[["nothing", "random"]].max())
    least = floor + HALF_WAY * (ceiling - floor)
    what = f"the run, expected at least {least:.3f}, half way from the floor {floor:.3f} to the true dynamics {ceiling:.3f}"
    passes: bool | None = result["value"] >= least
    if verdict(possible, "possible") == "not judged":
        passes, what = None, f"{what}, which too few pairs were planned with"
    return [result, _row("success rate", result["value"], n=result["n"], passes=passes, what=what)]


_MEASURES: dict[str, Callable[[Diagnosed], Rows]] = {
    "possible": _possible,
    "data": _data,
    "encoder": _encoder,
    "predictor": _predictor,
    "cost": _cost,
    "success": _success,
}


def _row(
    measure: str, value: SupportsFloat, low: SupportsFloat = float("nan"), high: SupportsFloat = float("nan"),
    n: SupportsFloat = float("nan"), *,
    quantity: str = "", horizon: SupportsFloat = float("nan"), passes: bool | None = None, what: str = "",
) -> dict[str, Any]:  # fmt: skip
    return {
        "quantity": quantity, "horizon": float(horizon), "measure": measure,
        "value": float(value), "low": float(low), "high": float(high), "n": float(n), "passes": passes, "what": what,
    }  # fmt: skip


def _table(stage: str, rows: Rows) -> pd.DataFrame:
    return typed_diagnosis(pd.DataFrame([{"stage": stage, **row} for row in rows], columns=COLUMNS))


def _tolerances(of: Diagnosed) -> Mapping[str, tuple[float, str]]:
    environment = of.run.environment
    return environment.tolerances if isinstance(environment, PixelEnvironment) else {}


def _title(config: PixelConfig, environment: PixelEnvironment) -> str:
    return f"{environment.name}: {config.model.encoder} encoder, {config.objective.regularizer}"
