"""A way of your own for the target network to follow: a soft update that waits at first, then moves faster and faster.

Run it with ``python examples/own_target_rule.py``. A rule is a tuple of pure functions over two pytrees, as optax's
transformations are; it never sees a network.
"""

import sys

import jax
import jax.numpy as jnp

import qtwin


def warmed_up(tau: float, over: int) -> qtwin.TargetUpdate:
    """Moves the fraction ``tau * min(1, n / over)`` of the way to the online network at the n-th gradient step."""

    def init(params):
        return jnp.int32(0)  # the memory that a rule carries: here it counts its moves

    def move(count, online, target):
        fraction = tau * jnp.minimum(1.0, (count + 1) / over)
        moved = jax.tree.map(lambda o, t: t + fraction * (o - t), online, target)
        return count + 1, moved

    return qtwin.TargetUpdate(
        spec=f"warmed-up:{tau:g}/{over}", every=1, tau=tau, tied=False, init=init,
        watch=lambda count, loss: count, due=lambda count, clock: jnp.bool_(True), move=move,
    )  # fmt: skip


if __name__ == "__main__":
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    settings = {"envs": 10, "steps": steps, "warmup": steps // 20, "learning_rate": 1e-3, "eval_episodes": 20}
    print(qtwin.train("CartPole-v1", target=warmed_up(0.02, over=1_000), **settings))
    comparison = qtwin.compare("CartPole-v1", target=["soft:0.02", warmed_up(0.02, over=1_000)], seeds=2, **settings)
    print(comparison)
