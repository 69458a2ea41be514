"""qtwin's SimSiam with the networks of ``torch_siamese.py``, on views that are there already or made in the step."""

from __future__ import annotations

import argparse
import dataclasses

from common import arguments, before_jax, begun, report, timed

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")
FIRST = 5  # gradient steps before the clock starts


def parser() -> argparse.ArgumentParser:
    parser = arguments(__doc__, 20_000, "siamese/speed_siamese.py")
    parser.add_argument("--encoder", default="conv:16,32,64")
    parser.add_argument("--augment", action="store_true", help="make the views in the step; else they are given")
    parser.add_argument("--threads", action="store_true", help="XLA's default flags, with more than one thread")
    return parser


def main() -> None:
    args = begun(parser(), {"jax": "jax"}, 128)
    before_jax(None if args.threads else "--xla_cpu_multi_thread_eigen=false")
    import jax
    import numpy as np

    from qtwin.engine.fused import fused
    from qtwin.request.siamese_defaults import defaults_for
    from qtwin.run.siamese.train import method_of, nowhere
    from qtwin.siamese.data import scattered_digits
    from qtwin.siamese.views import Views

    images = scattered_digits().train
    config = dataclasses.replace(defaults_for("simsiam", "digits"), encoder=args.encoder)
    if args.smoke:
        config = dataclasses.replace(config, encoder="conv:4", projector="8,8", batch=32)
    algorithm = method_of(images, config)
    if not args.augment:

        def given(gallery, key, step):
            rows = jax.random.permutation(key, len(images))[: 2 * config.batch]
            first, second = gallery.images[rows[: config.batch]], gallery.images[rows[config.batch :]]
            return Views(first, second)

        algorithm = algorithm._replace(replay=algorithm.replay._replace(sample=given, sample_at=None))
    engine = fused(algorithm, nowhere(), 1, jax.devices()[:1])
    state = jax.block_until_ready(engine.advance(engine.init([0]), FIRST))
    steps = max(1, args.transitions // config.batch)
    out = []
    seconds = timed(lambda: out.append(jax.block_until_ready(engine.advance(state, steps))))
    report(
        f"qtwin SimSiam, {config.encoder}", steps * config.batch, seconds, PACKAGES,
        loss=float(np.asarray(out[0].tally.loss)[0]) / (steps + FIRST), unit="images",
    )  # fmt: skip


if __name__ == "__main__":
    main()
