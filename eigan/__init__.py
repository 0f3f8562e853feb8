"""eigan: sliders for GANs. The public names."""

__version__ = "0.1.0"

from eigan.checkpoint import Checkpoint
from eigan.classes import find_class
from eigan.combine import combine
from eigan.edit import Edit, Slider, overlap
from eigan.errors import (
    CheckpointError,
    EiganError,
    HubError,
    InvalidCodes,
    PackFormatError,
    PackMismatch,
    UnknownArchitecture,
    UnknownName,
    UnsafeCheckpoint,
)
from eigan.generators import ARCHITECTURES
from eigan.generators.base import Generator
from eigan.importers import import_directions
from eigan.latent_files import Latent, read_latent, write_latent
from eigan.latents import seeded_z
from eigan.layers import LayerRange
from eigan.pack import Direction, DirectionPack, Preset
from eigan.pose import Pose
from eigan.recipe import PictureRecipe, read_png, write_png
from eigan.render import Renderer, grid, strip
from eigan.reproduce import draw, recipe_codes, recipe_edit, seed_codes
from eigan.sources import bundled_generators, bundled_packs, generator_for, load_generator, load_pack
from eigan.targets import keep, project, set_coordinate

__all__ = [
    "ARCHITECTURES",
    "Checkpoint",
    "CheckpointError",
    "Direction",
    "DirectionPack",
    "Edit",
    "EiganError",
    "Generator",
    "HubError",
    "InvalidCodes",
    "Latent",
    "LayerRange",
    "PackFormatError",
    "PackMismatch",
    "PictureRecipe",
    "Pose",
    "Preset",
    "Renderer",
    "Slider",
    "UnknownArchitecture",
    "UnknownName",
    "UnsafeCheckpoint",
    "bundled_generators",
    "bundled_packs",
    "combine",
    "draw",
    "find_class",
    "generator_for",
    "grid",
    "import_directions",
    "keep",
    "load_generator",
    "load_pack",
    "overlap",
    "project",
    "read_latent",
    "read_png",
    "recipe_codes",
    "recipe_edit",
    "seed_codes",
    "seeded_z",
    "set_coordinate",
    "strip",
    "write_latent",
    "write_png",
]
