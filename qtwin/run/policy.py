"""A trained policy from its files, or from a checkpoint of its run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtwin.agents.info import OWN_OUTPUT
from qtwin.config.config import Config
from qtwin.config.dialect import python_dialect
from qtwin.envs.fit import mismatch
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal, nearest, one_of
from qtwin.nets.describe import Gives, check_gives
from qtwin.nets.names import parse as parse_net
from qtwin.request.handed_in import asked_of, check_agent
from qtwin.request.run_config import saved_run
from qtwin.run.acting import Policy
from qtwin.run.export import FORMAT, OUTPUTS, acting, described, export, last_of
from qtwin.run.policy_check import check_sizes, spec_of
from qtwin.storage.reading import Anything, MapOf, problem, read_record, shown
from qtwin.storage.schemas import POLICY
from qtwin.types import OWN, HandedIn, Variables, stands_alone

if TYPE_CHECKING:
    from qtwin.algorithm import Agent
    from qtwin.nets.net import Net

__all__ = ["Policy", "export", "last_of", "least_of", "load", "read_description", "spec_of"]

READ = (2, 3)  # without its spaces, a policy of format 2 has states and actions from 0, and flat float32 ones
AGAIN = "train again or name another run"


@python_dialect()
def load(run: Any, seed: int | None = None, *, agent: Any = None, net: Any = None, env: Any = None) -> Policy:
    """The policy that a run trained.

    Args:
      run: the run's directory, or what `qtwin.train` returned; or a checkpoint, ``runs/a/checkpoints/cycle-...``, of a
        run that need not be finished.
      seed: which of its seeds; the first if left out.
      agent: the algorithm, where one was handed in to `qtwin.train`: the same `Algorithm` or function again.
      net: the network, likewise.
      env: the environment, likewise; only a checkpoint needs it.

    Raises:
      Refusal: there is no run there, it holds no finished policy, the seed is none of its seeds, a file is damaged, or
        what was handed in is missing or does not fit.
    """
    path = _place(run)
    if path.parent.name == "checkpoints":
        return _from_checkpoint(path, seed, agent, net, env)
    description = read_description(path)
    seed = _one_seed(seed, description["seeds"], path)
    if description["output"] == OWN_OUTPUT:
        policy = _of_algorithm(path, description, seed, _asked(agent, net, env))
    else:
        policy = _of_network(description, seed, _asked(None, net, None).settings.get("net"))
    from qtwin.run.weights import read_variables

    return policy._replace(variables=read_variables(path / "policy" / f"seed-{seed}.safetensors", policy.variables))


def _place(run: Any) -> Path:
    place = getattr(run, "path", run)
    if isinstance(place, (str, Path)):
        return Path(place)
    if place is None and run is not None:
        raise Refusal("this run is in memory alone (out=None) and has no files to load; train it with out='DIR'")
    raise Refusal(f"run is a run directory, or what qtwin.train returned, and {run!r:.100} came")


def _asked(agent: Any, net: Any, env: Any) -> Any:
    return asked_of("" if env is None else env, agent, {} if net is None else {"net": net}, None)


def _one_seed(seed: int | None, seeds: list[int], path: Path) -> int:
    seed = seeds[0] if seed is None else seed
    if seed not in seeds:
        raise Refusal(f"the run {path} holds the seeds {', '.join(map(str, seeds))}, not {seed}")
    return seed


def _of_network(description: dict, seed: int, own: str | None) -> Policy:
    """A policy whose network ``policy.json`` describes; its variables are shapes, which are still to be filled.

    Args:
      description: from `read_description`.
      seed: which.
      own: the name that carries the network, where one was handed in.
    """
    import jax

    from qtwin.nets.build import network
    from qtwin.run.policy_network import of_values

    spec, name, output = spec_of(description), description["net"], description["output"]
    if stands_alone(name):
        if own is None:
            plain = name.removeprefix(OWN)
            raise Refusal(
                f"this policy's network, {plain}, was handed in from Python, and no file holds it; hand it in again:"
                f" qtwin.load(run, net={plain})"
            )
        name = own
    elif own is not None and own != name:
        raise Refusal(f"this policy's network is {name}, and another was handed in; leave net out")
    outputs = spec.num_actions or len(spec.action_low) * (2 if output == "tanh of the mean" else 1)
    gives = Gives(*description.get("gives", Gives()))
    if gives.kind:
        net = of_values(spec, name, gives, description["normalise"])
    else:
        net = network(spec, name, outputs, normalise=description["normalise"])
    if description.get("least_of", 1) > 1:
        net = least_of(net, description["least_of"])
    like = jax.eval_shape(net.init, jax.random.key(0))  # no size is believed before the file has that many numbers
    return Policy(spec, seed, like, jax.jit(net.apply), output)


def described_network(spec: EnvSpec, config: Config) -> Variables:
    """The shapes of the network that ``policy.json`` would describe."""
    return _of_network(described(spec, config, [0]), 0, config.net).variables


def _of_algorithm(path: Path, description: dict, seed: int, asked: Any) -> Policy:
    """A policy that acts by its algorithm's own ``act``; its variables are shapes, which are still to be filled."""
    agent, name, spec = asked.agent, description["agent"], spec_of(description)
    if agent is None and stands_alone(name):
        plain = name.removeprefix(OWN)
        raise Refusal(
            f"this policy's algorithm, {plain}, was handed in from Python, and no file holds it; hand it in again:"
            f" qtwin.load(run, agent={plain})"
        )
    saved = saved_run(str(path))
    check_agent(agent, {}, None)
    if agent is not None and agent != name and not isinstance(agent, HandedIn):
        raise Refusal(f"this policy's algorithm is {name.removeprefix(OWN)}, and agent={agent!r} came; name that one")
    if asked.env:
        if field := mismatch(spec, asked.spec):
            raise Refusal(
                f"this policy acts in {spec.id} with {field} {getattr(spec, field)}, and {asked.env} has"
                f" {getattr(asked.spec, field)}; leave env out"
            )
        spec = asked.spec
    return _acting_by(_built(spec, saved.config, asked), spec, seed)


def _built(spec: EnvSpec, config: Config, asked: Any) -> Any:
    """The algorithm of a saved run, with what was handed in again in its place."""
    from qtwin.agents.catalog import algorithm
    from qtwin.agents.handed_in import is_finished

    if asked.agent is not None:
        if is_finished(asked.agent):
            return asked.agent.thing
        config = dataclasses.replace(config, agent=asked.agent)
    return algorithm(spec, dataclasses.replace(config, **asked.settings))


def _acting_by(algorithm: Any, spec: EnvSpec, seed: int) -> Policy:
    import jax

    agent: Agent = algorithm.agent
    act = jax.jit(lambda variables, obs: agent.act(variables, obs, jax.numpy.float32(0.0), jax.random.key(0)))
    like = jax.eval_shape(agent.init, jax.random.key(0))
    values = None if agent.values is None else jax.jit(agent.values)
    return Policy(spec, seed, like, act, OWN_OUTPUT, values)


def _from_checkpoint(path: Path, seed: int | None, agent: Any, net: Any, env: Any) -> Policy:
    """The policy that a run had at one of its checkpoints."""
    import jax

    from qtwin.request.train import spec_of as env_of
    from qtwin.run.weights import online_of

    saved = saved_run(str(path.parent.parent))
    asked = asked_of(env, agent, {} if net is None else {"net": net}, saved)
    check_agent(agent if agent is None else asked.agent, {}, saved)
    config = dataclasses.replace(saved.config, env=asked.env, **asked.settings)
    before = saved.config.env
    if asked.env != before and (stands_alone(before) or env_of(saved.config).id != asked.spec.id):
        raise Refusal(
            f"{path} is of a run in {before.removeprefix(OWN)}, and env={asked.env} came; hand in the run's own"
        )
    spec = env_of(config)
    seed = _one_seed(seed, list(saved.seeds), path)
    algorithm = _built(spec, config, asked)
    online = online_of(path, seed, jax.eval_shape(algorithm.agent.init, jax.random.key(0)))
    config = config if asked.agent is None else dataclasses.replace(config, agent=asked.agent)
    return of_variables(algorithm, spec, config, seed, online)


def of_variables(algorithm: Any, spec: EnvSpec, config: Config, seed: int, online: Variables) -> Policy:
    """The policy of a network in memory.

    Args:
      algorithm: what learns.
      spec: the environment.
      config: the run.
      seed: which of its seeds.
      online: that seed's online network.
    """
    description = described(spec, config, [seed])
    if description["output"] == OWN_OUTPUT:
        policy = _acting_by(algorithm, spec, seed)
    else:
        policy = _of_network(description, seed, config.net)
    return policy._replace(spec=spec, variables=acting(config, online))


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
        # What a policy of an earlier version lacks.
        description = {"preprocessing": "", "stack": 1, "env_kwargs": "", "agent": ""} | description
        check_sizes(file, description)
        if not stands_alone(description["net"]) and description["output"] != OWN_OUTPUT:
            parse_net(description["net"], spec_of(description))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        if isinstance(error, Refusal):
            raise
        raise Refusal(f"{file} is damaged ({type(error).__name__}: {error}); {AGAIN}") from None
    return description
