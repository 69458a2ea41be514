"""The names of networks, checked without importing JAX."""

from __future__ import annotations

from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal, nearest

NAMES = {
    "table": "one value for each state and action (environments with a discrete observation)",
    "linear": "linear in the observation",
    "mlp:WIDTH,WIDTH,...": "fully connected layers with ReLU, for example mlp:120,84",
    "minatar": "Young & Tian 2019: a 3x3 convolution of 16 filters, then 128 units (image observations)",
}


def parse(name: str, env: EnvSpec) -> tuple[str, tuple[int, ...]]:
    """Reads a network's name for an environment.

    Returns:
      the kind ("table", "linear", "mlp", "minatar") and the hidden widths (empty unless "mlp").

    Raises:
      Refusal: an unknown name, or a network that cannot take the environment's observations.
    """
    kind, colon, rest = name.partition(":")
    if kind == "nature":
        raise Refusal(
            "the network 'nature' (Mnih 2015, three convolutions on four stacked frames) is not in this version; write"
            f" --net mlp:120,84{' or --net minatar' if len(env.obs_shape) == 3 else ''}"
        )
    if kind not in ("table", "linear", "mlp", "minatar"):
        raise Refusal(f"unknown network '{name}'{nearest(kind, ['table', 'linear', 'mlp', 'minatar'])}")
    if kind == "mlp":
        parts = rest.split(",") if rest else []
        if not parts or not all(part.strip().isdigit() and int(part) > 0 for part in parts):
            raise Refusal(f"an MLP is written mlp:WIDTH,WIDTH,... with whole numbers, not '{name}'; write mlp:120,84")
        return kind, tuple(int(part) for part in parts)
    if colon:
        raise Refusal(f"the network '{kind}' takes no number, but '{name}' came; write {kind}")
    if kind == "table" and env.num_states is None:
        raise Refusal(
            f"the network 'table' needs a discrete observation, and {env.id} gives {list(env.obs_shape)} of"
            f" {env.obs_dtype}; write --net linear or --net mlp:120,84"
        )
    if kind == "minatar" and (len(env.obs_shape) != 3 or min(env.obs_shape[:2]) < 3):
        raise Refusal(
            f"the network 'minatar' needs an image observation of at least 3x3, and {env.id} gives"
            f" {list(env.obs_shape)}; write --net mlp:120,84"
        )
    return kind, ()
