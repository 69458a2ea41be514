"""Action spaces of every kind that an environment may have, drawn at random or by hypothesis."""

import numpy as np
from gymnasium.spaces import Box, Discrete
from hypothesis import strategies as st

FLOATS = (np.float16, np.float32, np.float64)
INTEGERS = (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64)
# Where rounding would show: numbers without an exact form, the ends of types, the least there is.
EDGES = {
    np.float16: (0.1, 65504.0, 6e-8, 1.0, 0.0, 1 / 3),
    np.float32: (0.1, 3.4e38, 1e-45, 1.0, 0.0, 1 / 3, 16777217.0),
    np.float64: (0.1, 3.4e38, 5e-324, 1.0, 0.0, 1 / 3, 0.3, 2.0**53 + 2),
}


def shapes(random):
    return tuple(int(n) for n in random.integers(1, 4, random.integers(0, 4)))


def random_space(random):
    """A `Discrete` or a bounded `Box`, from a numpy generator."""
    if random.random() < 0.3:
        n = int(random.integers(1, 40))
        start = int(
            random.choice([0, random.integers(-50, 50), -(2**63), 2**63 - 1 - n, random.integers(-(2**62), 2**62)])
        )
        return Discrete(n, start=start)
    shape, whole = shapes(random), random.random() < 0.4
    kind = INTEGERS[random.integers(len(INTEGERS))] if whole else FLOATS[random.integers(len(FLOATS))]
    if whole:
        least, most = max(np.iinfo(kind).min, -(2**53)), min(np.iinfo(kind).max, 2**53)
        reach = int(random.choice([1, 10, most // 2, most]))
        ends = random.integers(max(least, -reach), min(most, reach), (2, *shape), endpoint=True)
        if random.random() < 0.2:
            ends[0], ends[1] = least, most
    else:
        ends = random.normal(size=(2, *shape)) * 10.0 ** random.integers(-8, 4, (2, *shape))
        edges = random.choice(EDGES[kind], (2, *shape)) * random.choice([-1, 1], (2, *shape))
        ends = np.where(random.random((2, *shape)) < 0.4, edges, ends)
        if random.random() < 0.1:
            ends[1] = ends[0]
    ends = np.asarray(ends).astype(kind)
    return Box(np.asarray(ends.min(axis=0)), np.asarray(ends.max(axis=0)), shape, kind)


@st.composite
def action_spaces(draw):
    """The same, from hypothesis, which looks for the least one that goes wrong."""
    if draw(st.booleans()):
        n = draw(st.integers(1, 50))
        return Discrete(n, start=draw(st.integers(-(2**63), 2**63 - 1 - n)))
    kind = draw(st.sampled_from((*FLOATS, *INTEGERS)))
    shape = tuple(draw(st.lists(st.integers(1, 3), max_size=3)))
    if kind in FLOATS:
        most = float(np.nextafter(np.float32(3.4028235e38), np.float32(0))) if kind is not np.float16 else 65504.0
        bound = st.floats(-most, most, width=np.dtype(kind).itemsize * 8)
    else:
        bound = st.integers(max(np.iinfo(kind).min, -(2**53)), min(np.iinfo(kind).max, 2**53))
    size = int(np.prod(shape, dtype=int))
    ends = np.array(draw(st.lists(bound, min_size=2 * size, max_size=2 * size)), kind).reshape(2, *shape)
    return Box(np.asarray(ends.min(axis=0)), np.asarray(ends.max(axis=0)), shape, kind)
