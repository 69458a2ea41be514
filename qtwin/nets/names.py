"""The names of networks, checked without importing JAX."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from qtwin.errors import Refusal, nearest
from qtwin.types import HandedIn, stands_alone

if TYPE_CHECKING:
    from qtwin.envs.spec import EnvSpec

NAMES = {
    "table": "one value per state and action (discrete observations)",
    "linear": "linear in the observation",
    "mlp:WIDTH,WIDTH,...": "fully connected layers with ReLU, for example mlp:120,84; options: +layernorm,"
    " +batchnorm or"
    " +batchrenorm, +dropout=P (mlp:256,256+layernorm+dropout=0.01), +layernorm=whole (without scale and bias, Elsayed"
    " 2024) and +leaky (leaky ReLU)",
    "minatar": "Young & Tian 2019: a 3x3 convolution of 16 filters, then 128 units (image observations); +layernorm"
    " normalises the filters at each position, +layernorm=whole the whole layer; +leaky as above",
    "nips": "Mnih et al. 2013: two convolutions, then 256 units (images of at least 20x20), a third of nature's cost",
    "nature": "Mnih et al. 2015: three convolutions, then 512 units (images of at least 36x36); +bfloat16 computes the"
    " hidden layers in bfloat16, for accelerators",
    "impala": "Espeholt et al. 2018: three stages of residual blocks, then 256 units (images); impala:2 has twice the"
    " filters; +bfloat16 as above",
    "NET+duelling": "duelling heads: separate last layers for the state value and the action advantages (Wang 2016):"
    " nature+duelling",
    "NET+noisy": "noisy last layers for exploration, with initial noise 0.5, or +noisy=SIGMA (Fortunato 2018):"
    " mlp:256,256+duelling+noisy",
}
WHOLE = "layernorm=whole"
SPARSE = 0.9  # of a unit's inputs without a weight where layers begin sparse
KINDS = ("table", "linear", "mlp", "minatar", "nips", "nature", "impala")
# The convolutions' filters, sizes and strides, and the units after them.
LAYERS = {
    "nips": (((16, 8, 4), (32, 4, 2)), 256),  # Mnih et al. (2013), section 4.1
    "nature": (((32, 8, 4), (64, 4, 2), (64, 3, 1)), 512),  # Mnih et al. (2015), methods
}
SMALLEST = {"nips": 20, "nature": 36, "impala": 8}  # the least height and width of an image
MANY_CHANNELS = 16  # a last axis longer than this is hardly one of channels, where the first axis is short
NORMS = ("layernorm", WHOLE, "batchnorm", "batchrenorm")
HEADS = ("duelling", "noisy")


class NetName(NamedTuple):
    """A network's name, read.

    Attributes:
      kind: a key of ``KINDS``.
      widths: of the hidden layers, of an "impala" the one factor of its filters; () for the others.
      norm: what stands in every hidden layer before its ReLU (batch norms: before each layer); "" is nothing. With
        ``WHOLE`` that is a layer norm over all that a layer gives for an observation, without scale and bias.
      leaky: of hidden layers the ReLU lets a hundredth of what is negative through.
      dropout: the probability that a hidden unit is dropped while learning.
      dtype: that "nips", "nature" and "impala" compute their hidden layers in; parameters are float32 in any case.
      duelling: the last hidden layer and the output stand twice, for a state's value and for its actions' advantages.
      noisy: sigma_0 of the noise in those layers, None where there is none.
    """

    kind: str
    widths: tuple[int, ...] = ()
    norm: str = ""
    leaky: bool = False
    dropout: float = 0.0
    dtype: str = "float32"
    duelling: bool = False
    noisy: float | None = None

    @property
    def headed(self) -> bool:
        """Do the last hidden layer and the output form a head of another kind than one layer after another?"""
        return self.duelling or self.noisy is not None


def parse(name: str, env: EnvSpec) -> NetName:
    """Reads a network's name for an environment.

    Raises:
      Refusal: an unknown name, or a network that cannot take the environment's observations.
    """
    if isinstance(name, HandedIn):
        return NetName("own", noisy=None if getattr(name.thing, "noisy", None) is None else 1.0)
    if stands_alone(name):
        raise Refusal(
            f"'{name}' is the name of a network that was handed in from Python; hand it in again, as net=..., or write"
            " the name of one of qtwin's own (qtwin list nets)"
        )
    plain, *layers = name.split("+")
    kind, colon, rest = plain.partition(":")
    if kind not in KINDS:
        raise Refusal(f"unknown network '{name}'{nearest(kind, KINDS)}")
    if kind not in ("table", "linear", "mlp") or env.obs_dtype == "uint8":
        _check_axes(env)
    if kind in ("linear", "mlp") and env.obs_dtype == "uint8" and len(env.obs_shape) == 3:
        raise Refusal(
            f"the network '{kind}' is not for images, and {env.id} has image observations, {list(env.obs_shape)} of"
            f" bytes; write --net nature, or --net impala, or pass a network of your own"
        )
    if kind == "mlp":
        parts = rest.split(",") if rest else []
        if not parts or not all(part.strip().isdigit() and int(part) > 0 for part in parts):
            raise Refusal(f"an MLP is written mlp:WIDTH,WIDTH,... with whole numbers, not '{name}'; write mlp:120,84")
        return _with_layers(name, layers, NetName(kind, tuple(int(part) for part in parts)), env)
    if kind in SMALLEST:
        return _of_images(name, kind, rest, layers, env)
    if colon or (layers and kind != "minatar"):
        raise Refusal(f"the network '{kind}' takes no arguments or options, got '{name}'; write {kind}")
    if kind == "table" and env.num_states is None:
        raise Refusal(
            f"the network 'table' needs discrete observations, and {env.id} gives {list(env.obs_shape)} of"
            f" {env.obs_dtype}; write --net linear or --net mlp:120,84"
        )
    if kind == "minatar" and (len(env.obs_shape) != 3 or min(env.obs_shape[:2]) < 3):
        raise Refusal(
            f"the network 'minatar' needs an image observation of at least 3x3, and {env.id} gives"
            f" {list(env.obs_shape)}; write --net mlp:120,84"
        )
    if env.continuous and kind == "table":
        raise Refusal(
            f"the network 'table' gives one value per action, and the actions of {env.id} are continuous; write"
            " --net mlp:256,256"
        )
    return _with_layers(name, layers, NetName(kind), env)


def channels_first(shape: tuple[int, ...]) -> bool:
    """Do three axes look like channels, height, width, where an image has height, width, channels?

    The first is short and the others are not, and are not far from each other: (4, 84, 84), (12, 64, 64), (3, 66, 200).
    Few environments have an image of at most 4 pixels' height, or of a third of its width with as many channels as
    pixels in a row; small grids with channels (4, 4, 16) and planes of board games (8, 8, 119) are none of this.
    """
    if len(shape) != 3 or min(shape[1:]) <= MANY_CHANNELS:
        return False
    first, short, long = shape[0], min(shape[1:]), max(shape[1:])
    return first <= 4 or (3 * first <= short and long < 2 * short)


def _check_axes(env: EnvSpec) -> None:
    """Refuses images whose channels come first, which a convolution would read as a height of 3 or 4 pixels.

    Only those of environments in Python, which are made by others; a policy that is read back has no engine of its own,
    and one of an earlier version acts as it was trained.
    """
    if env.engine == "hosted" and channels_first(env.obs_shape):
        channels, height, width = env.obs_shape
        raise Refusal(
            f"images have the shape [height, width, channels], and {env.id} gives {list(env.obs_shape)}, which looks"
            f" like"
            f" [channels, height, width]; move the first axis to the end, to [{height}, {width}, {channels}], with"
            " gymnasium.wrappers.TransformObservation(env, lambda obs: np.moveaxis(obs, 0, -1), space) and hand it to"
            " from_vector"
        )


def _of_images(name: str, kind: str, rest: str, layers: list[str], env: EnvSpec) -> NetName:
    shape, least = env.obs_shape, SMALLEST[kind]
    if len(shape) != 3 or min(shape[:2]) < least:
        small = "minatar" if len(shape) == 3 and min(shape[:2]) >= 3 else "mlp:120,84"
        raise Refusal(
            f"the network '{kind}' needs images of at least {least}x{least}, and {env.id} gives {list(shape)}; write"
            f" --net {small}"
        )
    if (kind != "impala" and rest) or (rest and not (rest.isdigit() and int(rest) > 0)):
        takes = "takes no arguments" if kind != "impala" else "takes a whole number as its width factor"
        raise Refusal(f"the network '{kind}' {takes}, got '{name}'; write {kind}")
    odd = [layer for layer in layers if layer.partition("=")[0] not in ("bfloat16", *HEADS)]
    if odd or layers.count("bfloat16") > 1:
        raise Refusal(
            f"the network '{kind}' takes only the options +bfloat16, +duelling and +noisy, got '{name}'; write {kind}"
        )
    widths = () if kind != "impala" else (int(rest or 1),)
    plain = NetName(kind, widths, dtype="bfloat16" if "bfloat16" in layers else "float32")
    return _with_layers(name, [layer for layer in layers if layer != "bfloat16"], plain, env)


def _with_layers(name: str, layers: list[str], plain: NetName, env: EnvSpec) -> NetName:
    norm, dropout, noisy = "", 0.0, None
    images = plain.kind != "mlp"
    for layer in layers:
        word, _, value = layer.partition("=")
        if word == "dropout":
            try:
                dropout = float(value)
            except ValueError:
                dropout = -1.0
            if not 0.0 <= dropout < 1.0:
                raise Refusal(
                    f"dropout is a probability of at least 0 and below 1, not '{layer}' as in '{name}'; write"
                    " +dropout=0.01"
                )
        elif word == "noisy":
            noisy = _sigma(layer, value or ("0.5" if layer == word else ""), name)
        elif layer in ("duelling", "leaky"):
            continue
        elif layer in NORMS and not norm:
            norm = layer
        elif layer in NORMS:
            raise Refusal(f"a network has one kind of normalisation, and '{name}' names two; leave one of them out")
        else:
            raise Refusal(
                f"unknown layer '{layer}' in '{name}'{nearest(layer, [*NORMS, *HEADS, 'leaky', 'dropout=0.01'])}"
            )
    found = plain._replace(
        norm=norm, leaky="leaky" in layers, dropout=dropout, duelling="duelling" in layers, noisy=noisy
    )
    if env.continuous and found.headed:
        raise Refusal(
            f"+duelling and +noisy need discrete actions, and those of {env.id} are continuous; leave them out"
        )
    if (images or found.headed) and (dropout or norm.startswith("batch")):
        what = f"the network '{plain.kind}'" if images else "a network with +duelling or +noisy"
        raise Refusal(f"{what} takes +layernorm and neither batch norm nor dropout, but '{name}' came; leave it out")
    return found


def _sigma(layer: str, value: str, name: str) -> float:
    try:
        sigma = float(value)
    except ValueError:
        sigma = -1.0
    if not 0.0 <= sigma < float("inf"):
        raise Refusal(f"+noisy=SIGMA takes a number of at least 0, not '{layer}' as in '{name}'; write +noisy=0.5")
    return sigma


def encoder_choice(name: str, image_shape: tuple[int, ...] | None = None) -> tuple[int, ...]:
    """Reads ``conv:WIDTH,WIDTH,...`` or ``resnet18``; returns the widths of its layers.

    Args:
      name: as written.
      image_shape: what it is to take, [H, W, C]; None where that is not known yet.
    """
    kind, _, rest = name.partition(":")
    if name == "resnet18":
        return 64, 128, 256, 512
    if kind != "conv":
        raise Refusal(f"unknown encoder '{name}'{nearest(kind, ['conv:32,64,128', 'resnet18'])}")
    widths = widths_choice(rest, f"an encoder is written conv:WIDTH,WIDTH,... and '{name}' came; write conv:32,64,128")
    if image_shape is not None and min(image_shape[:2]) < 2 ** (len(widths) - 1):
        raise Refusal(
            f"each of the {len(widths)} layers halves the image, and {image_shape[0]}x{image_shape[1]} is too small"
            f" for that; write fewer, --encoder conv:32,64"
        )
    return widths


def widths_choice(text: str, complaint: str) -> tuple[int, ...]:
    """Reads ``128,128``; refuses with ``complaint``."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise Refusal(complaint)
    return tuple(int(part) for part in parts)
