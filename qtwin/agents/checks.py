"""What the mathematics of one agent does not allow and no column of its record says. Read without importing JAX."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtwin.config.bootstrap_specs import parse as parse_bootstrap
from qtwin.config.config import Config
from qtwin.config.option_specs import target_entropy_choice
from qtwin.config.options import option
from qtwin.errors import Refusal
from qtwin.nets.names import parse as parse_net
from qtwin.target_update.specs import parse as parse_target

if TYPE_CHECKING:
    from qtwin.envs.spec import EnvSpec

SIDE_BY_SIDE = "qtwin.agents.maxmin:maxmin"
IN_A_ROW = "qtwin.agents.iterated:iterated"
DISCRETE_ACTOR = "qtwin.agents.discrete_sac:discrete_sac"


def several(spec: EnvSpec, c: Config) -> str:
    """The screen of several networks that learn side by side, where ``c`` asks for them."""
    del spec
    if parse_bootstrap(c.bootstrap).networks > 1:
        return SIDE_BY_SIDE
    return IN_A_ROW if parse_target(c.target, 1).shift is not None else ""


def discrete_actor(spec: EnvSpec, c: Config) -> str:
    """The screen of an actor with discrete actions, where ``spec`` has them."""
    del c
    return "" if spec.continuous else DISCRETE_ACTOR


def check_dqn(c: Config, spec: EnvSpec) -> None:
    """Refuses a noisy network of several, which explore by epsilon."""
    if several(spec, c) and parse_net(c.net, spec).noisy is not None:
        raise Refusal(
            f"the network '{c.net}' explores by its own noise, but several networks trained in parallel explore by"
            f" epsilon; leave +noisy out, or write --bootstrap max --target hard:500"
        )


def check_iqn(c: Config, spec: EnvSpec) -> None:
    """Refuses a network without the hidden layer that the embedding stands before."""
    if parse_net(c.net, spec).kind in ("table", "linear"):
        raise Refusal(
            f"the agent {c.agent} multiplies the input of the last hidden layer by an embedding of the quantile, and"
            f" '{c.net}' has no hidden layer; write --net mlp:64,64"
        )


def _check_fresh(c: Config) -> None:
    if c.replay or c.data or c.n_step > 1:
        raise Refusal(
            f"the agent {c.agent} has no replay buffer: it learns from each new transition once; write --replay 0"
            f" --n-step 1 and no"
            " --data"
        )
    if c.self_predict:
        raise Refusal(f"--self-predict samples from a replay buffer, and the agent {c.agent} has none; leave it out")


def check_pqn(c: Config, spec: EnvSpec) -> None:
    """Refuses a cycle that is not read in whole batches and whole passes."""
    del spec
    _check_fresh(c)
    if not (c.reward_scale > 0 and c.collect % c.batch == c.regress * c.batch % c.collect == 0):
        raise Refusal(
            f"the agent {c.agent} needs whole batches and whole epochs over the transitions of a cycle, and a"
            f" positive reward scale, not --collect {c.collect} --regress {c.regress} --batch {c.batch}"
            f" --reward-scale {c.reward_scale:g}; write for example --collect 2048 --regress 64 --batch 128"
        )


def check_stream(c: Config, spec: EnvSpec) -> None:
    """Refuses everything but one step at a time."""
    del spec
    _check_fresh(c)
    if (c.collect, c.regress, c.batch, c.envs, c.warmup) != (1, 1, 1, 1, 0):
        raise Refusal(
            f"the agent {c.agent} learns from one transition at a time; write --collect 1 --regress 1 --batch 1"
            f" --envs 1"
            " --warmup 0"
        )


def check_actor(c: Config, spec: EnvSpec) -> None:
    """Refuses what makes no sense for an actor-critic, as far as its own settings say it."""
    parse_net(c.actor_net or c.net, spec)


def check_soft(c: Config, spec: EnvSpec) -> None:
    """Refuses a target entropy that is none."""
    check_actor(c, spec)
    target_entropy_choice(c.target_entropy, spec)


def check_few(c: Config, spec: EnvSpec) -> None:
    """Refuses a target over more critics than there are."""
    check_soft(c, spec)
    if c.subset > c.critics:
        raise Refusal(
            f"a target over {c.subset} of {c.critics} critics is impossible; write {option('subset')}"
            f" {c.critics} or less"
        )


def check_truncated(c: Config, spec: EnvSpec) -> None:
    """Refuses a target of which nothing is left."""
    check_soft(c, spec)
    if c.drop >= c.quantiles:
        raise Refusal(
            f"dropping {c.drop} of {c.quantiles} quantiles per critic leaves none; write --drop {c.quantiles - 1} or"
            f" less"
        )
