"""Whether head, loss, bootstrap and replay of a value-based agent go together. Read without importing JAX."""

from __future__ import annotations

from qtwin.agents.catalog import CATEGORICAL, DISCRETE, NOISY, PRIORITISING, QUANTILE, of_several
from qtwin.config import option_specs
from qtwin.config.bootstrap_specs import parse as parse_bootstrap
from qtwin.config.config import Config
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.nets.names import parse as parse_net


def check_values(c: Config, spec: EnvSpec) -> None:
    """Refuses what the mathematics does not allow, and says why."""
    _check_loss(c)
    _check_bootstrap(c)
    if c.agent in CATEGORICAL:
        option_specs.support_choice(c.support)
        if c.atoms < 2:
            raise Refusal(f"a distribution over {c.atoms} atom has one mean and nothing to learn; write --atoms 51")
    if c.agent in QUANTILE and c.quantiles < 1:
        raise Refusal(f"--quantiles is a whole number of at least 1, not {c.quantiles}; write --quantiles 200")
    net = parse_net(c.net, spec)
    if net.noisy is not None and c.agent not in NOISY:
        raise Refusal(
            f"the network '{c.net}' explores by its own noise, and the agent {c.agent} by what --explore says; leave"
            f" +noisy out, or write --agent {' or '.join(NOISY[:3])}"
        )
    if net.noisy is not None and c.agent == "dqn" and of_several(c) != "dqn":
        raise Refusal(
            f"the network '{c.net}' explores by its own noise, and several networks that learn side by side explore by"
            " epsilon; leave +noisy out, or write --bootstrap max --target hard:500"
        )
    if c.zeta:
        _check_zeta(c, net.noisy is not None)
    if c.agent == "iqn" and net.kind in ("table", "linear"):
        raise Refusal(
            f"the agent iqn multiplies what stands before the last hidden layer by an embedding of the quantile, and"
            f" '{c.net}' has no hidden layer; write --net mlp:64,64"
        )
    if c.prioritise:
        _check_priorities(c)
    if c.agent in ("pqn", "stream_q"):
        _check_online(c)


def _check_zeta(c: Config, noisy: bool) -> None:
    if c.zeta <= 1:
        raise Refusal(f"a zeta distribution has an exponent greater than 1, and --zeta {c.zeta:g} came; write --zeta 2")
    if noisy or c.agent not in DISCRETE or c.agent == "sac":
        explorer = f"the network '{c.net}'" if noisy else f"the agent {c.agent}"
        raise Refusal(
            f"--zeta lets the random actions of epsilon-greedy last, and {explorer} explores by its own noise; leave it"
            " out"
        )


def _check_online(c: Config) -> None:
    if c.replay or c.data or c.n_step > 1:
        raise Refusal(
            f"the agent {c.agent} learns from what it has just done and forgets it; write --replay 0 --n-step 1 and no"
            " --data"
        )
    if parse_bootstrap(c.bootstrap).kind != "max":
        raise Refusal(f"the agent {c.agent} bootstraps with 'max', not '{c.bootstrap}'; leave --bootstrap out")
    if not 0.0 <= c.trace <= 1.0:
        raise Refusal(f"--trace is lambda, a number between 0 and 1, not {c.trace:g}; write --trace 0.8")
    if c.self_predict:
        raise Refusal(f"--self-predict draws from a replay, and the agent {c.agent} has none; leave it out")
    if c.agent == "stream_q" and (c.collect, c.regress, c.batch, c.envs, c.warmup) != (1, 1, 1, 1, 0):
        raise Refusal(
            "the agent stream_q learns from every step as it comes; write --collect 1 --regress 1 --batch 1 --envs 1"
            " --warmup 0"
        )
    if c.agent == "stream_q" and c.loss != "half-mse":
        raise Refusal(f"the agent stream_q moves by the TD error itself, and --loss {c.loss} came; leave it out")
    if c.agent == "pqn" and not (c.reward_scale > 0 and c.collect % c.batch == c.regress * c.batch % c.collect == 0):
        raise Refusal(
            "the agent pqn reads the transitions of a cycle in whole batches and whole epochs, and scales rewards by"
            f" more than 0: --collect {c.collect}, --regress {c.regress}, --batch {c.batch}, --reward-scale"
            f" {c.reward_scale:g} came; write for example --collect 2048 --regress 64 --batch 128"
        )


def _check_loss(c: Config) -> None:
    if c.agent in CATEGORICAL and c.loss != "cross-entropy":
        raise Refusal(
            f"the agent {c.agent} learns a distribution over classes by cross-entropy, and --loss {c.loss} is one of"
            " numbers; leave it out, or write --agent dqn"
        )
    if c.agent in QUANTILE and c.loss != "huber":
        raise Refusal(
            f"the agent {c.agent} learns quantiles by their own loss around Huber's, and --loss {c.loss} came; leave it"
            " out"
        )
    if c.agent not in CATEGORICAL and c.loss == "cross-entropy":
        raise Refusal(
            f"the agent {c.agent} learns numbers, and a cross-entropy is of distributions; write --loss huber, or"
            " --agent hl_gauss"
        )


def _check_bootstrap(c: Config) -> None:
    kind = parse_bootstrap(c.bootstrap).kind
    if c.agent in ("c51", "rainbow", *QUANTILE) and kind not in ("max", "double"):
        raise Refusal(
            f"the agent {c.agent} carries the distribution of one action over, and --bootstrap {c.bootstrap} mixes"
            " values of several; write --bootstrap max or double, or --agent hl_gauss"
        )
    if c.agent == "double_dqn" and kind != "double":
        raise Refusal(f"the agent double_dqn bootstraps with 'double', not '{c.bootstrap}'; write --agent dqn for it")
    if c.agent == "munchausen_dqn" and kind != "munchausen":
        raise Refusal(
            f"the agent munchausen_dqn bootstraps with 'munchausen', not '{c.bootstrap}'; write --agent dqn for it"
        )
    if kind == "munchausen" and c.n_step > 1:
        raise Refusal(
            f"a Munchausen target adds the log-policy of every action to its reward, and of {c.n_step} steps only the"
            " first one's is known; write --n-step 1"
        )


def _check_priorities(c: Config) -> None:
    option_specs.prioritise_choice(c.prioritise)
    if c.agent not in PRIORITISING:
        raise Refusal(
            f"the agent {c.agent} does not weigh its loss by importance, without which prioritised replay is biased;"
            f" leave --prioritise out, or write --agent {' or '.join(PRIORITISING[:3])}"
        )
    if c.data or c.replay == 0:
        what = "a recording is" if c.data else "transitions that are used once and forgotten are"
        raise Refusal(f"{what} not drawn by priority; leave --prioritise out")


def outside_support(c: Config, points: list[dict]) -> str:
    """A warning where the returns seen do not fit between the atoms; "" where they do, or there are none.

    A state's value is a discounted return. Of an episode of length L with return R it is taken to be about
    R / L (1 - gamma**L) / (1 - gamma), as if its rewards came evenly.

    Args:
      c: the run.
      points: log points, with ``train_return`` and ``train_length`` of each seed.
    """
    if c.agent not in CATEGORICAL:
        return ""
    low, high = option_specs.support_choice(c.support)
    seen = [
        r / n * ((1 - c.discount**n) / (1 - c.discount) if c.discount < 1 else n)
        for point in points
        for r, n in zip(point["train_return"], point["train_length"], strict=True)
        if r is not None and n
    ]
    if not seen or (low <= min(seen) and max(seen) <= high):
        return ""
    return (
        f"the support {c.support} does not cover the returns seen, discounted about {min(seen):.3g} to {max(seen):.3g}:"
        f" what lies outside counts as its end; write --support={min(low, 1.5 * min(seen)):.3g}:"
        f"{max(high, 1.5 * max(seen)):.3g}"
    )
