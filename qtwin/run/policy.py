"""A trained policy as files anybody can read, and back again: safetensors for the weights, JSON for how to use them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from qtwin.agents import ACTOR_CRITICS
from qtwin.bootstrap_specs import parse as parse_bootstrap
from qtwin.config import Config
from qtwin.envs.actions import to_bounds
from qtwin.envs.preprocessing import IN_WORDS
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal, nearest, one_of
from qtwin.nets.names import parse as parse_net
from qtwin.reading import Anything, MapOf, problem, read_record, shown
from qtwin.run.in_words import Gives, check_gives, gives_of, how_to_compute
from qtwin.run.policy_check import check_sizes
from qtwin.schemas import POLICY
from qtwin.types import Array, Variables

if TYPE_CHECKING:
    from qtwin.nets.net import Net

FORMAT = 2
AGAIN = "train again or name another run"
# What the exported network's output is, by agent, and what to do with it.
OUTPUTS = {
    "values": "the action with the largest output, the first of equals",
    "logits": "the most likely action, the one with the largest output",
    "tanh": "tanh(output) is the action in [-1, 1]",
    "tanh of the mean": "the output holds A means, then A logs of deviations; tanh(means) is the action in [-1, 1]",
}


def output_of(agent: str, spec: EnvSpec) -> str:
    """What the network that acts gives: a key of ``OUTPUTS``."""
    if agent not in ACTOR_CRITICS:
        return "values"
    if not spec.continuous:
        return "logits"
    return "tanh" if agent in ("ddpg", "td3") else "tanh of the mean"


def export(folder: Path, spec: EnvSpec, config: Config, variables: dict[int, Variables]) -> None:
    """Writes ``policy.json`` and a ``seed-S.safetensors`` for each seed.

    Args:
      folder: the run's ``policy`` directory.
      spec: the environment that the policy acts in.
      config: names the agent and its network.
      variables: each seed's online network; of an actor-critic the actor alone is written, and of what learned with
        self-prediction beside it the Q network alone.
    """
    from safetensors.numpy import save_file

    from qtwin.run.checkpoint import named_leaves

    folder.mkdir(parents=True, exist_ok=True)
    acts = "actor" if config.agent in ACTOR_CRITICS else "q" if config.self_predict else last_of(config)
    for seed, online in variables.items():
        network = online.part(acts) if acts else online
        named = named_leaves(network.params) | {f"stats.{k}": v for k, v in named_leaves(network.stats).items()}
        save_file(named, str(folder / f"seed-{seed}.safetensors"))
    net, output = (config.actor_net if acts == "actor" else "") or config.net, output_of(config.agent, spec)
    first = [IN_WORDS] if spec.preprocessing else []
    last = ["action_low (1 - t) + action_high t, t = (action + 1) / 2"] if spec.continuous else []
    gives = gives_of(config)
    description = {
        "format": FORMAT,
        "env": spec.id,
        "obs_shape": list(spec.obs_shape),
        "obs_dtype": spec.obs_dtype,
        "num_actions": spec.num_actions,
        "num_states": spec.num_states,
        "action_low": list(spec.action_low),
        "action_high": list(spec.action_high),
        "net": net,
        "preprocessing": spec.preprocessing,
        "stack": spec.stack,
        "normalise": config.normalise,
        "least_of": (least := parse_bootstrap(config.bootstrap).networks),
        "gives": list(gives),
        "output": output,
        "seeds": sorted(variables),
        "act": OUTPUTS[output],
        "how": [*first, *how_to_compute(parse_net(net, spec), config.normalise, gives), *_least_of(least), *last],
    }
    (folder / "policy.json").write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def last_of(config: Config) -> str | None:
    """The part of the network that acts, of several in a row; None where it is the network as a whole."""
    if not config.target.startswith("chain"):
        return None
    return str(int(config.target.split(":")[1]) - 1)


def _least_of(networks: int) -> list[str]:
    if networks == 1:
        return []
    return [f"so for each of {networks} networks, the names beginning with 0., 1., ...; output = the least of theirs"]


class Policy(NamedTuple):
    """A trained policy: call it on an observation, or on a batch of them.

    Attributes:
      spec: the environment it was trained in.
      seed: which of the run's seeds.
      variables: of the network that acts.
      apply: ``(variables, obs [B, *obs_shape]) -> output [B, ...]``.
      output: what the output is, a key of ``OUTPUTS``.
    """

    spec: EnvSpec
    seed: int
    variables: Variables
    apply: Callable[[Variables, Array], Array]
    output: str = "values"

    def values(self, obs: Array) -> np.ndarray:
        """The network's output, action values for a value-based agent: obs [*obs_shape] -> [A], or [B, ...] -> [B, A].

        `OUTPUTS` says what the output of an actor is.
        """
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

    def act(self, variables: Variables, obs: Array, *_) -> Array:
        """Greedy actions [B] or [B, A] in [-1, 1], with other variables of the same network, to be compiled."""
        import jax.numpy as jnp

        output = self.apply(variables, obs)
        if self.spec.continuous:
            return jnp.tanh(output[..., : self.spec.action_shape[0]])
        return jnp.argmax(output, axis=-1).astype(jnp.int32)

    def inside(self, obs: Array) -> np.ndarray | int:
        """Greedy action as agents, replays and recordings have it: a whole number, or [A] in [-1, 1]; batches too."""
        output = self.values(obs)
        if self.spec.continuous:
            return np.tanh(output[..., : self.spec.action_shape[0]])
        return int(np.argmax(output)) if output.ndim == 1 else np.argmax(output, axis=-1)

    def __call__(self, obs: Array) -> np.ndarray | int:
        """Greedy action for the environment: obs [*obs_shape] -> int, or [A] in the environment's own units.

        A batch obs [B, *obs_shape] gives [B] int, or [B, A].
        """
        action = self.inside(obs)
        if not self.spec.continuous:
            return action
        return to_bounds(action, np.float32(self.spec.action_low), np.float32(self.spec.action_high))


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

    from qtwin.nets.acting import of_values
    from qtwin.nets.bodies import network
    from qtwin.run.checkpoint import read_variables

    spec = spec_of(description)
    output = description["output"]
    outputs = spec.num_actions or len(spec.action_low) * (2 if output == "tanh of the mean" else 1)
    gives = Gives(*description.get("gives", Gives()))
    if gives.kind:
        net = of_values(spec, description["net"], gives, description["normalise"])
    else:
        net = network(spec, description["net"], outputs, normalise=description["normalise"])
    if description.get("least_of", 1) > 1:
        net = least_of(net, description["least_of"])
    like = jax.eval_shape(net.init, jax.random.key(0))  # no size is believed before the file has that many numbers
    variables = read_variables(folder / f"seed-{seed}.safetensors", like)
    return Policy(spec, seed, variables, jax.jit(net.apply), output)


def least_of(net: Net, networks: int) -> Net:
    """Several networks side by side as one, whose output is the least of theirs."""
    from qtwin.nets.ensemble import ensemble

    several = ensemble(net, networks)
    return several._replace(apply=lambda variables, obs: several.apply(variables, obs).min(axis=0))


def spec_of(description: dict) -> EnvSpec:
    """The environment that a policy was trained in, as ``policy.json`` describes it."""
    return EnvSpec(
        description["env"],
        tuple(description["obs_shape"]),
        description["obs_dtype"],
        description["num_actions"],
        description["num_states"],
        stack=description["stack"],
        preprocessing=description["preprocessing"],
        action_low=tuple(description["action_low"]),
        action_high=tuple(description["action_high"]),
    )


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
    description = read_record(file, MapOf(Anything()), AGAIN)
    if description.get("format") != FORMAT:
        raise Refusal(
            f"{file} has format {shown(description.get('format'))} and this version reads {FORMAT}; update qtwin"
        )
    if wrong := problem(description, POLICY):
        raise Refusal(f"{file} is damaged: {wrong}; {AGAIN}")
    try:
        if not isinstance(description["num_actions"], int if not description["action_low"] else type(None)):
            raise Refusal(f"{file}: 'num_actions' does not fit 'action_low' {description['action_low']!r}")
        one_of("output", description["output"], OUTPUTS)
        check_gives(file, description.get("gives", list(Gives())))
        description = {"preprocessing": "", "stack": 1} | description  # which a policy of an earlier version lacks
        check_sizes(file, description)
        parse_net(description["net"], spec_of(description))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        if isinstance(error, Refusal):
            raise
        raise Refusal(f"{file} is damaged ({type(error).__name__}: {error}); {AGAIN}") from None
    return description
