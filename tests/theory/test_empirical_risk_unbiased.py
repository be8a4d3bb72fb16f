"""arXiv 2606.27014, Lemma 3.3 and 3.5: both empirical risks are unbiased, by enumeration of every sample in rationals."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from spectral_jepa import CoOccurrence, Embedding, TabularMDP, spectral_loss
from spectral_jepa.theory.empirical import draw_tuples, empirical_risk, tuple_risk

TOLERANCE = 1e-10


def fractions(text):
    return [Fraction(part) for part in text.split()]


class Tiny:
    """A world of two or three states in rationals, with integer f and g, and the same as floats."""

    def __init__(self, weight, rows, target, predicted):
        self.weight, self.rows = fractions(weight), [fractions(row) for row in rows]
        self.states = range(len(self.weight))
        self.target, self.predicted = target, predicted
        self.mdp = TabularMDP(np.array(self.rows, dtype=float)[None], weight=np.array(self.weight, dtype=float))
        self.exact = CoOccurrence.exact(self.mdp)
        self.embedding = Embedding(np.array(target), np.array(predicted)[None], self.exact.column_weight)

    def score(self, x, y):
        return sum(g * f for g, f in zip(self.predicted[x], self.target[y], strict=True))

    def next_weight(self, y):
        return sum(self.weight[x] * self.rows[x][y] for x in self.states)

    def loss(self):
        """L_spec, twice an expectation over the joint law and once over the product of its marginals."""
        aligned = sum(self.weight[x] * self.rows[x][y] * self.score(x, y) for x in self.states for y in self.states)
        independent = sum(
            self.weight[x] * self.next_weight(y) * self.score(x, y) ** 2 for x in self.states for y in self.states
        )
        return -2 * aligned + independent

    def joint_square(self):
        """E (g^T f(x+))^2."""
        return sum(self.weight[x] * self.rows[x][y] * self.score(x, y) ** 2 for x in self.states for y in self.states)

    def product_square(self):
        """E (g^T f(x'))^2."""
        return sum(self.weight[x] * self.next_weight(y) * self.score(x, y) ** 2 for x in self.states for y in self.states)

    def risk(self, anchors, pairs):
        """Eq 13 over the given ordered pairs of anchors, f(x+) in the first term."""
        first = Fraction(sum(self.rows[x][y] * self.score(x, y) for x in anchors for y in self.states), len(anchors))
        second = sum(self.rows[anchors[j]][y] * self.score(anchors[i], y) ** 2 for i, j in pairs for y in self.states)
        return -2 * first + Fraction(second, len(pairs))

    def samples(self, n):
        """Every list of n anchors with its probability."""
        for anchors in itertools.product(self.states, repeat=n):
            yield anchors, np.prod([self.weight[x] for x in anchors])


WORLDS = {
    "two states": Tiny("1/3 2/3", ["1/4 3/4", "4/5 1/5"], [[1, 2], [-1, 1]], [[2, 0], [1, -1]]),
    "three states": Tiny("1/2 1/3 1/6", ["1/5 3/5 1/5", "0 1/2 1/2", "1 0 0"], [[1], [2], [-1]], [[1], [-2], [3]]),
}
CASES = [
    ("two states", 2),
    ("two states", 3),
    ("two states", 4),
    ("three states", 2),
    ("three states", 3),
    ("three states", 4),
]


def distinct(n):
    return list(itertools.permutations(range(n), 2))


@pytest.mark.parametrize("name, n", CASES)
def test_the_first_risk_has_mean_spectral_loss(name, n):
    """Lemma 3.3: equality of rationals, and the function agrees on every sample."""
    world = WORLDS[name]
    mean, seen = Fraction(0), set()
    for anchors, mass in world.samples(n):
        by_hand = world.risk(anchors, distinct(n))
        assert empirical_risk(world.exact, world.embedding, anchors) == pytest.approx(float(by_hand), abs=TOLERANCE)
        mean += mass * by_hand
        seen.add(by_hand)
    assert mean == world.loss() != 0 and len(seen) > 2
    assert spectral_loss(world.exact, world.embedding)[0] == pytest.approx(float(mean), abs=TOLERANCE)


@pytest.mark.parametrize("name, n", CASES)
def test_pairs_with_themselves_bias_it_by_the_exact_amount(name, n):
    """Negative control: i = j puts a successor of x_i where an independent one belongs, in 1/n of the pairs."""
    world = WORLDS[name]
    pairs, mean = list(itertools.product(range(n), repeat=2)), Fraction(0)
    for anchors, mass in world.samples(n):
        by_hand = world.risk(anchors, pairs)
        value = empirical_risk(world.exact, world.embedding, anchors, distinct_pairs=False)
        assert value == pytest.approx(float(by_hand), abs=TOLERANCE)
        mean += mass * by_hand
    bias = (world.joint_square() - world.product_square()) / n
    assert mean - world.loss() == bias and abs(bias) > Fraction(1, 20)


@pytest.mark.parametrize("name", WORLDS)
def test_the_first_term_as_printed_is_biased(name):
    """With f(x') for f(x+) in eq 13, x' a successor of another anchor, the first term has mean -2 (E g)^T (E f+)."""
    world, n, mean = WORLDS[name], 2, Fraction(0)
    for anchors, mass in world.samples(n):
        for i, j in distinct(n):
            for y in world.states:
                score = world.score(anchors[i], y)
                mean += mass * world.rows[anchors[j]][y] * (-2 * score + score**2) / 2
    dim = len(world.target[0])
    g = [sum(world.weight[x] * world.predicted[x][k] for x in world.states) for k in range(dim)]
    f = [sum(world.next_weight(y) * world.target[y][k] for y in world.states) for k in range(dim)]
    printed = -2 * sum(a * b for a, b in zip(g, f, strict=True)) + world.product_square()
    assert mean == printed and abs(mean - world.loss()) > Fraction(1, 10)


def tuples(world, anchors, order):
    """Every draw of (z, z+, z') from anchors in that order, with its probability: pairs (0, 1), (2, 3), ..."""
    ordered = [anchors[i] for i in order[: 2 * (len(order) // 2)]]
    z = ordered[::2]
    for following in itertools.product(world.states, repeat=len(ordered)):
        mass = np.prod([world.rows[x][y] for x, y in zip(ordered, following, strict=True)])
        if mass:
            yield (z, following[::2], following[1::2]), mass


def tuple_risk_by_hand(world, drawn):
    total = sum(-2 * world.score(z, after) + world.score(z, other) ** 2 for z, after, other in zip(*drawn, strict=True))
    return Fraction(total, len(drawn[0]))


@pytest.mark.parametrize(
    "name, n", [("two states", 2), ("two states", 3), ("two states", 4), ("three states", 2), ("three states", 3)]
)
def test_the_second_risk_has_the_first_as_its_mean(name, n):
    """Lemma 3.5, for every set of anchors: enumerate orders and successors. For odd n, one anchor stays out."""
    world = WORLDS[name]
    orders = list(itertools.permutations(range(n)))
    values = {}
    for anchors, _ in world.samples(n):
        mean = Fraction(0)
        for order in orders:
            for drawn, mass in tuples(world, anchors, order):
                by_hand = tuple_risk_by_hand(world, drawn)
                mean += mass * by_hand / len(orders)
                values[tuple(map(tuple, drawn))] = by_hand
        assert mean == world.risk(anchors, distinct(n))
    for drawn, by_hand in values.items():
        assert tuple_risk(world.embedding, *map(list, drawn)) == pytest.approx(float(by_hand), abs=TOLERANCE)
    assert len(set(values.values())) > 3


def test_without_the_random_order_it_is_another_estimate():
    """Negative control: given the anchors, pairs in the order of the data do not average to eq 13; over anchors they do."""
    world, n, mean, off = WORLDS["two states"], 4, Fraction(0), 0
    for anchors, weight in world.samples(n):
        given = sum(mass * tuple_risk_by_hand(world, drawn) for drawn, mass in tuples(world, anchors, range(n)))
        off += given != world.risk(anchors, distinct(n))
        mean += weight * given
    assert off > 5 and mean == world.loss()


def test_a_negative_from_the_same_anchor_is_biased():
    """Negative control: disjoint pairs are needed. With z' a second successor of z the mean is that of i = j."""
    world, mean = WORLDS["three states"], Fraction(0)
    for x in world.states:
        for after, other in itertools.product(world.states, repeat=2):
            mass = world.weight[x] * world.rows[x][after] * world.rows[x][other]
            mean += mass * (-2 * world.score(x, after) + world.score(x, other) ** 2)
    assert mean - world.loss() == world.joint_square() - world.product_square() != 0


def test_drawn_tuples_follow_the_definition():
    world = WORLDS["three states"]
    anchors = [0, 1, 1, 2, 0]
    rng = np.random.default_rng(0)
    draws = [draw_tuples(world.exact, anchors, seed=rng) for _ in range(20_000)]
    risks = [tuple_risk(world.embedding, *drawn) for drawn in draws]
    error = np.std(risks) / np.sqrt(len(risks))
    assert abs(np.mean(risks) - empirical_risk(world.exact, world.embedding, anchors)) < 4 * error < 0.5
    z, after, other = (np.concatenate(part) for part in zip(*draws, strict=True))
    assert len(z) == 40_000
    for x, share in enumerate((0.4, 0.4, 0.2)):
        assert np.mean(z == x) == pytest.approx(share, abs=0.015)
        law = np.bincount(after[z == x], minlength=3) / np.sum(z == x)
        assert np.abs(law - np.array(world.rows[x], dtype=float)).max() < 0.02
    # Anchors drawn without replacement: the other of a pair never is the one state-2 anchor that z is.
    still = CoOccurrence.exact(TabularMDP(np.eye(3)[None]))
    z, after, other = (
        np.concatenate(p) for p in zip(*(draw_tuples(still, anchors, seed=i) for i in range(500)), strict=True)
    )
    assert (z == after).all() and not np.any((z == 2) & (other == 2)) and np.any((z == 1) & (other == 1))


def test_the_same_seed_draws_the_same_tuples():
    world = WORLDS["three states"]
    first, second, third = (draw_tuples(world.exact, [0, 1, 2] * 5, seed=s) for s in (3, 3, 4))
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    assert any((a != b).any() for a, b in zip(first, third, strict=True))


def test_the_action_is_the_one_asked_for(draw_world, draw_embedding):
    world = draw_world(0, 4, 2)
    embedding = draw_embedding(0, world, 2, shared=False)
    for action in range(2):
        pairs = [(0, 3), (3, 0)]
        aligned = np.mean(
            [world.transition[action, x] @ embedding.targets[action] @ embedding.predicted[action, x] for x in (0, 3)]
        )
        squares = [
            sum(
                world.transition[action, j, y] * (embedding.predicted[action, i] @ embedding.targets[action, y]) ** 2
                for y in range(4)
            )
            for i, j in pairs
        ]
        expected = -2 * aligned + np.mean(squares)
        assert empirical_risk(world.exact, embedding, [0, 3], action=action) == pytest.approx(expected, abs=TOLERANCE)


def test_wrong_input(refused):
    world = WORLDS["three states"]
    with refused("number of anchors is 1", "at least 2"):
        empirical_risk(world.exact, world.embedding, [0])
    with refused("anchors[1] is 3", "between 0 and 2"):
        empirical_risk(world.exact, world.embedding, [0, 3])
    with refused("action is 1", "between 0 and 0"):
        tuple_risk(world.embedding, [0], [0], [0], action=1)
    with refused("2, 1 and 2 entries", "the same number"):
        tuple_risk(world.embedding, [0, 1], [0], [0, 1])
    with refused("number of anchors is 1"):
        draw_tuples(world.exact, [0], seed=0)
    unseen = CoOccurrence.exact(TabularMDP(np.eye(2)[None], weight=[1.0, 0.0]))
    one = Embedding(np.ones((2, 1)), np.ones((1, 2, 1)), unseen.column_weight)
    with refused("anchor 1 has no successor"):
        empirical_risk(unseen, one, [0, 1])
    with refused("has no successor"):
        draw_tuples(unseen, [0, 1], seed=0)
