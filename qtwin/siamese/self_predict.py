"""Self-prediction beside a Q loss: SPR (Schwarzer et al. 2021, arXiv:2007.05929) and CURL (Laskin et al. 2020,
arXiv:2004.04136), with the encoder shared and a target of its own.

The reference's encoder is the twin's sibling: tied to the online one behind a stop-gradient (SimSiam; SPR with
augmentation), or following it softly (BYOL; SPR without; CURL), while the TD target keeps its own rule.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from qtwin.algorithm import Agent, Algorithm
from qtwin.config.config import Config
from qtwin.config.option_specs import augment_choice, self_predict_choice
from qtwin.config.rates_of import budget
from qtwin.envs.spec import EnvSpec
from qtwin.nets.build import q_network
from qtwin.nets.net import Net
from qtwin.nets.transition import bilinear, latent_model, linear, normed_linear
from qtwin.replay.sequences import Sequences
from qtwin.siamese.augment import shift
from qtwin.siamese.losses import cosine
from qtwin.target_update import specs
from qtwin.twin import Sibling, Twin
from qtwin.types import Array, Aux, Transition, Variables

WIDTH = 128  # of a projection: CURL's, and that of MinAtar's head; SPR's is the first layer of its Q head
SHARPNESS = 0.1  # of CURL's logits, in its released code for Atari


def self_predictive(algorithm: Algorithm, env: EnvSpec, c: Config) -> Algorithm:
    """``algorithm``, a Q-learner of ``c``, with the self-predictive loss that ``c`` names beside its own.

    Its network is the part "q" of a larger one, which acts and is exported as it would be alone.
    """
    choice, inner = self_predict_choice(c), algorithm.agent
    encoder = q_network(env, c.net, c.init, c.normalise)
    beside = Beside(inner, encoder, env, c.init, choice.rolls)
    if choice.rolls:
        loss = Prediction(beside, views(c, env), choice.weight, c.self_predict_steps).loss
    else:
        loss = Contrast(beside, views(c, env), choice.weight).loss

    def act(variables: Variables, obs: Array, epsilon: Array, key: Array) -> Array:
        return inner.act(variables.part("q"), obs, epsilon, key)

    def of_q(function: Callable | None) -> Callable | None:
        return None if function is None else lambda variables, obs: function(variables.part("q"), obs)

    # RATES: the agent's, and the second target's own
    rule = specs.parse(choice.target, budget(c))
    agent = Agent(beside.init, act, loss, of_q(inner.values), of_q(inner.layers))
    return algorithm._replace(agent=agent, target_parts=("q",), sibling=Sibling(("q", "projector"), rule))


@dataclasses.dataclass(frozen=True)
class Beside:
    """NETWORK: the agent's own under "q", and beside it what predicts.

    Attributes:
      inner: the agent.
      encoder: its network, which tells the latents.
      env: what is seen and done.
      initial: how layers begin, as ``Config.init``.
      rolls: latents are rolled ahead by a model (SPR); else compared as they are (CURL).
    """

    inner: Agent
    encoder: Net
    env: EnvSpec
    initial: str
    rolls: bool

    @functools.cached_property  # and not before it is needed: shapes are asked of the network itself
    def nets(self) -> dict[str, Net]:
        """The other networks by name."""

        def encode(key: Array, obs: Array) -> Array:
            return self.encoder.encode(self.inner.init(key), obs)

        obs = jax.ShapeDtypeStruct((1, *self.env.obs_shape), self.env.obs_dtype)
        latent = jax.eval_shape(encode, key_shape(), obs).shape[1:]
        size = math.prod(latent)
        if not self.rolls:
            return {"projector": normed_linear(size, WIDTH, self.initial), "product": bilinear(WIDTH)}
        return {
            "model": latent_model(latent, self.env.num_actions, self.initial),
            "projector": linear(size, WIDTH, self.initial),
            "predictor": linear(WIDTH, WIDTH, self.initial),
        }

    def init(self, key: Array) -> Variables:
        q = self.inner.init(key)  # as it would begin alone
        others = {name: net.init(jax.random.fold_in(key, i)).params for i, (name, net) in enumerate(self.nets.items())}
        return Variables({"q": q.params, **others}, {"q": q.stats} if jax.tree.leaves(q.stats) else {})

    def apply(self, name: str, variables: Variables, inputs) -> Array:
        """What one of the other networks answers."""
        return self.nets[name].apply(variables.part(name), inputs)

    # TARGET: z~ = g_target(f_target(s)), the sibling's encoder and projector, behind a stop-gradient
    def projected(self, variables: Variables, latents: Array) -> Array:
        """g: [B, *latent] -> [B, WIDTH]"""
        return self.apply("projector", variables, latents.reshape(latents.shape[0], -1))

    def latents(self, variables: Variables, obs: Array) -> Array:
        """f: [B, *obs_shape] -> [B, *latent]"""
        return self.encoder.encode(variables.part("q"), obs)

    def joined(
        self, twin: Twin, transition: Transition, key: Array, weight: float, self_loss: Array
    ) -> tuple[Array, Aux]:
        """The agent's own loss on ``transition``, and ``weight`` times the other beside it."""
        q_loss, aux = self.inner.loss(twin.part("q"), transition, key)
        stats = None if aux.stats is None else twin.online.stats_with("q", aux.stats)
        return q_loss + weight * self_loss, aux._replace(stats=stats, self_loss=self_loss)


class Prediction(NamedTuple):
    """LOSS: sum_k -cos(q(g(z^_{t+k})), sg z~_{t+k}) with z^_{t+k+1} = h(z^_{t+k}, a_{t+k}) (SPR, equations 1 to 4).

    Attributes:
      beside: the networks.
      view: ``(key, obs) -> obs``, the augmentation.
      weight: of this loss beside the agent's.
      steps: K, how far ahead.
    """

    beside: Beside
    view: Callable[[Array, Array], Array]
    weight: float
    steps: int

    def loss(self, twin: Twin, batch: Sequences, key: Array) -> tuple[Array, Aux]:
        own = [jax.random.fold_in(key, i) for i in range(3)]
        transition = batch.transition  # the Q loss sees the augmented batch (SPR, section 2.4)
        obs, next_obs = self.view(own[0], transition.obs), self.view(own[1], transition.next_obs)
        transition = transition._replace(obs=obs, next_obs=next_obs)
        return self.beside.joined(twin, transition, key, self.weight, self.prediction(twin, obs, batch, own[2]))

    def prediction(self, twin: Twin, obs: Array, sequences: Sequences, key: Array) -> Array:
        """From ``obs`` [B, *obs_shape], the augmented first ones of the sequences."""
        beside, future = self.beside, self.view(key, flat(sequences.obs[:, 1:]))
        target = beside.projected(twin.sibling, rescaled(beside.latents(twin.sibling, future)))
        z, ahead = rescaled(beside.latents(twin.online, obs)), []
        for k in range(self.steps):
            z = rescaled(beside.apply("model", twin.online, (z, sequences.action[:, k])))
            ahead.append(z)
        projected = beside.projected(twin.online, flat(jnp.stack(ahead, axis=1)))
        similarity = cosine(beside.apply("predictor", twin.online, projected), target).reshape(sequences.mask.shape)
        return -jnp.mean(jnp.sum(similarity * sequences.mask, axis=1))


class Contrast(NamedTuple):
    """Or LOSS: -log exp(q W k_i) / sum_j exp(q W k_j) over the batch, two views of each observation (CURL, equation 4).

    Attributes:
      beside, view, weight: as `Prediction`'s.
    """

    beside: Beside
    view: Callable[[Array, Array], Array]
    weight: float

    def loss(self, twin: Twin, batch: Transition, key: Array) -> tuple[Array, Aux]:
        # The Q loss sees the batch as it is (CURL's released code).
        self_loss = self.contrast(twin, batch.obs, jax.random.fold_in(key, 2))
        return self.beside.joined(twin, batch, key, self.weight, self_loss)

    def contrast(self, twin: Twin, obs: Array, key: Array) -> Array:
        beside, view = self.beside, self.view
        first, second = view(jax.random.fold_in(key, 0), obs), view(jax.random.fold_in(key, 1), obs)
        query = beside.projected(twin.online, beside.latents(twin.online, first))
        keys = beside.projected(twin.sibling, beside.latents(twin.sibling, second))
        logits = SHARPNESS * beside.apply("product", twin.online, query) @ keys.T
        return -jnp.mean(jnp.diagonal(jax.nn.log_softmax(logits, axis=1)))


def views(c: Config, env: EnvSpec) -> Callable[[Array, Array], Array]:
    """``(key, obs [B, *obs_shape]) -> obs``: each moved at random by as much as ``c.augment`` says."""
    pixels = augment_choice(c.augment)
    if not pixels:
        return lambda key, obs: obs
    moved = jax.vmap(shift(pixels))
    return lambda key, obs: moved(jax.random.split(key, obs.shape[0]), obs)


def rescaled(latents: Array) -> Array:
    """Each latent [B, ...] brought to [0, 1], its least number 0 and its greatest 1 (SPR, appendix A).

    A latent whose numbers are all equal becomes 0.
    """
    rows = latents.reshape(latents.shape[0], -1)
    least, most = jnp.min(rows, axis=1, keepdims=True), jnp.max(rows, axis=1, keepdims=True)
    return ((rows - least) / jnp.maximum(most - least, 1e-6)).reshape(latents.shape)


def flat(sequences: Array) -> Array:
    """[B, K, ...] -> [B K, ...]"""
    return sequences.reshape(-1, *sequences.shape[2:])


def key_shape() -> jax.ShapeDtypeStruct:
    """A key, as a shape."""
    return jax.eval_shape(lambda: jax.random.key(0))
