"""One run as plain data: what was asked for, nothing computed into it. Read without importing JAX."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Config:
    """A run, in the order in which an algorithm reads: NETWORK, TARGET, LOSS, RATES.

    Attributes:
      env: the environment, ``CartPole-v1`` or with its home ``gym:CartPole-v1``.
      agent: the algorithm, a name of ``qtwin list agents``.
      net: the network, ``table``, ``linear``, ``mlp:120,84`` or ``minatar``.
      init: how the network's weights begin, ``lecun`` (Flax's way) or ``torch``.
      bootstrap: how the TD target uses the target network, ``max`` or ``double``.
      discount: gamma.
      n_step: steps of reward in a TD target. [transitions]
      loss: ``huber``, ``mse`` or ``half-mse``.
      optimiser: ``adam[:EPS]``, ``sgd`` or ``rmsprop[:EPS[:inside|outside]]`` (centred; where EPS stands to the root).
      learning_rate: of the optimiser.
      max_gradient_norm: gradients are scaled down to this norm; 0 leaves them as they are.
      collect: transitions per cycle, over all environments; 0 is offline. [transitions]
      regress: gradient steps per cycle. [gradient steps]
      target: how the target network follows, ``hard:500``, ``soft:0.005``, ``tied``, ...; in gradient steps.
      warmup: transitions gathered at random first. [transitions]
      replay: transitions remembered; 0 is the cycle's own and no more (online). [transitions]
      batch: transitions in a regression batch; 0 is the whole data set. [transitions]
      explore: epsilon, ``START:END:OVER`` with OVER in transitions or as a share of the budget (``1:0.05:50%``), or
        one constant number.
      envs: environments stepped together.
      steps: the budget. [transitions]; offline [gradient steps]
      data: a recorded data set to learn from; offline then.
    """

    env: str
    agent: str = "dqn"
    net: str = "mlp:120,84"
    init: str = "lecun"
    bootstrap: str = "max"
    discount: float = 0.99
    n_step: int = 1
    loss: str = "mse"
    optimiser: str = "adam"
    learning_rate: float = 2.5e-4
    max_gradient_norm: float = 0.0
    collect: int = 10
    regress: int = 1
    target: str = "hard:50"
    warmup: int = 10_000
    replay: int = 10_000
    batch: int = 128
    explore: str = "1:0.05:50%"
    envs: int = 10
    steps: int = 500_000
    data: str = ""
