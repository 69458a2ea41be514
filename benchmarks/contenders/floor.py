"""The floor: the matrix products of the recipe, and nothing else, in a compiled loop on one thread.

A turn is one cycle of the recipe: acting (online network on the 10 environments' observations), the target network on
a batch, the online network on a batch, and the products of its backward pass (a weight gradient per layer, an input
gradient for all but the first). No activation, no bias, no optimiser, no replay, no environment. So that XLA can
neither remove a product nor lift it out of the loop, its result flows into the next turn, times a factor too small to
matter.
"""

from __future__ import annotations

import argparse
import re

from common import RECIPE, arguments, before_jax, begun, report, timed

PACKAGES = ("jax", "jaxlib", "numpy")
TINY = 1e-12
# For each recipe: the layers (inputs, outputs), the rows of the first layer for one observation, the batch and the
# environments. MinAtar's convolution is the product of its patches [batch x 8 x 8, 3 x 3 x 4] with its kernel.
NETWORKS = {
    "CartPole-v1": (((4, 120), (120, 84), (84, 2)), 1, RECIPE["batch"], 10),
    "minatar:Breakout": (((36, 16), (1024, 128), (128, 3)), 64, 32, 1),
}


def products_in_loop(program: str) -> int:
    """Matrix products that a compiled program runs at every turn of its loop: those its ``while`` body reaches."""
    text, name = {}, ""
    for line in program.splitlines():
        opening = re.match(r"(?:ENTRY )?%(\S+) \(.*\{$", line)
        name = opening[1] if opening else name
        text[name] = text.get(name, "") + line + "\n"
    waiting, reached = re.findall(r"\bbody=%([\w.-]+)", program), set()
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += re.findall(r"\b(?:calls|to_apply|body)=%([\w.-]+)", text[name])
    return sum(len(re.findall(r"= \S+ dot\(", text[name])) for name in reached)


def parser() -> argparse.ArgumentParser:
    parser = arguments(__doc__, 300_000, "speed.py")
    parser.add_argument("--env", choices=sorted(NETWORKS), default="CartPole-v1")
    return parser


def main() -> None:
    args = begun(parser(), {"jax": "jax"}, 2000)
    before_jax()
    import jax
    import jax.numpy as jnp

    layers, rows, batch, envs = NETWORKS[args.env]

    def forward(weights, x):
        inputs = []
        for w in weights:
            x = x.reshape(-1, w.shape[0])
            inputs.append(x)
            x = x @ w
        return inputs, x

    def turn(_, carry):
        online, target, obs, batch_obs, next_obs = carry
        _, q_act = forward(online, obs)
        _, q_next = forward(target, next_obs)
        inputs, q = forward(online, batch_obs)
        grad, moved = q - q_next, []
        for i in reversed(range(len(online))):
            moved.append(online[i] - TINY * jnp.einsum("bi,bo->io", inputs[i], grad))
            if i:
                grad = (grad @ online[i].T).reshape(-1, online[i - 1].shape[1])

        def feed(x, out):
            return x + TINY * jnp.repeat(out[:, :1], x.shape[0] // out.shape[0], axis=0)

        return tuple(reversed(moved)), target, feed(obs, q_act), feed(batch_obs, q), feed(next_obs, q_next)

    def normal(seed, shape):
        return jax.random.normal(jax.random.key(seed), shape) / shape[-1] ** 0.5

    def weights(seed):
        return tuple(normal(seed + i, shape) for i, shape in enumerate(layers))

    inputs = layers[0][0]
    carry = (weights(0), weights(10), *(normal(20 + i, (rows * n, inputs)) for i, n in enumerate((envs, batch, batch))))
    loop = jax.jit(lambda turns, carry: jax.lax.fori_loop(0, turns, turn, carry))
    turns = max(1, args.transitions // envs)
    compiled = loop.lower(jnp.int32(turns), carry).compile()
    products = products_in_loop(compiled.as_text())
    expected = 3 * len(layers) + 2 * len(layers) - 1
    if products != expected:
        raise SystemExit(f"XLA left {products} of {expected} matrix products in the loop: this is no floor")
    jax.block_until_ready(compiled(jnp.int32(min(turns, 500)), carry))
    out = []
    seconds = timed(lambda: out.append(jax.block_until_ready(compiled(jnp.int32(turns), carry))))
    if not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(out)):
        raise SystemExit("the numbers in the loop did not stay finite: this is no floor")
    report("floor", turns * envs, seconds, PACKAGES, env=args.env, envs=envs, gradient_steps=turns, products=products)


if __name__ == "__main__":
    main()
