"""Self-prediction beside a Q loss: SPR (Schwarzer et al. 2021, arXiv:2007.05929) and CURL (Laskin et al. 2020,
arXiv:2004.04136), with the encoder shared and a target of its own.

The reference's encoder is the twin's sibling: tied to the online one behind a stop-gradient (SimSiam; SPR with
augmentation), or following it softly (BYOL; SPR without; CURL), while the TD target keeps its own rule.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

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
from qtwin.siamese.augment import shift
from qtwin.siamese.losses import cosine
from qtwin.target_update import specs
from qtwin.twin import Sibling, Twin
from qtwin.types import Array, Aux, Variables

WIDTH = 128  # of a projection: CURL's, and that of MinAtar's head; SPR's is the first layer of its Q head
SHARPNESS = 0.1  # of CURL's logits, in its released code for Atari


def self_predictive(algorithm: Algorithm, env: EnvSpec, c: Config) -> Algorithm:
    """``algorithm``, a Q-learner of ``c``, with the self-predictive loss that ``c`` names beside its own.

    Its network is the part "q" of a larger one, which acts and is exported as it would be alone.
    """
    choice, encoder = self_predict_choice(c), q_network(env, c.net, c.init, c.normalise)
    view, inner = views(c, env), algorithm.agent

    # NETWORK: the agent's own under "q", and beside it what predicts
    @functools.cache  # and not before it is needed: shapes are asked of the network itself
    def beside() -> dict[str, Net]:
        obs = jax.ShapeDtypeStruct((1, *env.obs_shape), env.obs_dtype)
        latent = jax.eval_shape(lambda key, o: encoder.encode(inner.init(key), o), key_shape(), obs).shape[1:]
        size = math.prod(latent)
        if not choice.rolls:
            return {"projector": normed_linear(size, WIDTH, c.init), "product": bilinear(WIDTH)}
        return {
            "model": latent_model(latent, env.num_actions, c.init),
            "projector": linear(size, WIDTH, c.init),
            "predictor": linear(WIDTH, WIDTH, c.init),
        }

    def init(key: Array) -> Variables:
        q = inner.init(key)  # as it would begin alone
        others = {name: net.init(jax.random.fold_in(key, i)).params for i, (name, net) in enumerate(beside().items())}
        return Variables({"q": q.params, **others}, {"q": q.stats} if jax.tree.leaves(q.stats) else {})

    def act(variables: Variables, obs: Array, epsilon: Array, key: Array) -> Array:
        return inner.act(variables.part("q"), obs, epsilon, key)

    def apply(name: str, variables: Variables, inputs) -> Array:
        return beside()[name].apply(variables.part(name), inputs)

    # TARGET: z~ = g_target(f_target(s)), the sibling's encoder and projector, behind a stop-gradient
    def projected(variables: Variables, latents: Array) -> Array:
        return apply("projector", variables, latents.reshape(latents.shape[0], -1))

    def latents_of(variables: Variables, obs: Array) -> Array:
        return encoder.encode(variables.part("q"), obs)

    # LOSS: sum_k -cos(q(g(z^_{t+k})), sg z~_{t+k}) with z^_{t+k+1} = h(z^_{t+k}, a_{t+k}) (SPR, equations 1 to 4)
    def prediction(twin: Twin, obs: Array, sequences, key: Array) -> Array:
        future = view(key, flat(sequences.obs[:, 1:]))
        target = projected(twin.sibling, rescaled(latents_of(twin.sibling, future)))
        z, ahead = rescaled(latents_of(twin.online, obs)), []
        for k in range(c.self_predict_steps):
            z = rescaled(apply("model", twin.online, (z, sequences.action[:, k])))
            ahead.append(z)
        predicted = apply("predictor", twin.online, projected(twin.online, flat(jnp.stack(ahead, axis=1))))
        similarity = cosine(predicted, target).reshape(sequences.mask.shape)
        return -jnp.mean(jnp.sum(similarity * sequences.mask, axis=1))

    # or LOSS: -log exp(q W k_i) / sum_j exp(q W k_j) over the batch, two views of each observation (CURL, equation 4)
    def contrast(twin: Twin, obs: Array, key: Array) -> Array:
        first, second = view(jax.random.fold_in(key, 0), obs), view(jax.random.fold_in(key, 1), obs)
        query = projected(twin.online, latents_of(twin.online, first))
        keys = projected(twin.sibling, latents_of(twin.sibling, second))
        logits = SHARPNESS * apply("product", twin.online, query) @ keys.T
        return -jnp.mean(jnp.diagonal(jax.nn.log_softmax(logits, axis=1)))

    def loss(twin: Twin, batch, key: Array) -> tuple[Array, Aux]:
        own = [jax.random.fold_in(key, i) for i in range(3)]
        if choice.rolls:  # the Q loss sees the augmented batch (SPR, section 2.4)
            transition = batch.transition
            transition = transition._replace(
                obs=view(own[0], transition.obs), next_obs=view(own[1], transition.next_obs)
            )
            self_loss = prediction(twin, transition.obs, batch, own[2])
        else:  # and here the batch as it is (CURL's released code)
            transition, self_loss = batch, contrast(twin, batch.obs, own[2])
        q_loss, aux = inner.loss(twin.part("q"), transition, key)
        stats = None if aux.stats is None else twin.online.stats_with("q", aux.stats)
        return q_loss + choice.weight * self_loss, aux._replace(stats=stats, self_loss=self_loss)

    # RATES: the agent's, and the second target's own
    rule = specs.parse(choice.target, budget(c))

    def of_q(function: Callable | None) -> Callable | None:
        return None if function is None else lambda variables, obs: function(variables.part("q"), obs)

    agent = Agent(init, act, loss, of_q(inner.values), of_q(inner.layers))
    return algorithm._replace(agent=agent, twinned=("q",), sibling=Sibling(("q", "projector"), rule))


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
