"""A trained policy as files anybody can read, and back again: safetensors for the weights, JSON for how to use them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from qtwin.agents.catalog import AGENTS
from qtwin.config.bootstrap_specs import parse as parse_bootstrap
from qtwin.config.config import Config
from qtwin.config.rates_of import budget
from qtwin.envs.actions import translator
from qtwin.envs.spaces import SpaceSpec, to_json
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Diverged, Refusal, nearest, one_of
from qtwin.nets.describe import Gives, check_gives, gives_of, how_to_act, how_to_compute, how_to_observe
from qtwin.nets.names import parse as parse_net
from qtwin.run.observe import observed
from qtwin.run.policy_check import check_sizes, spec_of
from qtwin.storage.reading import Anything, MapOf, problem, read_record, shown
from qtwin.storage.schemas import POLICY
from qtwin.target_update.specs import parse as parse_target
from qtwin.types import Array, Variables

if TYPE_CHECKING:
    from qtwin.nets.net import Net

FORMAT = 3
READ = (2, 3)  # without its spaces, a policy of format 2 has states and actions from 0, and flat float32 ones
AGAIN = "train again or name another run"
# What the exported network's output is, by agent, and what to do with it.
OUTPUTS = {
    "values": "the action with the largest output, the first of equals",
    "logits": "the most likely action, the one with the largest output",
    "tanh": "tanh(output) is the action in [-1, 1]",
    "tanh of the mean": "the output holds A means, then A logs of deviations; tanh(means) is the action in [-1, 1]",
}


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
    agent = AGENTS[config.agent]
    acts = "actor" if agent.acts else "q" if config.self_predict else last_of(config)
    for seed, online in variables.items():
        network = online.part(acts) if acts else online
        named = named_leaves(network.params) | {f"stats.{k}": v for k, v in named_leaves(network.stats).items()}
        save_file(named, str(folder / f"seed-{seed}.safetensors"))
    net, output = (config.actor_net if acts == "actor" else "") or config.net, agent.policy_output(spec)
    gives = gives_of(agent.output, config)
    description = {
        "format": FORMAT,
        "env": spec.id,
        "observation_space": to_json(spec.own_observations),
        "action_space": to_json(spec.own_actions),
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
        "how": [
            *how_to_observe(spec),
            *how_to_compute(parse_net(net, spec), config.normalise, gives),
            *_least_of(least),
            *how_to_act(spec),
        ],
    }
    (folder / "policy.json").write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def last_of(config: Config) -> str | None:
    """The part of the network that acts, of several in a row; None where it is the network as a whole."""
    row = parse_target(config.target, budget(config)).row
    return str(row - 1) if row else None


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

        `OUTPUTS` says what the output of an actor is. Observations are the environment's own, as for `__call__`.
        """
        return self._output(self.spec.own_observations, obs)

    def act(self, variables: Variables, obs: Array, *_) -> Array:
        """Greedy actions [B] or [B, A] in [-1, 1], with other variables of the same network, to be compiled."""
        import jax.numpy as jnp

        output = self.apply(variables, obs)
        if self.spec.continuous:
            return jnp.tanh(output[..., : self.spec.action_shape[0]])
        return jnp.argmax(output, axis=-1).astype(jnp.int32)

    def inside(self, obs: Array) -> np.ndarray | int:
        """Greedy action as agents, replays and recordings have it: a whole number from 0, or [A] in [-1, 1].

        The observation is theirs as well: a state counts from 0. Batches too.
        """
        action = self._greedy(self._output(self.spec.seen_observations, obs))
        return action if action.ndim else int(action)

    def __call__(self, obs: Array) -> np.ndarray | int:
        """Greedy action for the environment, a member of its action space.

        Args:
          obs: as the environment gives it, [*obs_shape], or a batch of them [B, *obs_shape].

        Returns:
          an int, or an array of the space's own shape and type; for a batch one array with B of them.

        Raises:
          Refusal: the observation is none of the environment's (`qtwin.run.observe.observed`).
          Diverged: the network gives no finite numbers.
        """
        space = self.spec.own_actions
        output = self._output(self.spec.own_observations, obs)
        action = translator(self.spec.id, space)(self._greedy(output))
        return int(action) if space.kind == "discrete" and not action.ndim else action

    def _output(self, space: SpaceSpec, obs: Array) -> np.ndarray:
        seen = observed(space, obs, self.spec.obs_dtype)
        if seen.shape == space.shape:
            return np.asarray(self.apply(self.variables, seen[None]))[0]
        return np.asarray(self.apply(self.variables, seen))

    def _greedy(self, output: np.ndarray) -> np.ndarray:
        """From the output [..., A] to an action on the agent's side, [...] or [..., A]."""
        if self.spec.continuous:
            return np.tanh(output[..., : self.spec.action_shape[0]])
        if not np.isfinite(output).all():
            raise Diverged(f"the policy of {self.spec.id} gives values that are not finite: its network has diverged")
        return np.asarray(np.argmax(output, axis=-1))


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

    from qtwin.nets.build import network
    from qtwin.run.checkpoint import read_variables
    from qtwin.run.policy_network import of_values

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
    if description.get("format") not in READ:
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
