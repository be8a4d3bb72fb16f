"""docs/theory.md, 4.4: regret of planning for a reward with any, even signed, model."""

import numpy as np
import pytest

from spectral_jepa import plan_rewards, reward_bound_values, reward_bounds, spectral_embedding

SEEDS = list(range(5))


def plan_by_hand(world, model, horizon, gamma):
    """Backward induction in the model, values clipped to [0, (1 - gamma^(H-h)) / (1 - gamma)]; loops only."""
    n_actions, n = world.transition.shape[:2]
    values, policy = np.zeros((horizon + 1, n)), np.zeros((horizon, n), dtype=int)
    for h in range(horizon - 1, -1, -1):
        ceiling = sum(gamma**i for i in range(horizon - h))
        for x in range(n):
            scores = [world.reward[x, a] + gamma * (model[a, x] @ values[h + 1]) for a in range(n_actions)]
            policy[h, x] = int(np.argmax(scores))
            values[h, x] = min(max(max(scores), 0.0), ceiling)
    return values, policy


def evaluate_by_hand(world, policy, start, gamma):
    """Return of the policy, and the law d_h(x) of each step."""
    here, total, laws = start.copy(), 0.0, []
    for h, actions in enumerate(policy):
        laws.append(here.copy())
        total += gamma**h * sum(here[x] * world.reward[x, actions[x]] for x in range(len(here)))
        here = sum(here[x] * world.transition[actions[x], x] for x in range(len(here)))
    return total, laws


def bounds_by_hand(world, model, horizon, gamma, start):
    values, planned = plan_by_hand(world, model, horizon, gamma)
    _, best = plan_by_hand(world, world.transition, horizon, gamma)
    n, q = len(start), world.frequency @ world.next_weight
    rho = world.frequency[:, None] * world.weight[None, :]
    risk = sum(
        rho[a, x] * (world.transition[a, x, y] - model[a, x, y]) ** 2 / q[y]
        for a in range(len(model))
        for x in range(n)
        for y in range(n)
    )
    returns, tight, loose = [], 0.0, 0.0
    for policy in (best, planned):
        total, laws = evaluate_by_hand(world, policy, start, gamma)
        returns.append(total)
        for h in range(horizon):
            concentration = 0.0
            for x in range(n):
                a = policy[h, x]
                error = abs((world.transition[a, x] - model[a, x]) @ values[h + 1])
                tight += gamma ** (h + 1) * laws[h][x] * error
                concentration += laws[h][x] ** 2 / rho[a, x]
            size = np.sqrt(q @ values[h + 1] ** 2)
            loose += gamma ** (h + 1) * np.sqrt(concentration) * size * np.sqrt(risk)
    return returns[0] - returns[1], tight, loose


def models(world, seed):
    """Truncations of every rank, a perturbed truth, and arbitrary signed matrices."""
    rng = np.random.default_rng(seed)
    yield from (spectral_embedding(world.exact, dim, shared=True).transition() for dim in (1, 2, 4))
    yield world.transition + 0.1 * rng.standard_normal(world.transition.shape)
    for scale in (0.05, 0.3, 3.0):
        yield scale * rng.standard_normal(world.transition.shape)


@pytest.mark.parametrize("horizon, gamma", [(1, 1.0), (4, 1.0), (6, 0.8)])
@pytest.mark.parametrize("seed", SEEDS)
def test_both_forms_against_loops(draw_world, seed, horizon, gamma):
    world = draw_world(seed, 4, 3, concentration=0.3)
    start = np.random.default_rng(seed).dirichlet(np.ones(4))
    batch = np.stack(list(models(world, seed)))
    together = plan_rewards(world.mdp, batch, horizon=horizon, discount=gamma, start=start)
    tights, looses = reward_bound_values(world.mdp, world.exact, batch, together)
    for i, model in enumerate(batch):
        regret, tight, loose = bounds_by_hand(world, model, horizon, gamma, start)
        assert -1e-12 <= regret <= tight + 1e-10
        assert tight <= loose + 1e-10
        plan = plan_rewards(world.mdp, model, horizon=horizon, discount=gamma, start=start)
        one, two = reward_bounds(world.mdp, world.exact, model, plan)
        for got, by_hand in ((plan.regret, regret), (one.value, tight), (two.value, loose)):
            assert float(got) == pytest.approx(by_hand, rel=1e-9, abs=1e-10)
        assert (together.regret[i], tights[i], looses[i]) == pytest.approx((regret, tight, loose), rel=1e-9, abs=1e-10)
        assert one.holds and two.holds


def test_regret_is_often_positive(draw_world):
    regrets = []
    for seed in SEEDS:
        world = draw_world(seed, 4, 3, concentration=0.3)
        regrets += [float(plan_rewards(world.mdp, m, horizon=4, discount=1.0).regret) for m in models(world, seed)]
    assert np.mean(np.array(regrets) > 1e-6) > 0.5


@pytest.mark.parametrize("seed", [0])
def test_an_exact_model_has_no_regret_and_no_bound(draw_world, seed):
    world = draw_world(seed, 5, 3)
    plan = plan_rewards(world.mdp, world.transition, horizon=5)
    tight, loose = reward_bounds(world.mdp, world.exact, world.transition, plan)
    assert float(plan.regret) < 1e-12 and tight.value < 1e-12 and loose.value < 1e-6
    assert plan.optimal > 1


@pytest.fixture
def fork(as_world):
    """From state 0 to a state worth 1 or a state worth nothing; action 1 reaches the good one more often by 2 e."""

    def build(e):
        rows = [[[0, 0.5 + sign * e, 0.5 - sign * e], [0, 1, 0], [0, 0, 1]] for sign in (-1, 1)]
        return as_world(rows, reward=[[0, 0], [1, 1], [0, 0]])

    return build


@pytest.mark.parametrize("e", [0.05, 0.5])
def test_tight_form_is_attained(fork, e):
    """A model that cannot tell the actions apart errs by e on each, and the regret is 2 e."""
    world = fork(e)
    model = world.transition.copy()
    model[:, 0] = [0, 0.5, 0.5]
    plan = plan_rewards(world.mdp, model, horizon=2, discount=1.0, start=[0])
    tight, loose = reward_bounds(world.mdp, world.exact, model, plan)
    assert float(plan.regret) == pytest.approx(2 * e, abs=1e-12)
    assert tight.value == pytest.approx(2 * e, abs=1e-12)
    assert tight.value < loose.value < 10 * tight.value


@pytest.mark.parametrize("wrong_action", [0, 1])
def test_both_policies_must_be_counted(fork, wrong_action):
    """Err on the best action alone or on the planned one alone, and the term of the other policy is 0."""
    world = fork(0.2)
    model = world.transition.copy()
    model[wrong_action, 0] = [0, 1.0, 0] if wrong_action == 0 else [0, 0, 1.0]
    plan = plan_rewards(world.mdp, model, horizon=2, discount=1.0, start=[0])
    assert float(plan.regret) == pytest.approx(0.4)
    error = [abs((world.transition[a, 0] - model[a, 0]) @ plan.model_values[1]) for a in range(2)]
    assert (error[1 - wrong_action], error[wrong_action] > 0.4) == (0, True)
    tight, _ = reward_bounds(world.mdp, world.exact, model, plan)
    assert tight.value == pytest.approx(sum(error), abs=1e-12)


@pytest.mark.parametrize("seed", [0])
def test_values_are_clipped_to_what_rewards_can_reach(draw_world, seed):
    world = draw_world(seed, 4, 3)
    wild = 50 * np.random.default_rng(0).standard_normal((3, 4, 4))
    for gamma in (1.0, 0.7):
        plan = plan_rewards(world.mdp, wild, horizon=6, discount=gamma)
        ceiling = np.array([sum(gamma**i for i in range(6 - h)) for h in range(7)])
        assert (plan.model_values >= 0).all()
        assert (plan.model_values <= ceiling[:, None] + 1e-12).all()
        assert np.isclose(plan.model_values, ceiling[:, None]).sum() > 8  # the clip is at work
        tight, _ = reward_bounds(world.mdp, world.exact, wild, plan)
        assert float(plan.regret) <= tight.value


@pytest.mark.parametrize("wrong_action", [0, 1])
def test_values_of_states_that_no_data_lead_to_do_not_hide_an_error(as_world, wrong_action):
    """State 0 is left at once and pays 1 to action 0; the model has it come back, where q is 0."""
    world = as_world(np.array([[[0, 1.0], [0, 1.0]]] * 2), reward=[[1, 0], [0, 0]])
    model = world.transition.copy()
    model[wrong_action, 0, 0] = 5.0
    plan = plan_rewards(world.mdp, model, horizon=2, discount=1.0, start=[0])
    tight, loose = reward_bounds(world.mdp, world.exact, model, plan)
    assert float(plan.regret) == wrong_action <= tight.value
    assert loose.value == np.inf and loose.vacuous and not loose.holds


def test_uncovered_pairs_make_the_loose_form_infinite_and_say_so(as_world):
    world = as_world([np.eye(2), np.eye(2)[::-1]], weight=[1.0, 0.0], reward=[[0, 0], [1, 1]])
    model = np.full((2, 2, 2), 0.5)
    for guess in (model, world.transition):  # also at risk 0
        plan = plan_rewards(world.mdp, guess, horizon=3, discount=1.0, start=[1])
        tight, loose = reward_bounds(world.mdp, world.exact, guess, plan)
        assert loose.value == np.inf and loose.vacuous and not loose.holds
        assert tight.holds and float(plan.regret) <= tight.value
