"""One run as plain data: what was asked for, nothing computed into it. Read without importing JAX."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any


@dataclasses.dataclass(frozen=True)
class Config:
    """A run, in the order in which an algorithm reads: NETWORK, TARGET, LOSS, RATES.

    What only some agents have a use for are settings of their own (`qtwin.agents.own`). They stand beside these as
    fields of the same object, ``c.quantiles``: `config_class` puts the two together, and
    `qtwin.agents.catalog.config_of` makes one.

    Attributes:
      env: the environment, ``CartPole-v1`` or with its home ``gym:CartPole-v1``.
      preprocessing: of Atari's frames, ``nature``, ``cleanrl`` or ``v5``; empty is ``nature``, and for an environment
        that has none.
      env_kwargs: keyword arguments that a Gymnasium environment is made with, as JSON; empty for none.
      agent: the algorithm, a name of ``qtwin list agents``.
      net: the network, ``table``, ``linear``, ``mlp:120,84`` or ``minatar``; layers take ``+layernorm``,
        ``+batchnorm``, ``+leaky``, ``+dropout=P`` (``mlp:256,256+layernorm+dropout=0.01``), the last two of them
        ``+duelling`` and ``+noisy``.
      init: how the network's weights begin, ``lecun`` (Flax's way), ``torch`` or ``sparse`` (nine tenths of a unit's
        inputs without a weight).
      bootstrap: how the TD target uses the target network, ``max``, ``double``, ... (``qtwin list bootstraps``).
      discount: gamma.
      n_step: steps of reward in a TD target. [transitions]
      normalise: of observations, ``none`` or ``running`` (by the mean and deviation of all that was learned from).
      loss: ``huber``, ``mse`` or ``half-mse``; of distributions ``cross-entropy``, of quantiles ``huber``.
      regularise: what else keeps the online network near the target, ``none``, ``functional:KAPPA`` or ``proximal:C``.
      self_predict: a self-predictive loss beside the Q loss, ``simsiam``, ``byol`` or ``curl``; empty is none, and of
        all that follow up to ``optimiser`` nothing is read then.
      self_predict_target: how the encoder that gives its reference follows, written as ``target``; empty is the
        method's own.
      self_predict_steps: K, how far ahead the latent is predicted (not ``curl``). [transitions]
      self_predict_weight: of this loss beside the Q loss; 0 is the method's own.
      augment: of image observations, ``none`` or ``shift:PIXELS``.
      optimiser: ``adam[:EPS[:B1]]``, ``sgd`` or ``rmsprop[:EPS[:inside|outside]]`` (centred; where EPS stands to the
        root).
      learning_rate: of the optimiser.
      max_gradient_norm: gradients are scaled down to this norm; 0 leaves them as they are.
      collect: transitions per cycle, over all environments; 0 is offline. [transitions]
      regress: gradient steps per cycle. [gradient steps]
      target: how the target network follows, ``hard:500``, ``soft:0.005``, ``tied``, ...; in gradient steps.
      warmup: transitions gathered at random first. [transitions]
      replay: transitions remembered; 0 is the cycle's own and no more (online). [transitions]
      prioritise: draws what was learned least, ``ALPHA:BETA`` or ``ALPHA:START:END`` (``0.6:0.4``: BETA, how far
        importance weights undo it, goes to 1 over the run); empty draws all alike.
      batch: transitions in a regression batch; 0 is the whole data set. [transitions]
      explore: epsilon, ``START:END:OVER`` with OVER in transitions or as a share of the budget (``1:0.05:50%``), or
        one constant number; with ``:after-warmup`` behind it epsilon is START until the warm-up is over and falls from
        there. For a deterministic actor the noise's standard deviation in units of half the action's range; for a
        stochastic one the share of its own noise (1 acts as it says, 0 greedily).
      zeta: random actions last: for so many steps as a zeta distribution with this exponent draws (ez-greedy, 2 in
        its paper); 0 is one step.
      envs: environments stepped together.
      steps: the budget. [transitions]; offline [gradient steps]
      schedule_steps: the budget that schedules are derived from: shares of it in ``explore``, ``anneal``, BETA of
        ``prioritise``, ``cosine:TAU``; 0 is ``steps``. A run resumed with other ``steps`` keeps the budget that it was
        started with here. In the unit of ``steps``.
      data: a recorded data set to learn from; offline then.
    """

    env: str
    agent: str = "dqn"
    net: str = "mlp:120,84"
    init: str = "lecun"
    bootstrap: str = "max"
    discount: float = 0.99
    n_step: int = 1
    normalise: str = "none"
    loss: str = "mse"
    regularise: str = "none"
    self_predict: str = ""
    self_predict_target: str = ""
    self_predict_steps: int = 5
    self_predict_weight: float = 0.0
    augment: str = "none"
    optimiser: str = "adam"
    learning_rate: float = 2.5e-4
    max_gradient_norm: float = 0.0
    collect: int = 10
    regress: int = 1
    target: str = "hard:50"
    warmup: int = 10_000
    replay: int = 10_000
    prioritise: str = ""
    batch: int = 128
    explore: str = "1:0.05:50%"
    zeta: float = 0.0
    envs: int = 10
    steps: int = 500_000
    schedule_steps: int = 0
    data: str = ""
    preprocessing: str = ""
    env_kwargs: str = ""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """An agent's own settings, for type checkers."""

    def __reduce__(self) -> tuple:
        # The classes that `config_class` makes go by no name of a module: pickle is told how to make one.
        return _again, (getattr(type(self), "_own", None), dict(vars(self)))


def _again(own: type | None, values: dict[str, Any]) -> Config:
    return (Config if own is None else config_class(own))(**values)


@functools.cache
def config_class(own: type) -> type[Config]:
    """The class of a run of agents whose own settings are ``own``, a frozen dataclass: its fields behind `Config`'s."""
    if not dataclasses.fields(own):
        return Config
    clash = {field.name for field in dataclasses.fields(own)} & {field.name for field in dataclasses.fields(Config)}
    if clash:
        raise TypeError(f"{own.__name__}: {', '.join(sorted(clash))} is a setting of every agent already")
    return dataclasses.make_dataclass(
        "Config", [], bases=(own, Config), frozen=True, namespace={"_own": own, "__module__": __name__}
    )


def setting(
    default: Any,
    takes: str,
    means: str,
    *,
    least: float | None = None,
    most: float | None = None,
    read: Callable[[str], Any] | None = None,
) -> Any:
    """A field of an agent's own settings, as its option on the command line has it.

    Args:
      default: of the agent, where its record says nothing else; its type is the setting's.
      takes: what the option takes, ``K`` or ``VMIN:VMAX``.
      means: what it means, with its unit, in one line of ``--help``.
      least, most: the bounds of a number.
      read: reads a text, and raises a `Refusal` where it means nothing.
    """
    about = {"takes": takes, "means": means, "least": least, "most": most, "read": read}
    return dataclasses.field(default=default, metadata=about)
