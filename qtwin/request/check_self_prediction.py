"""Refuses a self-predictive loss that makes no sense for a run. Read without importing JAX."""

from __future__ import annotations

import dataclasses

from qtwin.agents.catalog import AGENTS, agent_of
from qtwin.config import option_specs
from qtwin.config.config import Config
from qtwin.config.options import option
from qtwin.config.rates_of import budget
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal
from qtwin.nets.names import parse as parse_net
from qtwin.request.check_target import is_plain
from qtwin.target_update.specs import parse as parse_target

BESIDE = ("self_predict_target", "self_predict_steps", "self_predict_weight", "augment")


def check_self_prediction(c: Config, spec: EnvSpec) -> None:
    """Refuses what cannot be: agents without a Q loss, memories without sequences, networks without an encoder."""
    if not c.self_predict:
        defaults = {field.name: field.default for field in dataclasses.fields(Config)}
        for field in BESIDE:
            if getattr(c, field) != defaults[field]:
                raise Refusal(
                    f"{option(field)} {getattr(c, field)} is of a self-predictive loss and none came; write"
                    " --self-predict simsiam as well, or leave it out"
                )
        return
    choice = option_specs.self_predict_choice(c)
    if not agent_of(c.agent).self_predicts:
        able = [record.name for record in AGENTS.values() if record.self_predicts]
        raise Refusal(
            f"--self-predict stands beside the Q loss of {' and '.join(able)}, and the agent {c.agent} came;"
            f" {'leave it out' if spec.continuous else 'write --agent dqn'}"
        )
    if c.data:
        raise Refusal("--self-predict learns from the replay of a run that collects, and --data came; leave one out")
    if c.replay == 0:
        raise Refusal("--self-predict needs what followed each transition, and --replay 0 came; write --replay 10000")
    _check_network(c, spec)
    rule = parse_target(choice.target, budget(c))
    if not rule.shared_clock:
        raise Refusal(
            f"'until' watches the Q loss and --self-predict-target {choice.target} came; write soft:0.01 or tied"
        )
    if rule.counts is not None or not is_plain(rule):
        raise Refusal(
            f"a self-predictive reference follows by an even rule, and --self-predict-target {choice.target} came;"
            " write soft:0.01 or tied"
        )
    if choice.rolls and c.self_predict_steps < 1:
        raise Refusal(f"--self-predict-steps is a whole number of at least 1, not {c.self_predict_steps}; write 5")
    _check_augmentation(c, spec)


def _check_network(c: Config, spec: EnvSpec) -> None:
    net, instead = parse_net(c.net, spec), "minatar" if len(spec.obs_shape) == 3 else "mlp:120,84"
    if net.kind in ("table", "linear"):
        raise Refusal(f"--self-predict needs a network with an encoder, and '{c.net}' has none; write --net {instead}")
    if net.kind == "own" and not (hasattr(c.net.thing, "encode") and hasattr(c.net.thing, "layers")):
        raise Refusal(
            f"--self-predict needs a network with an encoder, and {c.net} was handed in without one; give it methods"
            " encode and layers, or write the name of a network"
        )
    if net.norm.startswith("batch"):
        raise Refusal(
            f"--self-predict takes no network with batch normalisation, and --net {c.net} came; write +layernorm"
        )
    if c.normalise != "none":
        raise Refusal(
            f"--self-predict takes observations as they are, and --normalise {c.normalise} came; leave it out"
        )


def _check_augmentation(c: Config, spec: EnvSpec) -> None:
    pixels = option_specs.augment_choice(c.augment)
    if pixels and len(spec.obs_shape) != 3:
        raise Refusal(
            f"--augment {c.augment} moves images, and {spec.id} gives {list(spec.obs_shape)}; write --augment none"
        )
    if pixels and pixels >= min(spec.obs_shape[:2]):
        raise Refusal(
            f"--augment {c.augment} moves an image of {spec.obs_shape[0]}x{spec.obs_shape[1]} out of itself; write"
            " --augment shift:1"
        )
