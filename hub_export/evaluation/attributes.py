"""AttributeNetwork: a small convolutional network that reads attributes off pictures; its folder's reader and writer.

config.json          what it takes, the strides, and for each attribute its name, mean, std, R2 and whether it says who
                     a person is; sha256 of the weights
model.safetensors    fp16: conv0 ... conv5 (3x3, padding 1, ReLU after each), fc (ReLU: these are the features), out
An output is (value - mean) / std. examples/demo_generator/attributes.py trains one; "heads-attributes" is bundled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from safetensors.torch import save
from torch import Tensor, nn

from eigan.errors import FitError, PackFormatError
from eigan.format import stated_format, write_folder
from eigan.pack import MAX_NAME, MAX_TEXT
from eigan.plain_files import read_plain
from eigan.readers.safetensors import CONFIG, WEIGHTS, check_header, read_weights
from eigan.strict_json import StrictModel, dump_json, parse_model
from hub_export.metrics import MAX_ATTRIBUTES, Name

FORMAT = "eigan-attributes"
MAX_CONFIG_BYTES = 2**20
MAX_WEIGHT_BYTES = 64 * 2**20
MAX_WIDTH = 4096  # channels of a map, features
Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
MIN_R2 = 0.5  # below it an attribute is read too badly to score with


class Attribute(StrictModel):
    """One output. r2: how well it is read on held-out pictures; 1 exactly, 0 no better than its mean.

    identity: whether it says who a person is, and should stay while everything else is edited.
    """

    name: Name
    mean: float
    std: Annotated[float, Field(gt=0)]
    r2: Annotated[float, Field(le=1)]
    identity: bool = False


class Input(StrictModel):
    """Square pictures (N, 3, size, size), red, green, blue in [low, high]."""

    size: Annotated[int, Field(ge=8, le=512)]
    channels: Literal["RGB"] = "RGB"
    low: Literal[-1] = -1
    high: Literal[1] = 1


class NetworkConfig(StrictModel):
    """config.json. strides: of each convolution. generators: fingerprints of those whose pictures it was made for."""

    format: Literal["eigan-attributes"] = "eigan-attributes"
    format_version: Literal[1] = 1
    name: Name
    description: Annotated[str, Field(max_length=MAX_TEXT)] = ""
    license: Annotated[str, Field(max_length=MAX_NAME)] = ""
    input: Input
    strides: Annotated[list[Annotated[int, Field(ge=1, le=4)]], Field(min_length=1, max_length=32)]
    generators: Annotated[list[Hex], Field(max_length=100)] = Field(default_factory=list)
    attributes: Annotated[list[Attribute], Field(min_length=1, max_length=MAX_ATTRIBUTES)]
    sha256: Hex


class AttributeNetwork(nn.Module):
    """Convolutions and two linear layers: pictures (N, 3, S, S) in [-1, 1] -> standardised attributes (N, K), float32.

    widths: output channels of each convolution; strides: of each.
    """

    r2: Tensor

    def __init__(
        self, num_attributes: int, widths: Sequence[int], strides: Sequence[int], num_features: int, size: int = 64
    ):
        super().__init__()
        self.size, self.strides = size, tuple(strides)
        channels = 3
        for i, (width, stride) in enumerate(zip(widths, strides, strict=True)):
            self.add_module(f"conv{i}", nn.Conv2d(channels, width, 3, stride, 1))
            channels = width
        self.fc = nn.Linear(channels * last_size(size, strides) ** 2, num_features)
        self.out = nn.Linear(num_features, num_attributes)
        self.register_buffer("r2", torch.ones(num_attributes), persistent=False)

    def convolve(self, i: int, x: Tensor) -> Tensor:
        """The feature map after convolution i, of the one before it."""
        return F.relu(self.get_submodule(f"conv{i}")(x))

    def feature_maps(self, images: Tensor, count: int | None = None) -> list[Tensor]:
        """Feature maps after each of the first `count` convolutions, all by default."""
        maps = [images]
        for i in range(len(self.strides) if count is None else count):
            maps.append(self.convolve(i, maps[-1]))
        return maps[1:]

    def features_of(self, last_map: Tensor) -> Tensor:
        """(N, num_features), float32, from the last feature map."""
        return F.relu(self.fc(last_map.float().flatten(1)))

    def features(self, images: Tensor) -> Tensor:
        """(N, num_features), float32: what Fréchet distances and drift are measured in."""
        return self.features_of(self.feature_maps(images)[-1])

    def read(self, last_map: Tensor) -> Tensor:
        """Standardised attributes (N, K), float32, from the last feature map."""
        found: Tensor = self.out(self.features_of(last_map))
        return found

    def forward(self, images: Tensor) -> Tensor:
        return self.read(self.feature_maps(images)[-1])


@dataclass(frozen=True)
class Trained:
    """A network with what its folder says of it."""

    network: AttributeNetwork
    config: NetworkConfig

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(attribute.name for attribute in self.config.attributes)


def last_size(size: int, strides: Sequence[int]) -> int:
    """Side of the last feature map of pictures of side `size`."""
    for stride in strides:
        size = (size - 1) // stride + 1
    return size


def load_attributes(folder: Path) -> Trained:
    """The network in `folder`, float32, CPU, frozen and in evaluation mode.

    Raises:
        PackFormatError: a file is missing, malformed, damaged or too large, or the weights are not those described.
    """
    data = read_plain(folder / CONFIG, MAX_CONFIG_BYTES)
    config = parse_model(NetworkConfig, data, f"{CONFIG} of {folder.name}", MAX_CONFIG_BYTES)
    if len({attribute.name for attribute in config.attributes}) != len(config.attributes):
        raise PackFormatError(f"{folder.name} names an attribute twice; names must differ")
    path = folder / WEIGHTS
    if hashlib.sha256(read_plain(path, MAX_WEIGHT_BYTES)).hexdigest() != config.sha256:
        raise PackFormatError(f"{WEIGHTS} in {folder.name} is not the file that {CONFIG} lists; download it again")
    try:
        check_header(path)
        weights = read_weights(path)
    except (ValueError, OSError) as error:
        raise PackFormatError(f"{WEIGHTS} of {folder.name} cannot be read: {error}") from None
    network = _build(config, weights, folder.name)
    network.r2.copy_(torch.tensor([attribute.r2 for attribute in config.attributes]))
    return Trained(_ready(network), config)


def save_attributes(
    network: AttributeNetwork,
    attributes: Sequence[Attribute],
    folder: Path,
    *,
    name: str,
    license: str = "",
    description: str = "",
    generators: Sequence[str] = (),
) -> None:
    """Write the folder of `network`, whose outputs are `attributes`, in half precision: complete, or not at all.

    Raises:
        FitError: another number of attributes than the network gives.
    """
    if len(attributes) != network.out.out_features:
        raise FitError(f"the network reads {network.out.out_features} attributes; {len(attributes)} were described")
    weights = save({key: value.detach().cpu().half().contiguous() for key, value in network.state_dict().items()})
    config = NetworkConfig(
        name=name,
        description=description,
        license=license,
        input=Input(size=network.size),
        strides=list(network.strides),
        generators=list(generators),
        attributes=list(attributes),
        sha256=hashlib.sha256(weights).hexdigest(),
    )
    files = {CONFIG: dump_json(config.model_dump()), WEIGHTS: weights}
    write_folder(folder, files, replaceable=lambda place: stated_format(place / CONFIG) == FORMAT)


def only(network: AttributeNetwork, chosen: Sequence[int]) -> AttributeNetwork:
    """A copy of `network` that reads the chosen outputs alone, in that order."""
    weights = {key: value.detach().clone() for key, value in network.state_dict().items()}
    weights |= {key: weights[key][list(chosen)] for key in ("out.weight", "out.bias")}
    copy = shaped_like(weights, network.strides, network.size)
    copy.load_state_dict(weights)
    copy.r2.copy_(network.r2[list(chosen)])
    return _ready(copy)


def shaped_like(weights: Mapping[str, Tensor], strides: Sequence[int], size: int) -> AttributeNetwork:
    """An unfilled network whose parameters have the shapes of `weights`. Raises KeyError when one is missing."""
    widths = [len(weights[f"conv{i}.bias"]) for i in range(len(strides))]
    return AttributeNetwork(len(weights["out.bias"]), widths, strides, len(weights["fc.bias"]), size)


def _build(config: NetworkConfig, weights: Mapping[str, Tensor], folder: str) -> AttributeNetwork:
    """The network that `config` describes, filled. Widths are bounded before anything is allocated."""
    wanted = [f"{layer}.{kind}" for layer in _layers(config) for kind in ("weight", "bias")]
    if sorted(weights) != sorted(wanted):
        raise PackFormatError(f"{WEIGHTS} of {folder} holds other tensors than {CONFIG} describes")
    widest = max(max((*weights[f"{layer}.bias"].shape, 1)) for layer in _layers(config))
    if widest > MAX_WIDTH or any(weights[f"{layer}.bias"].ndim != 1 for layer in _layers(config)):
        raise PackFormatError(f"{WEIGHTS} of {folder} has layers of {widest:,} outputs; at most {MAX_WIDTH:,} are read")
    with torch.device("meta"):
        network = shaped_like(weights, config.strides, config.input.size)
    for key, tensor in network.state_dict().items():
        if weights[key].shape != tensor.shape or not bool(weights[key].isfinite().all()):
            raise PackFormatError(
                f"{key} of {folder} is {tuple(weights[key].shape)} or not finite; wanted {tuple(tensor.shape)}"
            )
    if network.out.out_features != len(config.attributes):
        raise PackFormatError(
            f"{folder} reads {network.out.out_features} attributes and names {len(config.attributes)}"
        )
    network.load_state_dict(dict(weights), assign=True)
    network.r2 = torch.ones(len(config.attributes))
    return network


def _ready(network: AttributeNetwork) -> AttributeNetwork:
    """Frozen, in evaluation mode, its convolutions laid out as CPUs want them."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network.eval().requires_grad_(False)


def _layers(config: NetworkConfig) -> list[str]:
    return [*(f"conv{i}" for i in range(len(config.strides))), "fc", "out"]
