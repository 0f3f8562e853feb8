"""Files of directions against what their own tools did with them: GANSpace, InterFaceGAN, LatentCLR."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from eigan.direction_model import DirectionModel
from eigan.edit import move
from eigan.generators.base import Generator
from eigan.generators.stylegan2 import StyleGAN2
from eigan.importers import import_directions
from eigan.importers.base import Move, Request, read_numbers
from eigan.importers.containers import open_file
from eigan.importers.ganspace import read as read_components
from eigan.importers.latentclr import model_state, read_model
from eigan.layers import LayerRange
from eigan.pack import Direction, DirectionPack
from eigan.targets import project, set_coordinate
from tests.parity.check import Expected
from tests.toys import toy_generator

STRIP = re.compile(
    r"(?P<kind>strip(?:_centered)?)\.(?P<tag>.+)\.comp(?P<component>\d+)"
    r"\.L(?P<first>\d+)-(?P<stop>\d+)\.sigma(?P<reach>[\d.]+)"
)


def check_ganspace(case: Expected) -> None:
    generator = Expected(case.folder / Path(case.meta["generator"]).parent).load()
    for item in case.meta["items"]:
        path = case.folder / item["file"]
        if "arrays" in item:
            check_components(case, path, item["tag"], generator)
        elif "edit" in item:
            check_edit(case, path, item["edit"], generator)
        else:
            check_colab(case, path, item["note"], generator)


def check_components(case: Expected, path: Path, tag: str, generator: Generator) -> None:
    """Every array bit for bit, and both kinds of strip, from the directions as imported."""
    with open_file(path) as file:
        for name in case.names(f"npz.{tag}"):
            actual = read_numbers(file.value[name.removeprefix(f"npz.{tag}.")], name)
            torch.testing.assert_close(actual, case[name], atol=0, rtol=0)  # "exact"
        contents = read_components(file, Request(generator))
    latents, mean = case[f"lat.{tag}"], case[f"npz.{tag}.lat_mean"][0]
    if contents.space == generator.code_space:
        pack = import_directions(path, generator)
        assert pack.made_for.fingerprint == generator.fingerprint
        directions = list(pack)
    else:  # components of z, which this generator is not edited in: the moves themselves
        directions = [by_hand(m, generator.num_layers) for m in contents.moves]
    for name in (n for n in case.names("strip") + case.names("strip_centered") if f".{tag}." in n):
        match = STRIP.fullmatch(name)
        assert match is not None
        base = latents[:1, None].repeat(1, generator.num_layers, 1)
        codes = strip(match, directions[int(match["component"])], base, mean)
        case.compare(name, codes, "wplus")
        picture = f"image.{match['kind']}.{tag}.comp{match['component']}"
        if picture in case.tensors:
            case.compare(picture, generator.synthesis(codes), "image")


def strip(match: re.Match[str], direction: Direction, codes: Tensor, mean: Tensor) -> Tensor:
    layers = LayerRange(int(match["first"]), int(match["stop"]))
    here = Direction(direction.name, direction.vector, direction.sigma, layers)
    reach = float(match["reach"])
    frames = torch.linspace(-reach, reach, 3).tolist()
    if match["kind"] == "strip_centered":
        return torch.cat([set_coordinate(codes, here, amount, mean) for amount in frames])
    return torch.cat([move(codes, here, amount) for amount in frames])


def by_hand(found: Move, num_layers: int) -> Direction:
    """A move as it stands in the file, whose unit is the length of the vector."""
    assert found.sigma is None
    return Direction(found.name, found.vector, 1.0, LayerRange(0, num_layers))


def check_edit(case: Expected, path: Path, fields: dict[str, object], generator: Generator) -> None:
    """The preset of an exported edit; at psi 1, for the official codes were not truncated."""
    pack = import_directions(path, generator, truncation_psi=1.0)
    (direction,), (preset,) = pack.directions, pack.presets
    assert direction.name == fields["name"]
    assert (direction.layers.start, direction.layers.stop) == (fields["edit_start"], fields["edit_end"])
    assert preset.amounts == {direction.name: fields["sigma_range"]}
    truncation = fields["truncation"]
    assert isinstance(truncation, float)
    tuned = import_directions(path, generator).presets[0].amounts[direction.name]
    assert tuned == torch.tensor(preset.amounts[direction.name]).double().item() * truncation
    latents = case["lat.ipca.style"][:1, None].repeat(1, generator.num_layers, 1)
    codes = pack.edit(preset.amounts).apply(latents)
    index = fields["component_index"]
    case.compare(f"edit.{index}.wplus", codes, "wplus")
    case.compare(f"image.edit.{index}", generator.synthesis(codes), "image")


def check_colab(case: Expected, path: Path, note: str, generator: Generator) -> None:
    """A raw direction: one sigma, as measured, moves the codes by as much."""
    pack = import_directions(path, generator)
    component = re.search(r"lat_comp\[(\d+)\]", note)
    assert component is not None
    wanted = case["npz.ipca.style.lat_comp"][int(component[1]), 0]
    torch.testing.assert_close(pack.directions[0].vector, wanted, atol=1e-6, rtol=0)
    stdev = case["npz.ipca.style.lat_stdev"][int(component[1])]
    torch.testing.assert_close(torch.tensor(pack.directions[0].sigma), stdev, atol=0, rtol=0.05)


def check_interfacegan(case: Expected) -> None:
    """Boundaries, conditional ones too, and both of its kinds of interpolation."""
    wp, z = case["wp"], case["z"]
    generator = toy_of(z.shape[1], wp.shape[1])
    found: dict[str, Direction] = {}
    for name in case.names("boundary"):
        attribute = name.removeprefix("boundary.")
        # "smile" ends "age_c_smile" too: the shortest name is the attribute's own
        path = min(case.folder.glob(f"boundaries/*_{attribute}_boundary.npy"), key=lambda p: len(p.name))
        (direction,) = import_directions(path, generator, space="w")
        found[attribute] = direction
        case.compare(name, direction.vector[None].to(case[name]), "default")
    for attribute, direction in found.items():
        base, *conditions = attribute.split("_c_")
        if conditions:
            made = project(found[base], [found[c] for c in conditions[0].split("_")])
            torch.testing.assert_close(made.vector, direction.vector, atol=1e-5, rtol=1e-5)
        distances = torch.linspace(-3, 3, len(case[f"interp2d.{attribute}"])).tolist()
        for kind, codes, absolute in (("interp2d", z[:, None], True), ("interp3d", wp, False)):
            name = f"{kind}.{attribute}"
            here = Direction(attribute, direction.vector, direction.sigma, LayerRange(0, codes.shape[1]))
            amounts = [distance / here.sigma for distance in distances]  # raw distances in sigmas
            move_by = set_coordinate if absolute else move
            moved = torch.cat([move_by(codes, here, amount) for amount in amounts])
            case.compare(name, (moved[:, 0] if absolute else moved).to(case[name]), "default")


def check_latentclr(case: Expected) -> None:
    """The model itself, as imported: all directions, single ones, and a walk that asks again after each step; and edits
    of the pack that it becomes, saved and loaded.
    """
    with open_file(case.checkpoint) as file:
        state = model_state(file)
        assert state is not None
        model = read_model(state)
    z, normalize = case["z"], case.meta["normalize"]
    for name in case.names("forward"):
        case.compare(name, model.forward(z, after(name, "a"), normalize=normalize), "default")
    for name in case.names("single"):
        k = int(after(name, "k"))
        case.compare(name, model.single(z, k, after(name, "a"), normalize=normalize), "default")
    for name in (n for n in case.tensors if n.startswith("iter")):
        case.compare(name, walk(model, z[:1], name, normalize), "default")
    generator = toy_of(z.shape[1], 8)
    pack = import_directions(case.checkpoint, generator)
    assert len(pack) == model.count and pack.method["model"] == model.kind
    if model.fixed is None:
        assert all(0 < d.metrics["mean_cosine"] <= 1 and d.model is not None for d in pack)
    assert normalize, "a slider moves by unit vectors"
    with TemporaryDirectory() as folder:
        pack.save(Path(folder) / "pack")
        check_edits(case, DirectionPack.load(Path(folder) / "pack"), z)


def check_edits(case: Expected, pack: DirectionPack, z: Tensor) -> None:
    """Edits of alpha / sigma are the official outputs, on every layer; asked again after each, they are its walk."""
    codes = z[:, None].repeat(1, pack.made_for.num_layers, 1)
    for name in case.names("single"):
        direction = pack.directions[int(after(name, "k"))]
        moved = (direction * (after(name, "a") / direction.sigma)).apply(codes)
        for layer in range(pack.made_for.num_layers):
            case.compare(name, moved[:, layer], "default")
    for name in (n for n in case.tensors if n.startswith("iter")):
        direction, moved = pack.directions[int(after(name, "k"))], codes[:1]
        for _ in range(num_steps(name)):
            moved = (direction * (after(name, "a") / direction.sigma)).apply(moved)
        case.compare(name, moved[:, 0], "default")


def walk(model: DirectionModel, z: Tensor, name: str, normalize: bool) -> Tensor:
    for _ in range(num_steps(name)):
        z = model.single(z, int(after(name, "k")), after(name, "a"), normalize=normalize)
    return z


def num_steps(name: str) -> int:
    """The number after 'iter'."""
    steps = re.match(r"iter(\d+)", name)
    assert steps is not None
    return int(steps[1])


def after(name: str, letter: str) -> float:
    """The number after '.a' or '.k' in a tensor's name."""
    match = re.search(rf"\.{letter}(-?\d+(?:\.\d+)?)", name)
    assert match is not None
    return float(match[1])


def toy_of(dim: int, num_layers: int) -> StyleGAN2:
    """A small generator whose w has `dim` numbers, on `num_layers` layers."""
    generator = toy_generator()
    resolution = 2 ** ((num_layers + 2) // 2)
    config = {**generator.config(), "z_dim": dim, "w_dim": dim, "resolution": resolution}
    made = StyleGAN2.from_config({**config, "channels": {2**i: 8 for i in range(2, resolution.bit_length())}})
    made.initialize(torch.Generator().manual_seed(0))
    return made.eval().requires_grad_(False)
