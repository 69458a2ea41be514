"""A trained policy in memory: from an observation of the environment to an action."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from qtwin.agents.info import OWN_OUTPUT
from qtwin.envs.actions import translator
from qtwin.envs.spaces import SpaceSpec
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Diverged, Refusal
from qtwin.run.observe import observed
from qtwin.types import Array, Variables

LOG_STD_LOW, LOG_STD_HIGH = -20.0, 2.0  # as `qtwin.acting.policies.squashed` has them, which imports JAX


class Policy(NamedTuple):
    """A trained policy: call it on an observation, or on a batch of them.

    Attributes:
      spec: the environment it was trained in.
      seed: which of the run's seeds.
      variables: of the network that acts.
      apply: ``(variables, obs [B, *obs_shape]) -> output [B, ...]``.
      output: what the output is, a key of ``OUTPUTS``.
      values_of: ``(variables, obs [B, *obs_shape]) -> q [B, A]`` of an algorithm of the caller's own, whose ``apply``
        gives actions; None elsewhere.
    """

    spec: EnvSpec
    seed: int
    variables: Variables
    apply: Callable[[Variables, Array], Array]
    output: str = "values"
    values_of: Callable[[Variables, Array], Array] | None = None

    def __repr__(self) -> str:
        return f"Policy({self.spec.id}, seed {self.seed}, output {self.output!r})"

    def values(self, obs: Array) -> np.ndarray:
        """The network's output, action values for a value-based agent: obs [*obs_shape] -> [A], or [B, ...] -> [B, A].

        `OUTPUTS` says what the output of an actor is. Observations are the environment's own, as for `__call__`.

        Raises:
          Refusal: the policy is of an algorithm of the caller's own that gives no ``values``.
        """
        if self.output != OWN_OUTPUT:
            return self._output(self.spec.own_observations, obs)
        if self.values_of is None:
            raise Refusal("this policy's algorithm does not say its action values; give its qtwin.Agent values=...")
        return self._replace(apply=self.values_of)._output(self.spec.own_observations, obs)

    def act(self, variables: Variables, obs: Array, *_) -> Array:
        """Greedy actions [B] or [B, A] in [-1, 1], with other variables of the same network, to be compiled."""
        import jax.numpy as jnp

        output = self.apply(variables, obs)
        if self.output == OWN_OUTPUT:
            return output
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
        return self._outside(self._greedy(self._output(self.spec.own_observations, obs)))

    def predict(
        self, obs: Array, deterministic: bool = True, rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray | int, None]:
        """The action and None, as Stable-Baselines3's ``predict`` returns them (there is no recurrent state).

        Args:
          obs: as for `__call__`.
          deterministic: the greedy action; False draws from a stochastic policy. A policy that acts by its values, or
            with a deterministic actor, is greedy either way.
          rng: what is drawn from; a fresh one if left out.
        """
        output = self._output(self.spec.own_observations, obs)
        if deterministic or self.output not in ("tanh of the mean", "logits"):
            return self._outside(self._greedy(output)), None
        rng = rng or np.random.default_rng()
        if self.output == "logits":
            return self._outside(np.asarray(np.argmax(output + rng.gumbel(size=output.shape), axis=-1))), None
        mean, log_std = np.split(output, 2, axis=-1)
        spread = np.exp(np.clip(log_std, LOG_STD_LOW, LOG_STD_HIGH)) * rng.standard_normal(mean.shape)
        return self._outside(np.tanh(mean + spread.astype(mean.dtype))), None

    def _outside(self, action: np.ndarray) -> np.ndarray | int:
        """An action of the agent's as the environment takes it."""
        space = self.spec.own_actions
        action = translator(self.spec.id, space)(action)
        return int(action) if space.kind == "discrete" and not action.ndim else action

    def _output(self, space: SpaceSpec, obs: Array) -> np.ndarray:
        seen = observed(space, obs, self.spec.obs_dtype)
        if seen.shape == space.shape:
            return np.asarray(self.apply(self.variables, seen[None]))[0]
        return np.asarray(self.apply(self.variables, seen))

    def _greedy(self, output: np.ndarray) -> np.ndarray:
        """From the output [..., A] to an action on the agent's side, [...] or [..., A]."""
        if self.output == OWN_OUTPUT:
            return output
        if self.spec.continuous:
            return np.tanh(output[..., : self.spec.action_shape[0]])
        if not np.isfinite(output).all():
            raise Diverged(f"the policy of {self.spec.id} gives values that are not finite: its network has diverged")
        return np.asarray(np.argmax(output, axis=-1))
