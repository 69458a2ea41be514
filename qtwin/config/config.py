"""The settings of a run as plain data. Read without importing JAX."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings of a run, in the order in which an algorithm reads them: NETWORK, TARGET, LOSS, RATES.

    An agent's own settings (`qtwin.agents.own`) are further fields of the same object, for example ``c.quantiles``.
    `config_class` adds them, and `qtwin.agents.catalog.config_of` creates an instance.

    Attributes:
      env: the environment, ``CartPole-v1``, or with its home ``gym:CartPole-v1``.
      preprocessing: Atari preprocessing, ``nature``, ``cleanrl`` or ``v5``; empty is ``nature`` for Atari games and
        none for other environments.
      env_kwargs: keyword arguments of a Gymnasium environment, as JSON; empty for none.
      agent: the algorithm, a name from ``qtwin list agents``.
      net: the network, for example ``table``, ``linear``, ``mlp:120,84`` or ``minatar``, with options such as
        ``+layernorm``, ``+batchnorm``, ``+leaky``, ``+dropout=P``, ``+duelling`` and ``+noisy``
        (``mlp:256,256+layernorm+dropout=0.01``).
      init: weight initialisation: ``lecun`` (Flax), ``torch``, or ``sparse`` (nine tenths of each unit's weights are
        0).
      bootstrap: the bootstrap target, ``max``, ``double``, ... (``qtwin list bootstraps``).
      discount: the discount factor gamma.
      n_step: length of n-step returns. [transitions]
      normalise: observation normalisation, ``none`` or ``running`` (by the running mean and standard deviation of the
        training observations).
      loss: ``huber``, ``mse`` or ``half-mse``; ``cross-entropy`` for distributions over atoms or classes; ``huber`` for
        quantiles.
      regularise: regularisation towards the target network, ``none``, ``functional:KAPPA`` or ``proximal:C``.
      self_predict: an auxiliary self-predictive loss, ``simsiam``, ``byol`` or ``curl``; empty is none, and the
        following settings up to ``optimiser`` are then unused.
      self_predict_target: target update of the second encoder, written like ``target``; empty is the method's own.
      self_predict_steps: K, the prediction horizon in latent space (not ``curl``). [transitions]
      self_predict_weight: weight relative to the Q loss; 0 is the method's own.
      augment: augmentation of image observations, ``none`` or ``shift:PIXELS``.
      optimiser: ``adam[:EPS[:B1]]``, ``radam[:EPS]``, ``sgd`` or ``rmsprop[:EPS[:inside|outside]]`` (centred, with
        epsilon inside or outside the square root).
      learning_rate: learning rate of the optimiser.
      max_gradient_norm: gradients are clipped to this global norm; 0 turns clipping off.
      collect: transitions collected per cycle, summed over environments; 0 is offline. [transitions]
      regress: gradient steps per cycle. [gradient steps]
      target: the target update, ``hard:500``, ``soft:0.005``, ``tied``, ...; periods are in gradient steps.
      warmup: random transitions collected before the first gradient step. [transitions]
      replay: capacity of the replay buffer; 0 trains on the current cycle only (online). [transitions]
      prioritise: prioritised replay, ``ALPHA:BETA`` or ``ALPHA:START:END`` (``0.6:0.4``: BETA, the exponent of the
        importance weights, goes to 1 over the run); empty is uniform replay.
      batch: minibatch size; 0 is the whole data set. [transitions]
      explore: epsilon: one constant number, or ``START:END:OVER`` with OVER in transitions or as a share of the budget
        (``1:0.05:50%``); with ``:after-warmup`` at the end, epsilon is START until the warm-up is over and falls from
        there. For a deterministic actor, the standard deviation of the noise in half action ranges; for a stochastic
        actor, the share of its own noise (1 samples from the policy, 0 is greedy).
      zeta: random actions are repeated for a number of steps drawn from a zeta distribution with this exponent
        (ez-greedy, 2 in its paper); 0 is one step.
      envs: number of parallel environments.
      steps: the training budget. [transitions]; offline [gradient steps]
      schedule_steps: the budget that schedules are computed from: shares of it in ``explore``, ``anneal``, BETA of
        ``prioritise``, ``cosine:TAU``; 0 is ``steps``. A run that is resumed with other ``steps`` stores its first
        budget here. In the unit of ``steps``.
      data: a recorded data set; the run is then offline.
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
    """`Config` with the fields of ``own``, the frozen dataclass of an agent's own settings."""
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
    """A field of an agent's own settings, with its option on the command line.

    Args:
      default: the default, unless the agent's record sets another; its type is that of the setting.
      takes: placeholder of the option's value, ``K`` or ``VMIN:VMAX``.
      means: the help text, with the unit.
      least, most: bounds of a number.
      read: parses a text; raises a `Refusal` if it is invalid.
    """
    about = {"takes": takes, "means": means, "least": least, "most": most, "read": read}
    return dataclasses.field(default=default, metadata=about)
