"""One episode of a policy as a moving picture. Read without importing JAX."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from qtwin.engine.played import EVAL_MAX_STEPS
from qtwin.envs.gymnax_specs import is_minatar
from qtwin.envs.spec import EnvSpec
from qtwin.errors import Refusal, nearest
from qtwin.interrupts import poll
from qtwin.storage.files import staying
from qtwin.types import Array

PILLOW = (".gif", ".webp", ".png")
SUFFIXES = (*PILLOW, ".mp4")
PER_SECOND = 15  # Atari's observations: 60 frames a second, an action for each four
SQUARE = 24  # pixels of one of MinAtar's fields
# MinAtar's objects, one colour for each channel; what is empty is black.
COLOURS = np.array(
    [
        *[(0, 0, 0), (68, 119, 170), (238, 102, 119), (34, 136, 51), (204, 187, 68), (102, 204, 238)],
        *[(170, 51, 119), (187, 187, 187), (221, 136, 0), (255, 255, 255), (136, 204, 170)],
    ],
    np.uint8,
)


def check_video(file: str, spec: EnvSpec) -> None:
    """Refuses a file that cannot be written, and an environment that cannot be drawn."""
    path = Path(file)
    if path.suffix.lower() not in SUFFIXES:
        raise Refusal(f"--video writes {', '.join(SUFFIXES)}, not '{file}'{nearest(path.suffix, SUFFIXES)}")
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise Refusal(f"--video {file} names a place where no file can be written; write for example episode.gif")
    if path.suffix.lower() == ".mp4" and not importlib.util.find_spec("imageio_ffmpeg"):
        raise Refusal(
            f"--video {file} needs imageio with ffmpeg, which is not installed; write pip install 'qtwin[video]', or"
            f" --video {path.with_suffix('.gif')}"
        )
    home, _, name = spec.id.partition(":")
    if home == "gym":
        from qtwin.envs.gym_envs import draws

        with staying():
            drawn = draws(name)
        if not drawn:
            raise Refusal(f"{spec.id} has no render mode 'rgb_array', so it cannot be drawn; leave --video out")
    elif home != "ale" and not is_minatar(spec):
        raise Refusal(
            f"{spec.id} cannot be drawn; leave --video out, or where Gymnasium has the same environment write for"
            " example --env gym:CartPole-v1"
        )


def film(
    spec: EnvSpec, act: Callable[[Array], Array], protocol: str, seed: int, limit: int = EVAL_MAX_STEPS
) -> tuple[Iterator[Array], float]:
    """One episode, played and then drawn.

    Args:
      spec: an environment that `check_video` takes.
      act: ``obs [1, *obs_shape] -> action [1]``.
      protocol: of an Atari game, as of `qtwin.envs.ale_envs.AleMaker`.
      seed: of the episode.
      limit: steps after which the episode is cut; an Atari game's protocol has its own.

    Returns:
      pictures [H, W, 3] uint8, each to be read once, and how many of them make a second.
    """
    home, _, name = spec.id.partition(":")
    if home == "ale":
        return _atari(spec, act, protocol, seed), PER_SECOND
    if home == "gym":
        from qtwin.envs.guard import Guarded
        from qtwin.envs.gym_envs import gym_env

        env = gym_env(name, 1, render_mode="rgb_array")
        return _pictures(Guarded(env), act, seed, limit, lambda obs: env.render()), float(env.frames_per_second)
    from qtwin.envs.make import host_env

    return _pictures(host_env(spec)(1), act, seed, limit, lambda obs: squares(obs[0])), PER_SECOND


def write(file: str, pictures: Iterator[Array], per_second: float) -> int:
    """Writes a moving picture; returns the number of its pictures.

    Args:
      file: its suffix, one of ``SUFFIXES``, says how.
      pictures: [H, W, 3] uint8.
      per_second: how many of them make a second.
    """
    count = 0

    def counted() -> Iterator[Array]:
        nonlocal count
        for picture in pictures:
            count += 1
            yield picture

    if Path(file).suffix.lower() == ".mp4":
        import imageio

        with imageio.get_writer(file, fps=per_second, macro_block_size=2) as out:
            for picture in counted():
                out.append_data(picture)
        return count
    from PIL import Image

    images = (Image.fromarray(picture) for picture in counted())
    next(images).save(file, save_all=True, append_images=images, duration=round(1000 / per_second), loop=0)
    return count


def squares(obs: Array) -> Array:
    """MinAtar's observation [10, 10, C] bool as a picture [240, 240, 3]; of several objects the last channel's."""
    channels = np.arange(1, obs.shape[-1] + 1)
    return COLOURS[(obs * channels).max(axis=-1)].repeat(SQUARE, axis=0).repeat(SQUARE, axis=1)


def _pictures(
    env, act: Callable[[Array], Array], seed: int, limit: int, draw: Callable[[Array], Array]
) -> Iterator[Array]:
    try:
        obs = env.reset(seed)
        for _ in range(limit):
            yield draw(obs)
            poll()
            obs, outcome, _ = env.step(act(obs))
            if outcome.last[0]:
                return
    finally:
        env.close()


def _atari(spec: EnvSpec, act: Callable[[Array], Array], protocol: str, seed: int) -> Iterator[Array]:
    """What the agent sees is grey and small. So the game is played twice from the same seed: to learn the actions, and
    with them again on the emulator's own screen, as it shows after each action.
    """
    from qtwin.envs.ale_envs import AleMaker, chance_of, vector_of

    env, actions = AleMaker(spec, protocol).evaluation(1), []
    obs, over = env.reset(seed), False
    while not over:
        obs, outcome, _ = env.step(act(obs))
        actions.append(env.executed)
        over = outcome.last[0]
    screen = vector_of(spec, 1, env.play, grayscale=False, stack_num=1, maxpool=False, img_height=210, img_width=160)
    shown, _ = screen.reset(seed=chance_of(seed, 1)[0])
    for action in actions:
        yield shown[0, 0]
        shown, *_ = screen.step(action)
