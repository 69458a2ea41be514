"""Many seeds of one program: spread over devices, and on each of them mapped side by side in lanes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from qtwin.state import TrainState
from qtwin.types import Array, PyTree

SHARED = PartitionSpec()
BY_SEED = PartitionSpec("seed")

# The clock does not depend on the seed, so lanes share it: the conditional on it stays a conditional under vmap.
AXES = TrainState(None, *[0] * (len(TrainState._fields) - 1))


def lanes_for(seeds: int, devices: int, platform: str, shared_clock: bool) -> int:
    """How many of so many seeds run side by side on each device.

    Args:
      seeds, devices: how many there are.
      platform: the devices'. On a CPU each seed has a program of its own.
      shared_clock: of the target's rule (`qtwin.target_update.rules.TargetUpdate`). Without it no two seeds can run
        side by side, for lanes have one clock.
    """
    return 1 if platform == "cpu" or not shared_clock else -(-seeds // devices)


@dataclasses.dataclass(frozen=True)
class Spread:
    """Where the seeds run. A state of all of them has a leading axis of seeds, its clock one of devices.

    Attributes:
      mesh: the devices.
      lanes: seeds on one device, mapped side by side.
    """

    mesh: Mesh
    lanes: int

    @classmethod
    def over(cls, devices: list, lanes: int) -> Spread:
        """Seeds over these devices."""
        return cls(Mesh(np.array(devices), ("seed",)), lanes)

    @property
    def seeds(self) -> int:
        """How many run at a time."""
        return self.mesh.size * self.lanes

    def begin(self, new_state: Callable[[Array], TrainState]) -> Callable[[Array], TrainState]:
        """``keys [seeds] -> state`` of all seeds, each ``new_state(key)``."""

        def on_device(keys: Array) -> TrainState:
            states = jax.vmap(new_state)(keys)
            return states._replace(clock=jax.tree.map(lambda leaf: leaf[:1], states.clock))

        begin = jax.jit(self._spread(on_device, BY_SEED))
        return lambda keys: begin(jax.device_put(keys, NamedSharding(self.mesh, BY_SEED)))

    def program(
        self, function: Callable, others: int, out_axes=AXES, donate: bool = True, by_seed: bool = False
    ) -> Callable:
        """``function`` of one seed's state, for all seeds, compiled.

        Args:
          function: ``(state, *others) -> state``, or any arrays.
          others: how many arguments follow the state.
          out_axes: of what it returns, where lanes are mapped: 0 for arrays of seeds.
          donate: the state is given away.
          by_seed: the others have an axis of seeds too; else all seeds are given the same.
        """
        local = self._in_lanes(function, out_axes, by_seed) if self.lanes > 1 else self._alone(function, by_seed)

        def on_device(state: TrainState, *others: PyTree) -> PyTree:
            out = local(state._replace(clock=_first(state.clock)), *others)
            return out._replace(clock=_as_only(out.clock)) if isinstance(out, TrainState) else out

        in_specs = (BY_SEED, *[BY_SEED if by_seed else SHARED] * others)
        return jax.jit(self._spread(on_device, in_specs), donate_argnums=0 if donate else ())

    def _spread(self, on_device: Callable, in_specs) -> Callable:
        return jax.shard_map(on_device, mesh=self.mesh, in_specs=in_specs, out_specs=BY_SEED, check_vma=False)

    def _in_lanes(self, function: Callable, out_axes, by_seed: bool) -> Callable:
        """``function`` for a device's seeds, mapped side by side; their clock is one."""
        other = 0 if by_seed else None

        def mapped(state: TrainState, *others: PyTree) -> PyTree:
            return jax.vmap(function, in_axes=(AXES, *[other] * len(others)), out_axes=out_axes)(state, *others)

        return mapped

    def _alone(self, function: Callable, by_seed: bool) -> Callable:
        """The same where a device has one seed: no axis is mapped, only taken away and put back."""

        def alone(state: TrainState, *others: PyTree) -> PyTree:
            one = _first(state._replace(clock=()))._replace(clock=state.clock)
            out = function(one, *(_first(others) if by_seed else others))
            if isinstance(out, TrainState):
                return _as_only(out._replace(clock=()))._replace(clock=out.clock)
            return _as_only(out)

        return alone


def _first(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[0], tree)


def _as_only(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[None], tree)
