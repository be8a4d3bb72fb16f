"""Wrong versions of SIGReg's phases and of what it keeps of two factors; see mutants.py."""

from kinds import mutants_of

PHASE, FACTORS = "theory/test_sigreg_phase.py", "theory/test_sigreg_factors.py"

PHASES = mutants_of(
    "theory/sigreg_phase.py",
    (
        "bound with the slope at collapse alone",
        "    slope = max(0.0, sigreg_slope(n_knots, t_max, batch_size=batch_size))\n",
        "    slope = sigreg_slope(n_knots, t_max, batch_size=batch_size)\n",
        "at N = 1 the slope is negative, and far laws lie below such a bound",
        PHASE,
    ),
    (
        "knots counted without their window",
        "return knots, normal, rule * normal",
        "return knots, normal, rule",
        "a slice weighs its squared errors by exp(-t^2 / 2)",
        PHASE,
    ),
    (
        "trace not shared among directions",
        "        return 1 / dim\n",
        "        return 1.0\n",
        "a direction sees 1 / k of the variance on average",
        PHASE,
    ),
    (
        "mean direction matrix by its least eigenvalue",
        "views @ views.T / views.shape[1])[-1])",
        "views @ views.T / views.shape[1])[0])",
        "a law along the leading eigenvector is seen most",
        PHASE,
    ),
    (
        "singular value not squared",
        'check_fraction("second_value", second_value) ** 2',
        'check_fraction("second_value", second_value)',
        "the unpredicted share is 1 - s^2",
        PHASE,
    ),
    (
        "phase of the population for batches",
        "if price < pull * sigreg_slope(n_knots, t_max, batch_size=batch_size):",
        "if price < pull * sigreg_slope(n_knots, t_max):",
        "batches of N pull with c - c'/N",
        PHASE,
    ),
    (
        "bound without its factor",
        "return float(factor * (weight @ (1 - normal) ** 2 - spread * slope * trace))",
        "return float(factor * (weight @ (1 - normal) ** 2) - spread * slope * trace)",
        "the factor multiplies the integral, hence its fall, too",
        PHASE,
    ),
)
BEYOND = mutants_of(
    "theory/sigreg_factors.py",
    (
        "He_2 of variance 2",
        "np.sqrt(q) * second / np.sqrt(2)",
        "np.sqrt(q) * second",
        "He_2 is (z^2 - 1) / sqrt 2, of variance 1",
        FACTORS,
    ),
    (
        "mixture that keeps z2 whole",
        "(1 - q) * second**2 / 2",
        "second**2 / 2",
        "a share q of the second coordinate is taken from z2",
        FACTORS,
    ),
    (
        "gain of the slow factor's square",
        "gain = rho[0] ** 4 - rho[1] ** 2",
        "gain = rho[0] ** 2 - rho[1] ** 2",
        "He_2(z1) has singular value rho_1^2",
        FACTORS,
    ),
    (
        "angles averaged as a_1^2 a_2^2",
        "normal**2 * knots**6)) / 32",
        "normal**2 * knots**6)) / 16",
        "E a_1^4 a_2^2 is 1/16 on the circle, and He_2 brings 1/2",
        FACTORS,
    ),
    (
        "error of the cells taken for that of the curve",
        "rest = max(0.0, 2 - kept)",
        "rest = 0.0 * max(0.0, 2 - kept)",
        "within its cells the curve moves, too",
        FACTORS,
    ),
    (
        "Mehler's powers not squared",
        "rho ** (2 * degree)",
        "rho**degree",
        "the conditional mean of He_d is rho^d He_d, its square has rho^(2d)",
        FACTORS,
    ),
)
EXPECTED = mutants_of(
    "losses/population.py",
    (
        "singles weighted equally",
        "(shares(weight.detach()).to(singles.dtype) * singles).sum(-1)",
        "singles.mean(-1)",
        "a sample is drawn from the law",
        PHASE,
    ),
    (
        "batches as the law",
        '    share = 1 / check_count("batch_size", batch_size)\n',
        '    share = 0 / check_count("batch_size", batch_size)\n',
        "the mean over batches exceeds the value of the law",
        PHASE,
    ),
)
PHASE_MUTANTS = PHASES + BEYOND + EXPECTED
