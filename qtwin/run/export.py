"""A trained policy as files that anybody can read: safetensors for the weights, JSON for how to use them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qtwin.agents.catalog import agent_of
from qtwin.agents.info import OWN_OUTPUT
from qtwin.config.bootstrap_specs import parse as parse_bootstrap
from qtwin.config.config import Config
from qtwin.config.rates_of import budget
from qtwin.envs.spaces import to_json
from qtwin.envs.spec import EnvSpec
from qtwin.nets.describe import gives_of, how_to_act, how_to_compute, how_to_observe
from qtwin.nets.names import parse as parse_net
from qtwin.target_update.specs import parse as parse_target
from qtwin.types import Variables

FORMAT = 3
# What the exported network's output is, by agent, and what to do with it.
OUTPUTS = {
    "values": "the action with the largest output, the first of equals",
    "logits": "the most likely action, the one with the largest output",
    "tanh": "tanh(output) is the action in [-1, 1]",
    "tanh of the mean": "the output holds A means, then A logs of deviations; tanh(means) is the action in [-1, 1]",
    OWN_OUTPUT: "the algorithm's own function `act` chooses the action; qtwin.load needs the algorithm",
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
    for seed, online in variables.items():
        network = acting(config, online)
        named = named_leaves(network.params) | {f"stats.{k}": v for k, v in named_leaves(network.stats).items()}
        save_file(named, str(folder / f"seed-{seed}.safetensors"))
    description = described(spec, config, sorted(variables))
    (folder / "policy.json").write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def described(spec: EnvSpec, config: Config, seeds: list[int]) -> dict[str, Any]:
    """What ``policy.json`` holds."""
    agent = agent_of(config.agent)
    output, gives = agent.policy_output(spec), gives_of(agent.output, config)
    net = (getattr(config, "actor_net", "") if part_that_acts(config) == "actor" else "") or config.net
    least = parse_bootstrap(config.bootstrap).networks if output == "values" else 1
    if output == OWN_OUTPUT:
        how = ["action = what the algorithm's own function act answers, with explore = 0"]
    else:
        how = [*how_to_compute(parse_net(net, spec), config.normalise, gives), *_least_of(least), *how_to_act(spec)]
    return {
        "format": FORMAT,
        "env": spec.id,
        "env_kwargs": spec.env_kwargs,
        "agent": config.agent,
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
        "least_of": least,
        "gives": list(gives),
        "output": output,
        "seeds": seeds,
        "act": OUTPUTS[output],
        "how": [*how_to_observe(spec), *how],
    }


def acting(config: Config, online: Variables) -> Variables:
    """The part of an online network that acts."""
    part = part_that_acts(config)
    return online.part(part) if part else online


def part_that_acts(config: Config) -> str | None:
    """Its name: the actor, the Q network beside a self-predictive loss, the last of several in a row; None for all."""
    agent = agent_of(config.agent)
    if agent.output == OWN_OUTPUT:
        return None
    return "actor" if agent.acts else "q" if config.self_predict else last_of(config)


def last_of(config: Config) -> str | None:
    """The part of the network that acts, of several in a row; None where it is the network as a whole."""
    row = parse_target(config.target, budget(config)).row
    return str(row - 1) if row else None


def _least_of(networks: int) -> list[str]:
    if networks == 1:
        return []
    return [f"so for each of {networks} networks, the names beginning with 0., 1., ...; output = the least of theirs"]
