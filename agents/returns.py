"""Returns and advantages along the step axis, with termination and truncation apart.

All arrays are (M, T, K): tasks, steps, episodes; NumPy's or tensors. Only ``terminated`` cuts the value that follows a
step; an episode that merely ran out of time is continued by ``bootstrap``, the value of the observation after its last
step.
"""

from metarl.util.arrays import Array, namespace


def discounted_returns(rewards: Array, valid: Array, discount: float) -> Array:
    """Discounted reward to go within the episode, sum_{l>=0} gamma^l r_{t+l}.  (M, T, K) -> (M, T, K)."""
    xp = namespace(rewards)
    returns = xp.zeros_like(rewards)
    to_go = xp.zeros_like(rewards[:, 0])
    for t in reversed(range(rewards.shape[1])):
        to_go = xp.where(valid[:, t], rewards[:, t] + discount * to_go, 0.0)
        returns[:, t] = to_go
    return returns


def generalized_advantages(
    rewards: Array,
    values: Array,
    bootstrap: Array,
    terminated: Array,
    valid: Array,
    discount: float,
    gae_lambda: float,
) -> Array:
    """Generalized advantage estimation (Schulman et al. 2016, eq. 16).

    Args:
        rewards, values: (M, T, K); values are V(s_t).
        bootstrap: (M, K), V of the observation after the last valid step of each episode.
        terminated, valid: (M, T, K) bool.
        discount, gae_lambda: in [0, 1].

    Returns:
        (M, T, K) advantages, zero at invalid steps.
    """
    xp = namespace(rewards)
    advantages = xp.zeros_like(rewards)
    following_value, following_advantage = bootstrap, xp.zeros_like(bootstrap)
    for t in reversed(range(rewards.shape[1])):
        alive = ~terminated[:, t]
        # TD error: r_t + gamma * V(s_{t+1}) - V(s_t)
        delta = rewards[:, t] + discount * (alive * following_value) - values[:, t]
        advantage = delta + discount * gae_lambda * (alive * following_advantage)
        advantages[:, t] = xp.where(valid[:, t], advantage, 0.0)
        following_value = xp.where(valid[:, t], values[:, t], bootstrap)
        following_advantage = advantages[:, t]
    return advantages


def normalize_advantages(advantages: Array, valid: Array) -> Array:
    """Zero mean and unit standard deviation over the valid steps of each task.  (M, T, K) -> (M, T, K)."""
    xp, axes = namespace(advantages), (1, 2)
    count = xp.clip(valid.sum(axis=axes, keepdims=True), 1, None)
    mean = xp.where(valid, advantages, 0.0).sum(axis=axes, keepdims=True) / count
    centred = xp.where(valid, advantages - mean, 0.0)
    std = xp.sqrt((centred**2).sum(axis=axes, keepdims=True) / count)
    return centred / (std + 1e-8)
