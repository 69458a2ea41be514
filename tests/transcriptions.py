"""The soft-update family's papers, transcribed line by line into numpy: float64, one screen each, nothing of qtwin.

Conventions: a network's parameters are ``{"hidden": {i: {"kernel": [in, out], "bias": [out]}}, "head": {...}}``, those
of an algorithm ``{"critic": {"0": mlp, "1": mlp, ...}, "actor": mlp, "temperature": []}``, where the temperature is log
alpha and DDPG's critic a single mlp. A batch has obs [B, D], action [B, A], reward [B], discount [B] (gamma, and 0
where s' is terminal) and next_obs [B, D]. ``eps`` is standard normal noise [B, A]. Targets are numbers: losses take
them as an argument, so that nothing is differentiated through them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np

# NETWORKS


def mlp(p: dict, x: np.ndarray) -> np.ndarray:
    """Fully connected layers with ReLU between; with "norms" a layer norm before each ReLU. [B, in] -> [B, out]"""
    for i in sorted(p["hidden"]):
        x = x @ p["hidden"][i]["kernel"] + p["hidden"][i]["bias"]
        if "norms" in p:
            x = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-6)
            x = x * p["norms"][i]["scale"] + p["norms"][i]["bias"]
        x = np.maximum(x, 0)
    return x @ p["head"]["kernel"] + p["head"]["bias"]


def critic(p: dict, s: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Q(s, a). [B]"""
    return mlp(p, np.concatenate([s, a], axis=1))[:, 0]


def critics(p: dict, s: np.ndarray, a: np.ndarray) -> np.ndarray:
    """All critics of an ensemble. [E, B]"""
    return np.stack([critic(p[name], s, a) for name in sorted(p, key=int)])


def soft(target: np.ndarray, online: np.ndarray, tau: float) -> np.ndarray:
    """theta' <- tau theta + (1 - tau) theta' (Lillicrap et al. 2015, algorithm 1, the last two lines)."""
    return tau * online + (1 - tau) * target


# DDPG: Lillicrap et al. 2015, "Continuous control with deep reinforcement learning", algorithm 1


def ddpg_target(target: dict, batch) -> np.ndarray:
    """y_i = r_i + gamma Q'(s_{i+1}, mu'(s_{i+1} | theta^mu') | theta^Q'). [B]"""
    mu = np.tanh(mlp(target["actor"], batch.next_obs))
    return batch.reward + batch.discount * critic(target["critic"], batch.next_obs, mu)


def ddpg_critic_loss(online: dict, y: np.ndarray, batch) -> float:
    """L = 1/N sum_i (y_i - Q(s_i, a_i | theta^Q))^2"""
    return np.mean((y - critic(online["critic"], batch.obs, batch.action)) ** 2)


def ddpg_actor_loss(online: dict, batch) -> float:
    """Minus J, whose gradient is 1/N sum_i grad_a Q(s, a)|_{a = mu(s)} grad_theta mu(s)."""
    return -np.mean(critic(online["critic"], batch.obs, np.tanh(mlp(online["actor"], batch.obs))))


# TD3: Fujimoto, van Hoof & Meger 2018, "Addressing function approximation error in actor-critic methods", algorithm 1


def td3_target(target: dict, batch, eps: np.ndarray, sigma: float, c: float) -> np.ndarray:
    """a~ <- pi_phi'(s') + e, e ~ clip(N(0, sigma), -c, c);  y <- r + gamma min_i Q_theta'_i(s', a~). [B]

    The actions of the paper's released code are clipped to their bounds, here [-1, 1].
    """
    a = np.tanh(mlp(target["actor"], batch.next_obs)) + np.clip(sigma * eps, -c, c)
    return batch.reward + batch.discount * critics(target["critic"], batch.next_obs, np.clip(a, -1, 1)).min(axis=0)


def td3_critic_loss(online: dict, y: np.ndarray, batch) -> float:
    """theta_i <- argmin 1/N sum (y - Q_theta_i(s, a))^2, both together as one sum."""
    return np.sum(np.mean((y - critics(online["critic"], batch.obs, batch.action)) ** 2, axis=1))


def td3_actor_loss(online: dict, batch) -> float:
    """grad J = 1/N sum grad_a Q_theta_1(s, a)|_{a = pi(s)} grad pi(s): the first critic alone."""
    return -np.mean(critic(online["critic"]["0"], batch.obs, np.tanh(mlp(online["actor"], batch.obs))))


# SAC: Haarnoja et al. 2018b, "Soft actor-critic algorithms and applications", algorithm 1


def squashed(out: np.ndarray, eps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a = tanh(u), u = mean + std eps, and log pi(a|s) = log mu(u|s) - sum_i log(1 - tanh^2(u_i)) (equation 21).

    Args:
      out: an actor's output, the means and then the logs of the deviations. [B, 2A]

    Returns:
      a [B, A] and log pi [B].
    """
    mean, std = out[:, : out.shape[1] // 2], np.exp(np.clip(out[:, out.shape[1] // 2 :], -20, 2))
    u = mean + std * eps
    log_mu = -0.5 * ((u - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)
    return np.tanh(u), np.sum(log_mu - log_one_minus_tanh_squared(u), axis=1)


def log_one_minus_tanh_squared(u: np.ndarray) -> np.ndarray:
    """log(1 - tanh^2 u) = -2 log cosh u = -2 (|u| + log(1 + e^{-2|u|}) - log 2)"""
    return -2 * (np.abs(u) + np.log1p(np.exp(-2 * np.abs(u))) - np.log(2))


def sac_target(online: dict, target: dict, batch, eps: np.ndarray) -> np.ndarray:
    """r + gamma (Q_thetabar(s', a') - alpha log pi(a'|s')), a' ~ pi_phi (equations 5 and 6). [B]

    Of the critics the least. The policy is the online one: a target has no actor (algorithm 1).
    """
    a, log_pi = squashed(mlp(online["actor"], batch.next_obs), eps)
    value = critics(target["critic"], batch.next_obs, a).min(axis=0) - np.exp(online["temperature"]) * log_pi
    return batch.reward + batch.discount * value


def sac_critic_loss(online: dict, y: np.ndarray, batch) -> float:
    """J_Q = E[1/2 (Q_theta(s, a) - y)^2] (equation 5), summed over the critics."""
    return np.sum(np.mean(0.5 * (critics(online["critic"], batch.obs, batch.action) - y) ** 2, axis=1))


def sac_actor_loss(online: dict, batch, eps: np.ndarray) -> float:
    """J_pi = E[alpha log pi(f(eps; s)|s) - Q_theta(s, f(eps; s))] (equations 7 and 9); the least of the critics."""
    a, log_pi = squashed(mlp(online["actor"], batch.obs), eps)
    return np.mean(np.exp(online["temperature"]) * log_pi - critics(online["critic"], batch.obs, a).min(axis=0))


def temperature_slope(log_pi: np.ndarray, entropy: float) -> float:
    """dJ/dalpha of J(alpha) = E[-alpha log pi(a|s) - alpha Hbar] (equations 17 and 18), Hbar the target entropy."""
    return np.mean(-log_pi - entropy)


# Discrete SAC: Christodoulou 2019, "Soft actor-critic for discrete action settings"


def softmax(logits: np.ndarray) -> np.ndarray:
    """[B, A] -> probabilities [B, A]"""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def action_values(p: dict, s: np.ndarray) -> np.ndarray:
    """All critics' values of all actions. [E, B, A]"""
    return np.stack([mlp(p[name], s) for name in sorted(p, key=int)])


def discrete_sac_target(online: dict, target: dict, batch) -> np.ndarray:
    """r + gamma V(s'), V(s) = pi(s)^T [Q(s) - alpha log pi(s)] (equation 10), the least of the critics. [B]"""
    pi = softmax(mlp(online["actor"], batch.next_obs))
    q = action_values(target["critic"], batch.next_obs).min(axis=0)
    v = np.sum(pi * (q - np.exp(online["temperature"]) * np.log(pi)), axis=1)
    return batch.reward + batch.discount * v


def discrete_sac_critic_loss(online: dict, y: np.ndarray, batch) -> float:
    """As `sac_critic_loss`, of the actions taken."""
    q = action_values(online["critic"], batch.obs)[:, np.arange(len(y)), batch.action]
    return np.sum(np.mean(0.5 * (q - y) ** 2, axis=1))


def discrete_sac_actor_loss(online: dict, batch) -> float:
    """J_pi = E[pi(s)^T [alpha log pi(s) - Q(s)]] (equation 12)."""
    pi = softmax(mlp(online["actor"], batch.obs))
    q = action_values(online["critic"], batch.obs).min(axis=0)
    return np.mean(np.sum(pi * (np.exp(online["temperature"]) * np.log(pi) - q), axis=1))


def discrete_temperature_slope(pi: np.ndarray, entropy: float) -> float:
    """dJ/dalpha of J(alpha) = pi(s)^T [-alpha (log pi(s) + Hbar)] (equation 11)."""
    return np.mean(np.sum(pi * -(np.log(pi) + entropy), axis=1))


# REDQ: Chen, Wang, Zhou & Ross 2021, "Randomized ensembled double Q-learning", algorithm 1


def redq_target(online: dict, target: dict, batch, eps: np.ndarray, chosen: tuple[int, ...]) -> np.ndarray:
    """y = r + gamma (min_{i in M} Q_targ,i(s', a~') - alpha log pi(a~'|s')), M distinct indices ``chosen`` of N. [B]"""
    a, log_pi = squashed(mlp(online["actor"], batch.next_obs), eps)
    q = critics(target["critic"], batch.next_obs, a)[list(chosen)].min(axis=0)
    return batch.reward + batch.discount * (q - np.exp(online["temperature"]) * log_pi)


def redq_critic_loss(online: dict, y: np.ndarray, batch) -> float:
    """grad 1/|B| sum (Q_i(s, a) - y)^2 for i = 1 .. N, all together as one sum."""
    return np.sum(np.mean((critics(online["critic"], batch.obs, batch.action) - y) ** 2, axis=1))


def redq_actor_loss(online: dict, batch, eps: np.ndarray) -> float:
    """Minus 1/|B| sum (1/N sum_i Q_i(s, a~) - alpha log pi(a~|s)): the mean of all N."""
    a, log_pi = squashed(mlp(online["actor"], batch.obs), eps)
    return np.mean(np.exp(online["temperature"]) * log_pi - critics(online["critic"], batch.obs, a).mean(axis=0))


# TQC: Kuznetsov, Shvechikov, Grishin & Vetrov 2020, "Controlling overestimation bias with truncated mixture of
# continuous distributional quantile critics", section 3.3


def quantiles(p: dict, s: np.ndarray, a: np.ndarray) -> np.ndarray:
    """theta^m_n(s, a), the M quantiles of the N critics. [N, B, M]"""
    return np.stack([mlp(p[name], np.concatenate([s, a], axis=1)) for name in sorted(p, key=int)])


def tqc_target(online: dict, target: dict, batch, eps: np.ndarray, drop: int) -> np.ndarray:
    """y_i = r + gamma (z_(i)(s', a') - alpha log pi(a'|s')), i = 1 .. kN: the smallest kN of the NM pooled quantiles.

    Args:
      drop: d = M - k, quantiles dropped for each critic.

    Returns:
      y. [B, kN]
    """
    a, log_pi = squashed(mlp(online["actor"], batch.next_obs), eps)
    z = quantiles(target["critic"], batch.next_obs, a)
    n, size, m = z.shape
    y = np.empty((size, (m - drop) * n))
    for b in range(size):
        kept = sorted(z[:, b].ravel())[: (m - drop) * n]
        y[b] = batch.reward[b] + batch.discount[b] * (np.array(kept) - np.exp(online["temperature"]) * log_pi[b])
    return y


def quantile_huber(u: float, tau: float) -> float:
    """rho^H_tau(u) = |tau - I(u < 0)| L^1_H(u), L^1_H(u) = u^2 / 2 where |u| <= 1 and |u| - 1/2 beyond."""
    huber = 0.5 * u**2 if abs(u) <= 1 else abs(u) - 0.5
    return abs(tau - (u < 0)) * huber


def tqc_critic_losses(online: dict, y: np.ndarray, batch) -> np.ndarray:
    """J_Z(psi_n) = E[1/(kNM) sum_m sum_i rho^H_{tau_m}(y_i - theta^m_n(s, a))], of each critic. [N]

    tau_m = (2m - 1) / 2M, m = 1 .. M.
    """
    theta = quantiles(online["critic"], batch.obs, batch.action)
    n, size, m = theta.shape
    losses = np.zeros(n)
    for critic in range(n):
        for b in range(size):
            pairs = [quantile_huber(y_i - theta[critic, b, j], (2 * j + 1) / (2 * m)) for j in range(m) for y_i in y[b]]
            losses[critic] += np.mean(pairs) / size
    return losses


def tqc_actor_loss(online: dict, batch, eps: np.ndarray) -> float:
    """J_pi = E[alpha log pi(a|s) - 1/(NM) sum_n sum_m theta^m_n(s, a)]: nothing is dropped."""
    a, log_pi = squashed(mlp(online["actor"], batch.obs), eps)
    q = quantiles(online["critic"], batch.obs, a).mean(axis=(0, 2))
    return np.mean(np.exp(online["temperature"]) * log_pi - q)


# CrossQ: Bhatt et al. 2024, "CrossQ: batch normalization in deep reinforcement learning for greater sample efficiency
# and simplicity", section 4 and figure 3


def batch_norm(p: dict, x: np.ndarray, seen: dict | None = None, eps: float = 1e-3) -> np.ndarray:
    """x with mean 0 and variance 1 over the batch, scaled and moved; with ``seen``, by the running moments."""
    mean, var = (x.mean(axis=0), x.var(axis=0)) if seen is None else (seen["mean"], seen["var"])
    return (x - mean) / np.sqrt(var + eps) * p["scale"] + p["bias"]


def normed_mlp(p: dict, x: np.ndarray, seen: dict | None = None) -> np.ndarray:
    """`mlp` with a batch norm before every layer; with ``seen``, as it is used to evaluate."""
    depth = len(p["hidden"])
    for i in range(depth + 1):
        layer = p["hidden"][i] if i < depth else p["head"]
        x = batch_norm(p["norms"][i], x, None if seen is None else seen["norms"][i]) @ layer["kernel"] + layer["bias"]
        x = np.maximum(x, 0) if i < depth else x
    return x


def crossq_joint(p: dict, batch, next_action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[q; q'] = Q([s; s'], [a; a']), one pass over both halves, so that they share the batch's moments. [E, B] each"""
    pairs = np.concatenate([np.c_[batch.obs, batch.action], np.c_[batch.next_obs, next_action]])
    q = np.stack([normed_mlp(p[name], pairs)[:, 0] for name in sorted(p, key=int)])
    return q[:, : len(batch.obs)], q[:, len(batch.obs) :]


# GRADIENTS


def finite_differences(loss: Callable[[dict], float], params: dict, step: float = 1e-6) -> dict:
    """The gradient of ``loss`` at ``params`` by central differences, one number at a time."""
    moved = copy.deepcopy(params)

    def walk(branch: dict) -> dict:
        out = {}
        for name, leaf in branch.items():
            if isinstance(leaf, dict):
                out[name] = walk(leaf)
                continue
            flat, slope = np.array(leaf, np.float64).ravel(), np.zeros(np.size(leaf))
            for i in range(flat.size):
                sides = []
                for sign in (1, -1):
                    there = flat.copy()
                    there[i] += sign * step
                    branch[name] = there.reshape(np.shape(leaf))
                    sides.append(loss(moved))
                slope[i] = (sides[0] - sides[1]) / (2 * step)
            branch[name] = leaf
            out[name] = slope.reshape(np.shape(leaf))
        return out

    return walk(moved)
