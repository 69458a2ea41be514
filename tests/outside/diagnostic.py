"""How sure the policy is: by how much the best action's value exceeds the second best one's."""

from __future__ import annotations

import qtwin


def margin(agent, twin, batch):
    """The mean over the probe states. -> []"""
    import jax.numpy as jnp

    q = jnp.sort(agent.values(twin.online, batch.obs), axis=-1)
    return jnp.mean(q[:, -1] - q[:, -2])


RECORD = qtwin.MeasureInfo(
    "margin",
    about="the best action's value minus the second best one's, mean over the probe states",
    unit="a value",
    needs="values",
    read=margin,
)
qtwin.register(RECORD)
