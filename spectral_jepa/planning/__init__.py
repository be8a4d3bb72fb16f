"""Exact values, latent planners for goals, model-based planners for rewards, and the regret of each."""

from spectral_jepa.planning.goal import GoalPlan, goal_regret, plan_goals
from spectral_jepa.planning.reward import RewardPlan, plan_rewards, reward_regret
from spectral_jepa.planning.values import Solution, backward_induction, occupancy, optimal_values, policy_values

__all__ = [
    "GoalPlan",
    "RewardPlan",
    "Solution",
    "backward_induction",
    "goal_regret",
    "occupancy",
    "optimal_values",
    "plan_goals",
    "plan_rewards",
    "policy_values",
    "reward_regret",
]
