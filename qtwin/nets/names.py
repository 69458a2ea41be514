"""The names of networks, checked without importing JAX."""

from __future__ import annotations

from typing import NamedTuple

from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal, nearest

NAMES = {
    "table": "one value for each state and action (environments with a discrete observation)",
    "linear": "linear in the observation",
    "mlp:WIDTH,WIDTH,...": "fully connected layers with ReLU, for example mlp:120,84; hidden layers may be followed by"
    " +layernorm, +batchnorm or +batchrenorm, and +dropout=P (mlp:256,256+layernorm+dropout=0.01)",
    "minatar": "Young & Tian 2019: a 3x3 convolution of 16 filters, then 128 units (image observations)",
}
NORMS = ("layernorm", "batchnorm", "batchrenorm")


class NetName(NamedTuple):
    """A network's name, read.

    Attributes:
      kind: "table", "linear", "mlp" or "minatar".
      widths: of the hidden layers; () unless "mlp".
      norm: what stands in every hidden layer before its ReLU (batch norms: before each layer); "" is nothing.
      dropout: the probability that a hidden unit is dropped while learning.
    """

    kind: str
    widths: tuple[int, ...] = ()
    norm: str = ""
    dropout: float = 0.0


def parse(name: str, env: EnvSpec) -> NetName:
    """Reads a network's name for an environment.

    Raises:
      Refusal: an unknown name, or a network that cannot take the environment's observations.
    """
    plain, *layers = name.split("+")
    kind, colon, rest = plain.partition(":")
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
        return _with_layers(name, layers, tuple(int(part) for part in parts))
    if colon or layers:
        raise Refusal(f"the network '{kind}' takes nothing after its name, but '{name}' came; write {kind}")
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
    if env.continuous and kind in ("table", "minatar"):
        raise Refusal(
            f"the network '{kind}' gives one value for each action, and the actions of {env.id} are continuous; write"
            " --net mlp:256,256"
        )
    return NetName(kind)


def _with_layers(name: str, layers: list[str], widths: tuple[int, ...]) -> NetName:
    norm, dropout = "", 0.0
    for layer in layers:
        word, _, value = layer.partition("=")
        if word == "dropout":
            try:
                dropout = float(value)
            except ValueError:
                dropout = -1.0
            if not 0.0 <= dropout < 1.0:
                raise Refusal(
                    f"dropout is a probability of at least 0 and below 1, and '{layer}' in '{name}' is not; write"
                    " +dropout=0.01"
                )
        elif layer in NORMS and not norm:
            norm = layer
        elif layer in NORMS:
            raise Refusal(f"hidden layers take one normalisation, and '{name}' names two; leave one of them out")
        else:
            raise Refusal(f"unknown layer '{layer}' in '{name}'{nearest(layer, [*NORMS, 'dropout=0.01'])}")
    return NetName("mlp", widths, norm, dropout)
