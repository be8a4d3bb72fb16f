"""What the six lessons ask and say: question, answer, formula, code, sentence to take home, self-checking exercises.

The apps and the offline page read the same text from here; the answer to an exercise is computed, not written down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from spectral_jepa._validation import as_number, check_count
from spectral_jepa.classroom.broken_theorem import break_theorem
from spectral_jepa.classroom.collapse import singular_values
from spectral_jepa.classroom.dream import BROKEN_AT
from spectral_jepa.classroom.latent_or_input import contest
from spectral_jepa.classroom.room_map import DEFAULT_MAP, room_map
from spectral_jepa.classroom.u_curve import u_curve


@dataclass(frozen=True)
class Exercise:
    """A question with a number for an answer.

    Parameters
    ----------
    text : str
    answer : callable
        Computes the number.
    tolerance : float
        Largest accepted deviation.
    hint : str
        Shown after a wrong answer.
    """

    text: str
    answer: Callable[[], float]
    tolerance: float
    hint: str

    def right(self, given: float | None) -> bool:
        """Whether an answer is close enough; none at all is not."""
        return given is not None and abs(as_number("given", given) - self.answer()) <= self.tolerance


@dataclass(frozen=True)
class Lesson:
    """One idea.

    Parameters
    ----------
    number : int
    slug : str
        Name of its app, ``classroom/SLUG.py``.
    title, idea : str
    question : str
        To guess before the answer is shown.
    options : tuple of str
    right : int
        Which of them.
    explanation : str
    formula : str
        LaTeX.
    plain : str
        The same for a page without LaTeX.
    code : str
        The same in Python.
    takeaway : str
    exercises : tuple of Exercise
    """

    number: int
    slug: str
    title: str
    idea: str
    question: str
    options: tuple[str, ...]
    right: int
    explanation: str
    formula: str
    plain: str
    code: str
    takeaway: str
    exercises: tuple[Exercise, ...]


def _close_the_doors() -> str:
    rows = [list(row) for row in DEFAULT_MAP.strip().splitlines()]
    for row in rows:
        row[4] = "#"
    rows[4] = ["#"] * 9
    return "\n".join("".join(row) for row in rows)


CLOSED_MAP = _close_the_doors()

LESSONS = (
    Lesson(
        1,
        "the_u",
        "The U",
        "A model of k dimensions errs in two ways: by directions that it lacks, and by noise that it took for directions.",
        "The world below has rank 8: eight dimensions describe it exactly. You have 1,000 transitions. Which k errs least?",
        ("k = 1", "k = 8", "k = 40, as many as there are states"),
        0,
        "From 1,000 transitions one dimension errs least. Eight pay from about 30,000 on: move N and watch the "
        "lowest point.",
        r"R_k \approx \underbrace{\sum_{i>k} s_i^2}_{\text{missing: the tail}}"
        r" + \underbrace{\text{noise learnt}}_{\text{grows with } k \text{, falls with } N}",
        "error(k) ≈ s²ₖ₊₁ + s²ₖ₊₂ + … (missing: the tail) + noise learnt (grows with k, falls with N)",
        "fit = sj.spectral_embedding(sampled, k)\nsj.tail(exact, k).mean(), sj.spectral_risk(exact, fit).mean()",
        "Data, not the world alone, decide how many dimensions pay.",
        (
            Exercise(
                "Rank 5, no noise, N = 30,000 (data set 0): which k errs least?",
                lambda: u_curve(30_000, 5).best_dim,
                0,
                "set the sliders and read off the lowest point of the error",
            ),
            Exercise(
                "Rank 8, no noise, N = 10,000 (data set 0): which k errs least?",
                lambda: u_curve(10_000, 8).best_dim,
                0,
                "it is not the rank",
            ),
        ),
    ),
    Lesson(
        2,
        "break_the_theorem",
        "Break the theorem",
        "A small error of the model need not mean a good plan: here the printed bound promises almost nothing to lose.",
        "Four states, four actions; action a leads to state a. Theorem 4.1, as printed, promises a regret of at "
        "most .0048, and "
        "its hypotheses hold. How much does its planner lose, of a best value of .925?",
        ("at most .0048, it is a theorem", "about .07", ".675, as much as an action drawn by lot"),
        2,
        "The planner takes the same action for every goal: all that an action does sits in the law of the next "
        "state, w+, which "
        "the score g·f leaves out. Choose the corrected planner, which multiplies by it.",
        r"\text{printed: regret} \le 2\, c_0 \max_a \sqrt{R_a} \qquad \text{corrected planner: } \max_a\, "
        r"w_a^+(y)\, g_a(x)^\top f(y)",
        "printed: regret ≤ 2 c₀ max √R;   corrected planner: largest w⁺(y) · g·f(y)",
        'plan = sj.plan_goals(world, fooled, score="dot")\n'
        "sj.printed_single_step_bound(exact, fooled, plan).value, plan.mean_regret",
        "A bound is worth its hypotheses, said and unsaid: try to break it before you trust it.",
        (
            Exercise(
                "Planner g·f, angle .05, noise .5: what is the regret?",
                lambda: break_theorem(0.05, 0.5, "dot").regret,
                0.003,
                "one action for four goals: three in four times it misses by 1 - noise",
            ),
            Exercise(
                "Corrected planner, angle .05, noise .1: what is the regret?",
                lambda: break_theorem(0.05, 0.1, "transition").regret,
                0.0005,
                "look at the arrows",
            ),
        ),
    ),
    Lesson(
        3,
        "collapse",
        "Collapse",
        "An encoder that maps everything to one point predicts itself without error. A regulariser of strength λ "
        "has to pay more.",
        "Singular values 1, .80, .64, .51, .41, .33; whitening with λ = .25. How many of six dimensions survive training?",
        ("1", "2", "all 6"),
        1,
        "Two: a direction survives if and only if s² > 1 - 2λ, and 1 - 2λ = .5 lies between .64² = .41 and .80² = .64.",
        r"\text{direction } i \text{ survives} \iff s_i^2 > 1 - 2 \lambda, \qquad d_i^2 = \Big[1 - \frac{1 - "
        r"s_i^2}{2 \lambda}\Big]^+",
        "direction i survives exactly if sᵢ² > 1 − 2λ;   its eigenvalue is then 1 − (1 − sᵢ²) / 2λ",
        'train_jepa(exact, [Run(dim=6, strength=lam)], JepaConfig(regularizer="whitening"))\n'
        "np.sum(sj.soft_whitening_scales(sj.spectrum(exact, shared=True)[:6], lam) > 0)",
        "Collapse is no accident of training: the spectrum of the world says in advance what survives.",
        (
            Exercise(
                "From which λ on does the third direction (s = .64) survive whitening?",
                lambda: float((1 - singular_values()[2] ** 2) / 2),
                0.006,
                "solve s² = 1 - 2λ",
            ),
            Exercise(
                "From which λ on do all six?",
                lambda: float((1 - singular_values()[5] ** 2) / 2),
                0.006,
                "the smallest singular value is .3277",
            ),
        ),
    ),
    Lesson(
        4,
        "spectrum_is_a_map",
        "The spectrum is a map",
        "What a world model of k dimensions keeps of a world are its first k singular functions. Draw walls and "
        "look at them.",
        "Four rooms with a door in each wall. What does the second singular function look like?",
        ("a chessboard", "one half of the house against the other", "one bright cell"),
        1,
        "It tells halves of the house apart: which half you are in is what the next state tells most about the "
        "last one. The "
        "first is constant.",
        r"\tau_k = \sum_{i > k} s_i^2, \qquad \bar M = \sum_i s_i\, u_i v_i^\top",
        "tail(k) = s²ₖ₊₁ + s²ₖ₊₂ + …, where the sᵢ are the singular values of the co-occurrence of states and next states",
        "exact = sj.CoOccurrence.exact(sj.make_grid(text, slip))\nsj.spectrum(exact, shared=True), sj.tail(exact, "
        "k, shared=True)",
        "The first singular functions draw the rooms before they draw the cells.",
        (
            Exercise(
                "Close all four doors: how many singular values are 1?",
                lambda: float((room_map(CLOSED_MAP, 0.1).values > 1 - 1e-9).sum()),
                0,
                "each closed room is a world of its own",
            ),
            Exercise(
                "Four rooms as they were, slip .1: what is the tail behind k = 4, to one decimal?",
                lambda: float(room_map(DEFAULT_MAP, 0.1).tails[4]),
                0.06,
                "set k to 4 and read the number",
            ),
        ),
    ),
    Lesson(
        5,
        "latent_or_input",
        "Latent or input?",
        "Predict the picture itself, or a learned summary of it? Each keeps k things; they differ in which.",
        "A task beside a background twice as loud, which keeps its value half of the time; k = 3. Which model "
        "finds its goals?",
        ("the latent model", "the input-level model", "both", "neither"),
        0,
        "The latent one. The input-level model spends its dimensions on what is loud, and this background can be "
        "predicted well "
        "enough to pay. Make it faint and slow, and the latent model fails instead.",
        r"\text{input drops the task if } c > \frac{s}{p} \sqrt{\frac{m}{n}}, \qquad \text{latent drops it if } p > s",
        "input drops the task if loudness c > (s / p) √(m / n);   latent drops it if p > s;   here s = .724 and m = n = 5",
        "sj.critical_nuisance_scale(s, p, 5, 5)\nsj.reduced_rank_regression(exact, pixels, shared=True).embedding(k)",
        "One model keeps what is predictable, the other what is loud; neither knows what you will need.",
        (
            Exercise(
                "k = 3, p = .5: from which loudness on does the input-level model drop the task?",
                lambda: contest(1.0, 0.5, 3).critical_scale,
                0.03,
                "(s / p) √(m / n)",
            ),
            Exercise(
                "k = 3: from which p on does the latent model?",
                lambda: contest(1.0, 0.5, 3).task_value,
                0.01,
                "when the background is better to predict than the task",
            ),
        ),
    ),
    Lesson(
        6,
        "dreaming_in_pixels",
        "Dreaming in pixels",
        "A world model plans without eyes: it imagines what each plan would look like, in numbers. A decoder lets us watch.",
        "In the middle of the film the agent turns blue and goes on as if nothing had happened. Is the model surprised?",
        ("no, a colour breaks no law of motion", "yes"),
        1,
        "Yes. Latents hold what pictures show, colour included, and nothing that it saw in training was blue. "
        "What it cannot do "
        "is tell that this does not matter.",
        r"\text{surprise}_t = \frac{1}{D}\, \lVert g(z_t, a_t) - z_{t+1} \rVert^2",
        "surprise(t) = ‖predicted − observed latent‖² / D",
        "prediction_errors(model, latents, blocks, history)",
        "What surprises a model is what it has not seen, not what is impossible.",
        (
            Exercise(
                "Teleport: in which frame is the surprise greatest? (The first frame is 0.)",
                lambda: float(BROKEN_AT),
                0,
                "move the frame slider and look at both films",
            ),
            Exercise(
                "A latent of D = 64 numbers is predicted exactly but for 16 of them, each off by .5. What is the surprise?",
                lambda: 16 * 0.5**2 / 64,
                0.0006,
                "mean square over all 64",
            ),
        ),
    ),
)


def lesson(number: int) -> Lesson:
    """One of the six.

    Parameters
    ----------
    number : int
        1 to 6.

    Returns
    -------
    Lesson

    Raises
    ------
    InputError
        Another number.

    Examples
    --------
    >>> lesson(2).title, lesson(2).exercises[0].right(0.375), lesson(2).exercises[0].right(0.5)
    ('Break the theorem', True, False)
    """
    return LESSONS[check_count("number", number, 1, len(LESSONS), "the lessons") - 1]
