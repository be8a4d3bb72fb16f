"""Wrong versions of what diagnoses a pixel world model: probes with their controls, window content, ranks, shares, rules."""

from kinds import mutants_of

PROBE, PREDICTED = "pixels/diagnostics/test_probe.py", "pixels/diagnostics/test_predicted_probe.py"
RANK, CONTENT = "pixels/diagnostics/test_rank_correlation.py", "pixels/diagnostics/test_window_content.py"
CHAIN = "pixels/reports/test_diagnosis.py"

DIAGNOSIS_MUTANTS = (
    mutants_of(
        "pixels/diagnostics/probe.py",
        (
            "a quantity among its own others",
            "for other in together if other != target.quantity]",
            "for other in together]",
            "the control would read the target itself",
            PROBE,
        ),
        (
            "error in units of the spread",
            "read_out_error(target.quantity, target.natural(predicted), target.natural(target.test), tolerances)",
            "read_out_error(target.quantity, predicted, target.test, tolerances)",
            "an error is in the quantity's own unit",
            PROBE,
        ),
    )
    + mutants_of(
        "pixels/diagnostics/quantities.py",
        (
            "the long way round",
            "np.linalg.norm((turn + np.pi) % (2 * np.pi) - np.pi, axis=1)",
            "np.linalg.norm(turn, axis=1)",
            "two angles are at most half a turn apart",
            f"{PREDICTED} {CONTENT}",
        ),
    )
    + mutants_of(
        "pixels/diagnostics/predicted_probe.py",
        (
            "blocks counted from the first frame",
            "at = [n - 1 for n in lengths]",
            "at = [max(0, n - 2) for n in lengths]",
            "entry 0 of a rollout is one block ahead",
            PREDICTED,
        ),
        (
            "the control with the same actions",
            "np.roll(moves, 1, axis=0)",
            "np.roll(moves, 0, axis=0)",
            "the control takes the actions of another window",
            PREDICTED,
        ),
    )
    + mutants_of(
        "pixels/diagnostics/rank_correlation.py",
        (
            "values instead of ranks",
            "np.corrcoef(stats.rankdata(x), stats.rankdata(y))",
            "np.corrcoef(x, y)",
            "a search reads only which plan is better",
            RANK,
        ),
        (
            "noise of full weight",
            "(1 - weight**2) ** 0.5 * std * noise",
            "std * noise",
            "the weights' squares sum to 1",
            RANK,
        ),
        (
            "the model is asked where the frames lead",
            "predicted[e] = (later - there[e]).square()",
            "predicted[e] = (torch.from_numpy(ends) - there[e]).square()",
            "predicted costs come from predicted latents",
            RANK,
        ),
    )
    + mutants_of(
        "pixels/diagnostics/distance_shares.py",
        (
            "shares of the largest distance",
            "shares[CONSTANT] = float(weights[0] / target.mean())",
            "shares[CONSTANT] = float(weights[0] / target.max())",
            "shares are of the mean distance",
            RANK,
        ),
    )
    + mutants_of(
        "pixels/diagnostics/window_content.py",
        (
            "solved at twice the tolerance",
            "np.mean(distance < 1)",
            "np.mean(distance < 2)",
            "below 1 is success",
            CONTENT,
        ),
    )
    + mutants_of(
        "pixels/reports/diagnosis.py",
        (
            "the worse floor",
            'floor = max(float(table["success"].mean()) for table in rates.values())',
            'floor = 1 - max(float(table["success"].mean()) for table in rates.values())',
            "the true dynamics must beat the better of nothing and random",
            CHAIN,
        ),
        (
            "a plan may err as much as standing still",
            'allowed = max(1.0, KEPT_SHARE * float(best["first frame"]))',
            'allowed = max(1.0, 2 * float(best["first frame"]))',
            "a predictor that ignores actions must fail",
            CHAIN,
        ),
    )
    + mutants_of(
        "pixels/reports/diagnosis_text.py",
        (
            "a link that is not judged is broken",
            'return "not judged" if not judged else "ok" if all(judged) else "BROKEN"',
            'return "BROKEN" if not judged else "ok" if all(judged) else "BROKEN"',
            "what no rule concerns cannot be broken",
            CHAIN,
        ),
    )
)
