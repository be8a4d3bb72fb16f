"""Zero violations of the corrected bounds (docs/theory.md, 4.1-4.5) on random worlds, data laws, models and plans.

Every test draws at least INSTANCES worlds from hypothesis, counts them, and guards against two ways to pass for nothing: a
regret that is always 0, and a bound that is never near it.
"""

from dataclasses import dataclass

import hypothesis
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spectral_jepa import (
    CoOccurrence,
    Embedding,
    TabularMDP,
    averaged_single_step_bound,
    multi_step_bound,
    oracle_bound,
    plan_goals,
    plan_rewards,
    pointwise_single_step_bound,
    pooled_risk,
    reward_bound_values,
    sample_transitions,
    spectral_embedding,
    spectral_risk,
)
from spectral_jepa.linalg import inverse_or_zero

INSTANCES = 1000  # examples of each bound
DISTINCT = 550  # at least so many of them are different instances; five bounds make 2,750
SLACK = 1e-10
KINDS = ("truncated", "plug-in", "noisy", "noise", "adversary")
CHECKED = settings(
    max_examples=INSTANCES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@dataclass
class Instance:
    seed: int
    n_states: int
    n_actions: int
    log_concentration: float  # of the rows of P: -1.5 is all but deterministic, 1 is nearly uniform
    weights: str
    kind: str
    dim: int
    log_noise: float
    log_samples: float
    horizon: int

    def __post_init__(self):
        self.rng = np.random.default_rng(self.seed)
        self.dim = min(self.dim, self.n_states)

    def law(self, positive=True):
        raw = self.rng.dirichlet(np.full(self.n_states, 0.5))
        return 0.9 * raw + 0.1 / self.n_states if positive else raw

    def data_law(self):
        if self.weights == "uniform":
            return np.full(self.n_states, 1 / self.n_states)
        law = self.law()
        if self.weights == "one state unseen" and self.n_states > 2:
            law[self.rng.integers(self.n_states)] = 0
        return law / law.sum()

    def rows(self):
        return self.rng.dirichlet(np.full(self.n_states, 10**self.log_concentration), size=(self.n_actions, self.n_states))

    def world(self):
        frequency = self.rng.dirichlet(np.full(self.n_actions, 2.0)) * 0.9 + 0.1 / self.n_actions
        reward = self.rng.random((self.n_states, self.n_actions)) * (self.rng.random((self.n_states, 1)) < 0.5)
        return TabularMDP(self.rows(), self.data_law(), reward, 1.0, action_frequency=frequency)

    def stationary_world(self):
        """Every action keeps w: Metropolis chains for any w, or mixtures of permutations for the uniform one."""
        if self.weights == "uniform":
            shares = self.rng.dirichlet(np.full(3, 10**self.log_concentration), size=self.n_actions)
            moves = np.array([[self.rng.permutation(self.n_states) for _ in range(3)] for _ in range(self.n_actions)])
            return TabularMDP(np.einsum("am,amxy->axy", shares, np.eye(self.n_states)[moves]))
        weight, proposal = self.law(), self.rows()
        flow = weight[None, :, None] * proposal
        accepted = np.minimum(flow, np.swapaxes(flow, 1, 2)) / weight[None, :, None]
        stay = 1 - accepted.sum(axis=2)
        accepted += stay[:, :, None] * np.eye(self.n_states)
        return TabularMDP(np.maximum(accepted, 0), weight)

    def estimate(self, mdp, **how):
        data = sample_transitions(mdp, max(1, int(10**self.log_samples)), seed=self.rng)
        return CoOccurrence.from_transitions(data, **how)

    def embedding(self, mdp, shared=False):
        exact = CoOccurrence.exact(mdp)
        if self.kind == "plug-in":
            return spectral_embedding(self.estimate(mdp), self.dim, shared=shared)
        if self.kind == "adversary":
            # All actions look alike but for a lean away from the truth: it plans the worst action and errs little.
            model = mdp.transition.mean(axis=0) - 1e-3 * (mdp.transition - mdp.transition.mean(axis=0))
            column = exact.pooled_column_weight if shared else exact.column_weight
            target = np.eye(self.n_states) * inverse_or_zero(column)[..., None]
            return Embedding(target, model, column)
        fit = spectral_embedding(exact, self.dim, shared=shared)
        noise = {"truncated": 0.0, "noisy": 10**self.log_noise, "noise": 1.0}[self.kind]
        keep = float(self.kind != "noise")
        parts = [keep * part + noise * self.rng.standard_normal(part.shape) for part in (fit.target, fit.predicted)]
        return Embedding(*parts, fit.column_weight)


instances = st.builds(
    Instance,
    seed=st.integers(0, 2**32 - 1),
    n_states=st.integers(2, 6),
    n_actions=st.integers(2, 4),
    log_concentration=st.floats(-1.5, 1.0),
    weights=st.sampled_from(["uniform", "non-uniform", "one state unseen"]),
    kind=st.sampled_from(KINDS),
    dim=st.integers(1, 6),
    log_noise=st.floats(-3, 0),
    log_samples=st.floats(0.5, 3.5),
    horizon=st.integers(1, 4),
)


class Record:
    """Left and right sides seen so far."""

    def __init__(self):
        self.left, self.right, self.kinds = [], [], []

    def add(self, left, right, kind):
        assert left <= right + SLACK, (left, right)
        self.left.append(float(left))
        self.right.append(float(right))
        self.kinds.append(kind)

    def guard(self, positive, nearest):
        left, right = np.array(self.left), np.array(self.right)
        assert left.size >= INSTANCES
        assert len(set(zip(self.left, self.right, strict=True))) >= DISTINCT
        assert set(self.kinds) == set(KINDS)
        ratio = left[left > 1e-9] / right[left > 1e-9]
        assert ratio.size >= positive * left.size, ratio.size / left.size
        assert ratio.max() >= nearest, ratio.max()


@pytest.mark.parametrize("seed", [0])
def test_pointwise_single_step(seed):
    record = Record()

    @hypothesis.seed(seed)
    @CHECKED
    @given(instances)
    def check(instance):
        mdp = instance.world()
        starts = mdp.weight * instance.law()
        embedding = instance.embedding(mdp)
        plan = plan_goals(mdp, embedding, starts=starts / starts.sum(), goals=instance.law(positive=False))
        bound = pointwise_single_step_bound(CoOccurrence.exact(mdp), embedding, plan)
        assert bound.holds
        record.add(plan.mean_regret, bound.value, instance.kind)

    check()
    record.guard(positive=0.5, nearest=0.95)


@pytest.mark.parametrize("seed", [0])
def test_averaged_single_step(seed):
    record = Record()

    @hypothesis.seed(seed)
    @CHECKED
    @given(instances)
    def check(instance):
        mdp = instance.world()
        embedding = instance.embedding(mdp)
        plan = plan_goals(mdp, embedding, goals=instance.law(positive=False))
        bound = averaged_single_step_bound(CoOccurrence.exact(mdp), embedding, plan)
        assert bound.holds
        record.add(plan.mean_regret, bound.value, instance.kind)

    check()
    record.guard(positive=0.5, nearest=0.6)


@pytest.mark.parametrize("seed", [0])
def test_multi_step(seed):
    record = Record()

    @hypothesis.seed(seed)
    @CHECKED
    @given(instances)
    def check(instance):
        mdp = instance.stationary_world()
        embedding = instance.embedding(mdp)
        plan = plan_goals(mdp, embedding, horizon=instance.horizon, goals=instance.law(positive=False))
        bound = multi_step_bound(CoOccurrence.exact(mdp), embedding, plan)
        assert bound.holds
        record.add(plan.mean_regret, bound.value, instance.kind)

    check()
    record.guard(positive=0.4, nearest=0.25)


@pytest.mark.parametrize("seed", [0])
def test_reward(seed):
    tight, loose = Record(), Record()

    @hypothesis.seed(seed)
    @CHECKED
    @given(instances, st.floats(0.3, 1.0))
    def check(instance, gamma):
        mdp = instance.world()
        model = instance.embedding(mdp, shared=True).transition()
        starts = mdp.weight * instance.law()
        plan = plan_rewards(mdp, model, horizon=2 * instance.horizon, discount=gamma, start=starts / starts.sum())
        one, two = reward_bound_values(mdp, CoOccurrence.exact(mdp), model, plan)
        tight.add(plan.regret, one, instance.kind)
        loose.add(one, two, instance.kind)

    check()
    tight.guard(positive=0.4, nearest=0.7)
    loose.guard(positive=0.7, nearest=0.5)


@pytest.mark.parametrize("seed", [0])
def test_oracle_inequality(seed):
    record = Record()

    @hypothesis.seed(seed)
    @CHECKED
    @given(instances, st.booleans())
    def check(instance, shared):
        mdp = instance.world()
        exact = CoOccurrence.exact(mdp)
        if instance.kind == "plug-in":
            estimate = instance.estimate(mdp, normalization="known", known=exact)
        else:  # an arbitrary matrix E on the support of the weights, signed, of any size
            noise = 10**instance.log_noise * instance.rng.standard_normal(exact.joint.shape) * (instance.kind != "truncated")
            support = (exact.row_weight[:, :, None] > 0) & (exact.column_weight[:, None, :] > 0)
            estimate = CoOccurrence(
                exact.joint + support * noise, exact.row_weight, exact.column_weight, exact.action_frequency
            )
        embedding = spectral_embedding(estimate, instance.dim, shared=shared)
        if shared:
            error = np.linalg.norm(estimate.stacked - exact.stacked, ord=2)
            left, bound = np.sqrt(pooled_risk(exact, embedding)), oracle_bound(exact, instance.dim, error)
        else:
            error = np.linalg.norm(estimate.normalized[0] - exact.normalized[0], ord=2)
            left = np.sqrt(spectral_risk(exact, embedding)[0])
            bound = oracle_bound(exact, instance.dim, error, action=0)
        record.add(left, bound.value, instance.kind)

    check()
    record.guard(positive=0.8, nearest=0.9)
    noisy = np.array([k != "truncated" for k in record.kinds])
    assert (np.array(record.left) / np.maximum(record.right, 1e-12))[noisy].max() > 0.3
