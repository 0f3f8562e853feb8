"""Direction files of other tools -> DirectionPack. IMPORTERS is the only place that lists them; known by content.

GANSpace, InterFaceGAN, e4e, rosinality, LatentCLR, bare arrays and tables: each file is read safely (no pickle is ever
run), and its moves are converted to eigan's one convention: unit vectors, sigmas, truncation first.
"""

from __future__ import annotations

from pathlib import Path

from eigan.errors import CheckpointError, PackFormatError, PackMismatch
from eigan.generators.base import Generator
from eigan.importers import factor, ganspace, ganspace_edit, latentclr, styleclip, vectors
from eigan.importers.base import Contents, Importer, Opened, Request, Space, clean_text
from eigan.importers.containers import NO_GENERATOR, open_file
from eigan.importers.convert import convert
from eigan.importers.named import NO_NAMES
from eigan.layers import LayerRange
from eigan.pack import MAX_NAME, DirectionPack, check_number, check_text
from eigan.plain_files import expanded, file_digest
from eigan.readers import read_head, unknown

IMPORTERS: dict[str, Importer] = {
    "ganspace-npz": Importer(ganspace.sniff, ganspace.read, "GANSpace components (.npz)"),
    "ganspace-pkl": Importer(ganspace_edit.sniff, ganspace_edit.read, "edits exported from GANSpace (.pkl)"),
    "steerability-pkl": Importer(
        ganspace_edit.sniff_steering, ganspace_edit.read_steering, "steerability walks ({'w_...': array}, .pkl)"
    ),
    "e4e-pca": Importer(ganspace.sniff_e4e, ganspace.read_e4e, "ffhq_pca.pt of e4e, PTI and HyperStyle"),
    "rosinality-factor": Importer(factor.sniff, factor.read, "factor.pt of rosinality's stylegan2-pytorch"),
    "latentclr": Importer(latentclr.sniff, latentclr.read, "LatentCLR checkpoints (best_model.pt)"),
    "styleclip": Importer(styleclip.sniff, styleclip.read, "StyleCLIP's style space"),
    "vectors": Importer(vectors.sniff, vectors.read, "arrays of directions (.npy, .pt): InterFaceGAN, Colab, W+"),
    "table": Importer(vectors.sniff_table, vectors.read_table, "tables of numbers (.csv, numpy.savetxt)"),
}
REFUSED = ("styleclip",)  # known only to be told from the others
KNOWN = "; ".join(importer.describes for name, importer in IMPORTERS.items() if name not in REFUSED)
MAX_PSI = 2.0

__all__ = ["IMPORTERS", "Importer", "import_directions"]


def import_directions(
    path: str | Path,
    generator: Generator,
    *,
    name: str = "",
    layers: LayerRange | None = None,
    space: Space | None = None,
    truncation_psi: float | None = None,
    names: str | None = None,
    num_directions: int | None = None,
    per_layer: bool | None = None,
    license: str = "",
) -> DirectionPack:
    """The directions in a file of another tool, converted for `generator`. Nothing in the file is run.

    Signs are the file's own. Sigma is the file's standard deviation of the codes where it has one, else measured on
    20,000 seeded codes of the generator. What was decided, and why, is recorded in the pack's `method`.

    name: the pack's; default: the file's. layers: where the file says none (default: all); in place of an exported
    edit's own. space: "w" or "z", where the file does not say. truncation_psi: the psi that the file's amounts were
    tuned at by a tool that truncates after the edit; default: what the file or the table of named edits says.
    names: whose names the components get ("stylegan2-ffhq", "latentclr-car"; "none"); default: by the file's name.
    num_directions: only the first so many. per_layer: whether rows are layers of one direction; default: when there
    are as many as the generator has layers.

    Raises:
        PackFormatError: no format of directions, damaged, or contents that cannot be.
        PackMismatch: directions of another space or size than the generator's codes.
        UnknownName: `names` that eigan does not have.
        CheckpointError: a pickle or torch file is damaged, or (UnsafeCheckpoint) asks for more than arrays need.
    """
    if space not in (None, "w", "z"):
        raise PackFormatError(f"space is {space!r}; wanted 'w' or 'z'")
    if truncation_psi is not None:
        check_number(truncation_psi, "truncation_psi", 1e-3, MAX_PSI)
    if layers is not None:
        generator.check_layers(layers)
    if not str(path).strip() or "\0" in str(path):
        raise PackFormatError("no file given; give the path of a file of directions")
    path = expanded(path)
    request = Request(generator, layers, space, truncation_psi, names, num_directions, per_layer)
    try:
        pack_name = check_text(name or clean_text(path.stem) or "imported", "pack name", MAX_NAME)
        with open_file(path) as file:
            if file is None:
                raise PackFormatError(f"it is {unknown.describe(read_head(path), path)}. {what_is_read()}")
            format_name, contents = read_contents(file, request)
            if names not in (None, NO_NAMES) and "names" not in contents.origin:
                raise PackFormatError(f"names={names!r} means nothing here: the file holds no numbered components")
            record = {"format": format_name, "file": file.name, "sha256": file_digest(path)}
            return convert(contents, request, name=pack_name, license=license, record=record)
    except (CheckpointError, PackFormatError, PackMismatch) as error:
        reason = str(error).removeprefix(f"{path.name}: ")  # torch files say their name themselves
        raise type(error)(f"{clean_text(path.name)}: {reason}") from error.__cause__
    except (OSError, UnicodeEncodeError) as error:  # the latter: a name that no file can have
        raise PackFormatError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def read_contents(file: Opened, request: Request) -> tuple[str, Contents]:
    """The importer that knows the file, and what it read. Raises PackFormatError when none does."""
    for name, importer in IMPORTERS.items():
        if importer.sniff(file):
            return name, importer.read(file, request)
    raise PackFormatError(f"it holds no directions that eigan knows. {what_is_read()}")


def what_is_read() -> str:
    """For messages: every format, and where a generator goes instead."""
    return f"What eigan reads: {KNOWN}. {NO_GENERATOR}"
