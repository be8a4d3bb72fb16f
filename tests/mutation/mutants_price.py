"""Wrong versions of the price: threshold, guarantee, what the data choose, the trained penalty; see mutants.py."""

from kinds import mutants_of

SOFT, PRICES = "theory/test_soft_threshold.py", "theory/test_prices.py"
ANALYSIS, TRAINED = "logs/test_recommended_price.py", "jepa/test_priced_training.py"

PRICE_MUTANTS = (
    mutants_of(
        "embedding.py",
        (
            "hard threshold",
            "paid = np.maximum(values - price, 0.0)",
            "paid = np.where(values > price, values, 0.0)",
            "every value loses the price, not only those below it",
            SOFT,
        ),
        (
            "constant pays though kept",
            "    if keep_constant and values.size:\n        paid[0] = values[0]\n",
            "",
            "the constant is put back whole",
            SOFT,
        ),
        (
            "constant of the wrong law",
            "first = np.sqrt(rows)[:, None], np.sqrt(columns)[:, None]",
            "first = np.sqrt(rows)[:, None], np.sqrt(np.full_like(columns, 1 / columns.size))[:, None]",
            "the constant's right vector is the root of the column law",
            SOFT,
        ),
        (
            "Lanczos stops too early",
            "if dim == cooc.n_states or values[-1] <= price:",
            "if dim == cooc.n_states or values[-1] <= 4 * price:",
            "all values above the price are needed",
            SOFT,
        ),
        (
            "one price for all actions",
            "return np.broadcast_to(prices, (n,))",
            "return np.full(n, prices.flat[0])",
            "each action has its own",
            SOFT,
        ),
    )
    + mutants_of(
        "theory/soft_threshold.py",
        (
            "noise left out of the guarantee",
            "np.minimum(values, price + largest) ** 2",
            "np.minimum(values, price) ** 2",
            "E shrinks a direction once, the price once more",
            SOFT,
        ),
        (
            "constant counted though kept",
            "        return values[1:]\n",
            "        return values\n",
            "a constant that is known costs nothing",
            SOFT,
        ),
        (
            "what comes through forgotten",
            "value = through + np.sqrt(priced.min())",
            "value = np.sqrt(priced.min())",
            "a price below the noise lets E_+ into the model",
            SOFT,
        ),
        (
            "a price below the noise called safe",
            "bool(price >= largest)",
            "bool(price >= 0)",
            "the guarantee needs the price to be at least ||E||_2",
            SOFT,
        ),
    )
    + mutants_of(
        "theory/prices.py",
        (
            "bootstrap of half a log",
            "rng.multinomial(total, counts.ravel() / total",
            "rng.multinomial(total // 2, counts.ravel() / total",
            "a resample is as long as the log",
            PRICES,
        ),
        (
            "folds not scaled to the log",
            "* np.sqrt((n_folds - 1) / n_folds)",
            "* 1.0",
            "a fold's fit is noisier than the log's",
            PRICES,
        ),
        (
            "held-out pairs with themselves",
            "@ paid.T) ** 2\n",
            "@ paid.T) ** 2 * 0\n",
            "the second mean is over different transitions",
            PRICES,
        ),
        (
            "Bernstein with the whole log's size",
            "bernstein_bound(own, seen,",
            "bernstein_bound(own, len(data),",
            "an action has its own transitions only",
            PRICES,
        ),
    )
    + mutants_of(
        "logs/estimates.py",
        (
            "price off the constant",
            "    factor[:, 0] = 1.0\n",
            "",
            "the constant keeps its value",
            ANALYSIS,
        ),
        (
            "square of the factor forgotten",
            "return factor**2 @ np.diff(independent",
            "return factor @ np.diff(independent",
            "(g^T f)^2 is quadratic in the factor",
            ANALYSIS,
        ),
    )
    + mutants_of(
        "logs/analysis.py",
        (
            "aligned part of a fold's size",
            "aligned = self.sample_error * n_folds / (n_folds - 1)",
            "aligned = self.sample_error",
            "sample_error is scaled to the whole log",
            ANALYSIS,
        ),
        (
            "the worse recommendation",
            "'price' if gain > 0 else 'dimension'",
            "'price' if gain < 0 else 'dimension'",
            "the folds prefer the lower risk",
            ANALYSIS,
        ),
    )
    + mutants_of(
        "jepa/objective.py",
        (
            "only the encoder pays",
            "penalty = _mean_square(latent, weight) + _mean_square(predicted, joint.sum(-1))",
            "penalty = 2 * _mean_square(latent, weight)",
            "the price is on ||F||^2 + ||G||^2",
            TRAINED,
        ),
    )
    + mutants_of(
        "jepa/result.py",
        (
            "half the price in the optimum",
            '"norms": strength}',
            '"norms": strength / 2}',
            "min ||F||^2 + ||G||^2 is twice the nuclear norm, so every value loses the whole price",
            TRAINED,
        ),
    )
)
