"""How an exported network computes action values, in words and as a few plain fields."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from qtwin.config.config import Config
from qtwin.config.option_specs import support_choice
from qtwin.envs.preprocessing import IN_WORDS
from qtwin.envs.spaces import INTEGERS
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.nets.names import LAYERS, SMALLEST, WHOLE, NetName


class Gives(NamedTuple):
    """What a network gives for each action.

    Attributes:
      kind: "" is its value, else a key of ``VALUES``.
      count: numbers for each action, or the fractions that are asked for.
      support: the range of atoms or classes, ``VMIN:VMAX``.
    """

    kind: str = ""
    count: int = 1
    support: str = ""


VALUES = {
    "atoms": "the output is [num_actions, {0}]; p = softmax over the {0}\n"
    "output = sum of p z, z = {0} numbers evenly spaced over {1}, both ends among them",
    "classes": "the output is [num_actions, {0}]; p = softmax over the {0}\n"
    "output = sum of p z, z = the centres of {0} intervals that part {1} evenly",
    "quantiles": "the output is [num_actions, {0}]; output = the mean over the {0}",
    "fractions": "output = the mean over tau = (i + 1/2) / {0}, i = 0 ... {0} - 1",
}
FRACTIONS = 32  # that a policy averages over where its network is asked by them


def gives_of(output: str, c: Config) -> Gives:
    """What a network gives for each action.

    Args:
      output: of the agent's record (`qtwin.agents.info.AgentInfo`).
      c: the run, with the numbers that the agent's own settings hold.
    """
    match output:
        case "quantiles":
            return Gives("quantiles", c.quantiles)
        case "fractions":
            return Gives("fractions", FRACTIONS)
        case "atoms" | "classes":
            return Gives(output, c.atoms, c.support)
        case _:
            return Gives()


def check_gives(file: Path, gives: list) -> None:
    """Refuses a ``policy.json`` whose "gives" is none."""
    kind, count, support = gives
    if kind not in ("", *VALUES) or type(count) is not int or not 1 <= count <= 100_000:
        raise Refusal(f"{file}: 'gives' is a kind of output, a count and a support, not {gives!r}")
    if kind in ("atoms", "classes"):
        support_choice(support)


def how_to_compute(net: NetName, normalise: str, gives: Gives) -> list[str]:
    """The network's arithmetic in words, so that the weights can be used without qtwin."""
    return [*_network(net, normalise, gives), *VALUES.get(gives.kind, "").format(*gives[1:]).splitlines()]


def how_to_observe(spec: EnvSpec) -> list[str]:
    """From the environment's own observation to what the network's arithmetic begins with."""
    lines = [IN_WORDS] if spec.preprocessing else []
    start = spec.own_observations.start
    if start:
        lines.append(f"observation = observation - {start}, so that states count from 0".replace("- -", "+ "))
    return lines


def how_to_act(spec: EnvSpec) -> list[str]:
    """From the action of an agent to the environment's own."""
    space = spec.own_actions
    if space.kind == "discrete":
        where = f" + {space.start}, where action_space starts".replace("+ -", "- ") if space.start else ""
        return [f"action = the index of the largest output{where}"]
    whole = " rounded to the nearest whole number, halves to the even one," if space.dtype in INTEGERS else ""
    return [
        "t = (action + 1) / 2; low (1 - t) + high t, within [low, high], in 64-bit floating point, with action_space's"
        " low and high",
        f"action = that,{whole} as {space.dtype} of shape {list(space.shape)}, row by row",
    ]


def _network(net: NetName, normalise: str, gives: Gives) -> list[str]:
    if net.headed or gives.kind == "fractions":
        return _headed(net, normalise, gives)
    normal = "x = (observation - stats.obs.mean) / sqrt(stats.obs.m2 / stats.obs.count + 1e-8), within [-10, 10]"
    start = "x = the observation as float32, flattened; a state's index becomes one-hot of num_states"
    image = "x = the image as float32, [height, width, channel]; bytes are divided by 255"
    if normalise == "running":
        start, image = f"{normal}, flat", normal
    if net.kind == "table":
        return ["output = table[observation]"]
    if net.kind in SMALLEST:
        return _convolutions(net, image)
    if net.kind == "minatar":
        conv = "3x3 convolution of x without padding by conv.kernel [3, 3, in, out], + conv.bias"
        return [
            image,
            *_hidden(net, conv, 0, "the channels of u"),
            "x = x flattened",
            *_hidden(net, "x @ dense.kernel + dense.bias", 1),
            "output = x @ head.kernel + head.bias",
        ]
    stats = "stats.net.norms" if normalise == "running" else "stats.norms"
    lines, head = [start], "output = x @ head.kernel + head.bias"
    for i in range(len(net.widths) + 1):
        if net.norm.startswith("batch"):
            lines.append(
                f"x = (x - {stats}.{i}.mean) / sqrt({stats}.{i}.var + 1e-3) * norms.{i}.scale + norms.{i}.bias"
            )
        if i == len(net.widths):
            break
        lines += _hidden(net, f"x @ hidden.{i}.kernel + hidden.{i}.bias", i)
    return [*lines, head]


def _hidden(net: NetName, linear: str, i: int, over: str = "u") -> list[str]:
    """The hidden layer ``i``: ``linear``, its layer norm, whose mean and variance are over ``over``, and its ReLU."""
    lines = []
    if net.norm == "layernorm":
        lines.append(f"u = {linear}")
        linear = f"(u - mean of {over}) / sqrt(variance of {over} + 1e-6) * norms.{i}.scale + norms.{i}.bias"
    elif net.norm == WHOLE:
        lines.append(f"u = {linear}")
        linear = "(u - mean of u) / sqrt(variance of u + 1e-5)"
    if net.leaky:
        return [*lines, f"u = {linear}", "x = u where u > 0, else 0.01 u"]
    return [*lines, f"x = relu({linear})"]


def _convolutions(net: NetName, image: str) -> list[str]:
    lines = [image]
    if net.kind == "impala":
        conv = "3x3 convolution by {0}.kernel, zeros around the image, + {0}.bias"
        lines += [
            f"for s = 0, 1, 2: x = {conv.format('stages.s.first')}",
            "  x = the maximum over 3x3 with stride 2, padded to [ceil(height / 2), ceil(width / 2)] as 'SAME'",
            f"  for b = 0, 1: y = {conv.format('stages.s.blocks.b.0')} of relu(x)",
            f"    x = x + {conv.format('stages.s.blocks.b.1')} of relu(y)",
            "x = relu(x), flattened",
        ]
    else:
        for i, (filters, size, stride) in enumerate(LAYERS[net.kind][0]):
            lines.append(
                f"x = relu({size}x{size} convolution with stride {stride}, without padding, by convs.{i}.kernel"
                f" [{size}, {size}, in, {filters}], + convs.{i}.bias)"
            )
        lines.append("x = x flattened")
    return [*lines, "x = relu(x @ dense.kernel + dense.bias)", "output = x @ head.kernel + head.bias"]


def _headed(net: NetName, normalise: str, gives: Gives) -> list[str]:
    seen = "normalised by stats.obs" if normalise == "running" else "as float32"
    lines = [
        f"x = what the network '{net.kind}' has before its last hidden layer, by body.*, of the observation {seen}"
    ]
    if gives.kind == "fractions":
        lines.append("x = x relu(cos(pi i tau) @ embedding.kernel + embedding.bias), i = 0 ... 63")
    how = "without scale and bias" if net.norm == WHOLE else "by norm.*"
    norm = f", normalised {how} (layer norm) before the relu" if net.norm else ""
    relu = "leaky relu (slope 0.01)" if net.leaky else "relu"
    stream = f"{relu}(x @ S.hidden.kernel + S.hidden.bias) @ S.out.kernel + S.out.bias{norm}"
    if not net.duelling:
        return [*lines, f"output = {stream.replace('S.', 'advantage.')}"]
    lines.append(f"a and v = {stream}, with S advantage and value")
    return [*lines, "output = v + a - the mean of a over the actions"]
