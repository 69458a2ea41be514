"""A trained policy as files anybody can read, and back again: safetensors for the weights, JSON for how to use them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from qtwin.config import Config
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal, nearest
from qtwin.types import Array, Variables

FORMAT = 1


def export(folder: Path, spec: EnvSpec, config: Config, variables: dict[int, Variables]) -> None:
    """Writes ``policy.json`` and a ``seed-S.safetensors`` for each seed.

    Args:
      folder: the run's ``policy`` directory.
      spec: the environment that the policy acts in.
      config: names the network.
      variables: each seed's online network.
    """
    from safetensors.numpy import save_file

    from qtwin.run.checkpoint import named_leaves

    folder.mkdir(parents=True, exist_ok=True)
    for seed, network in variables.items():
        named = named_leaves(network.params) | {f"stats.{k}": v for k, v in named_leaves(network.stats).items()}
        save_file(named, str(folder / f"seed-{seed}.safetensors"))
    description = {
        "format": FORMAT,
        "env": spec.id,
        "obs_shape": list(spec.obs_shape),
        "obs_dtype": spec.obs_dtype,
        "num_actions": spec.num_actions,
        "num_states": spec.num_states,
        "net": config.net,
        "seeds": sorted(variables),
        "act": "the action with the largest output, the first of equals",
        "how": _how_to_compute(config.net),
    }
    (folder / "policy.json").write_text(json.dumps(description, indent=1) + "\n")


def _how_to_compute(net: str) -> list[str]:
    """The network's arithmetic in words, so that the weights can be used without qtwin."""
    start = "x = the observation as float32, flattened; a state's index becomes one-hot of num_states"
    match net.partition(":")[0]:
        case "table":
            return ["values = table[observation]"]
        case "minatar":
            return [
                "x = the image as float32, [height, width, channel]",
                "x = relu(3x3 convolution without padding by conv.kernel [3, 3, in, out], + conv.bias), flattened",
                "x = relu(x @ dense.kernel + dense.bias)",
                "values = x @ head.kernel + head.bias",
            ]
        case _:
            layers = len(net.partition(":")[2].split(",")) if ":" in net else 0
            hidden = [f"x = relu(x @ hidden.{i}.kernel + hidden.{i}.bias)" for i in range(layers)]
            return [start, *hidden, "values = x @ head.kernel + head.bias"]


class Policy(NamedTuple):
    """A trained policy: call it on an observation, or on a batch of them.

    Attributes:
      spec: the environment it was trained in.
      seed: which of the run's seeds.
      variables: the online network's.
      apply: ``(variables, obs [B, *obs_shape]) -> action values [B, A]``.
    """

    spec: EnvSpec
    seed: int
    variables: Variables
    apply: Callable[[Variables, Array], Array]

    def values(self, obs: Array) -> np.ndarray:
        """Action values: obs [*obs_shape] -> [A], or obs [B, *obs_shape] -> [B, A]."""
        obs = np.asarray(obs)
        shape = self.spec.obs_shape
        if obs.shape == shape:
            return np.asarray(self.apply(self.variables, obs[None].astype(self.spec.obs_dtype)))[0]
        if obs.shape[1:] == shape and obs.ndim == len(shape) + 1:
            return np.asarray(self.apply(self.variables, obs.astype(self.spec.obs_dtype)))
        raise Refusal(
            f"this policy takes an observation of shape {list(shape)}, or a batch [B, {', '.join(map(str, shape))}]"
            f" of them, and {list(obs.shape)} came"
        )

    def __call__(self, obs: Array) -> np.ndarray | int:
        """Greedy action: obs [*obs_shape] -> int, or obs [B, *obs_shape] -> [B] int."""
        values = self.values(obs)
        return int(np.argmax(values)) if values.ndim == 1 else np.argmax(values, axis=-1)


def load(run: str | Path, seed: int | None = None) -> Policy:
    """The policy that a run trained.

    Args:
      run: the run's directory.
      seed: which of its seeds; the first if left out.

    Raises:
      Refusal: there is no run there, it holds no finished policy, the seed is none of its seeds, or a file is damaged.
    """
    folder = Path(run) / "policy"
    description = read_description(Path(run))
    seeds = description["seeds"]
    seed = seeds[0] if seed is None else seed
    if seed not in seeds:
        raise Refusal(f"the run {run} holds the seeds {', '.join(map(str, seeds))}, not {seed}")
    import jax
    from safetensors import SafetensorError
    from safetensors.numpy import load as load_arrays

    from qtwin.nets.bodies import q_network
    from qtwin.run.checkpoint import fill

    spec = EnvSpec(
        description["env"],
        tuple(description["obs_shape"]),
        description["obs_dtype"],
        description["num_actions"],
        description["num_states"],
    )
    net = q_network(spec, description["net"])
    like = net.init(jax.random.key(0))
    file = folder / f"seed-{seed}.safetensors"
    try:
        named = load_arrays(file.read_bytes())
    except (OSError, SafetensorError) as error:
        raise Refusal(f"the weights {file} cannot be read: {error}") from None
    stats = {name[len("stats.") :]: leaf for name, leaf in named.items() if name.startswith("stats.")}
    params = {name: leaf for name, leaf in named.items() if not name.startswith("stats.")}
    variables = Variables(fill(like.params, params, str(file)), fill(like.stats, stats, str(file)))
    return Policy(spec, seed, variables, jax.jit(net.apply))


def read_description(run: Path) -> dict:
    """``policy.json`` of a run, checked field by field; a `Refusal` says what is wrong with it."""
    file = run / "policy" / "policy.json"
    if not run.is_dir():
        siblings = [str(p) for p in run.parent.iterdir() if (p / "config.json").exists()] if run.parent.is_dir() else []
        raise Refusal(f"there is no run at {run}{nearest(str(run), siblings)}")
    if not file.exists():
        raise Refusal(
            f"{run} holds no finished policy ({file.name} is missing); train it to its end, or name another run"
        )
    fields = {"env": str, "obs_shape": list, "obs_dtype": str, "num_actions": int, "net": str, "seeds": list}
    try:
        description = json.loads(file.read_text())
        if description["format"] != FORMAT:
            raise Refusal(f"{file} has format {description['format']} and this version reads {FORMAT}; update qtwin")
        for field, kind in fields.items():
            if not isinstance(description[field], kind):
                raise Refusal(f"{file}: '{field}' is expected to be {kind.__name__}, not {description[field]!r}")
        description["num_states"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, Refusal):
            raise
        raise Refusal(f"{file} is damaged ({type(error).__name__}: {error}); train again or name another run") from None
    if not description["seeds"] or not all(isinstance(s, int) for s in description["seeds"]):
        raise Refusal(f"{file}: 'seeds' is expected to be a list of whole numbers, not {description['seeds']!r}")
    return description
