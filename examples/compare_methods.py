"""The methods side by side on the bundled heads: fit each, measure each, and write one page with pictures.

`python -m examples.compare_methods --out docs/methods` takes minutes on two cores and wants `eigan[evaluate]`, but no
network. What a person makes of it is in compare_methods_notes.md, which the page holds as it is.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from eigan.format import save_pack, write_folder
from eigan.generators.base import Generator
from eigan.sources import load_generator
from hub_export.compare import Contender, compare
from hub_export.compare_page import Wording, is_page, render_page
from hub_export.evaluation import evaluate
from hub_export.fit import fit
from hub_export.metrics import METRICS, write_metrics
from hub_export.recipe import Recipe

NOTES = Path(__file__).with_name("compare_methods_notes.md")
GENERATOR = "heads-64"
SEEDS = (76, 28)
NUM_DIRECTIONS = 32
RECIPES: dict[str, dict[str, Any]] = {  # method -> what is not its default, in the order of the page
    "pca": {"num_samples": 200_000},
    "ica": {"num_samples": 200_000},
    "sefa": {},
    "latentclr": {"iterations": 1000},
    "local": {"num_samples": 200_000},
    "random": {},
}
ATTRIBUTES = ("yaw", "skin", "age", "gender", "smile", "glasses", "hair_len", "beard", "light_az", "roll")
WORDING = Wording(
    title="The methods, side by side",
    intro=(
        f"Every method of eigan fitted on the bundled generator, {NUM_DIRECTIONS} directions each, on all layers, "
        "measured alike and drawn on the same seeds. The random directions are what any method has to beat."
    ),
    caveat=(
        "Mind what this generator is: its first training phase was supervised (its latent is a rotation of the "
        "factors that its training pictures were drawn from), its pictures are renders, and the attributes are read by "
        "a network trained on such renders. Directions are easier to find in it than in a GAN of photographs, above "
        "all for local, which looks for an orthonormal basis of the whitened codes: the true factors are close to one. "
        "The page shows how the methods differ and how to compare them; it is no evidence that one is better elsewhere."
    ),
    command="python -m examples.compare_methods --out docs/methods",
)
Progress = Callable[[int, int, str], None]


def make_contender(generator: Generator, method: str, values: Mapping[str, Any], **measuring: Any) -> Contender:
    """A pack fitted by `method`, measured, with the seconds that its fit took by the clock."""
    recipe = Recipe.parse({"method": method, "num_directions": NUM_DIRECTIONS, **values})
    start = time.perf_counter()
    pack = fit(generator, recipe, name=f"{GENERATOR}-{method}", license="cc0-1.0")
    seconds = time.perf_counter() - start
    return Contender(pack, evaluate(generator, pack, **measuring), seconds)


def make_page(
    generator: Generator, contenders: Sequence[Contender], *, attributes: Sequence[str] = ATTRIBUTES, notes: str = ""
) -> dict[str, bytes]:
    """File name -> bytes of the page."""
    wording = Wording(WORDING.title, WORDING.intro, WORDING.caveat, notes, WORDING.command)
    return render_page(compare(contenders, generator), generator, seeds=SEEDS, attributes=attributes, wording=wording)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the page: new, empty, or an earlier page")
    parser.add_argument("--methods", nargs="+", choices=RECIPES, default=list(RECIPES), help="default: all")
    parser.add_argument("--packs", type=Path, help="folder to keep the packs in, measured; for hub-export compare")
    args = parser.parse_args()
    if args.out.is_dir() and any(args.out.iterdir()) and not is_page(args.out):
        parser.error(f"{args.out} holds other files; give an empty or new folder, or an earlier page")
    generator = load_generator(GENERATOR)
    contenders = []
    for method in args.methods:
        start = time.perf_counter()
        found = make_contender(generator, method, RECIPES[method], scorer="heads-attributes")
        contenders.append(found)
        print(f"{method}: fitted in {found.seconds:.1f} s, measured in {time.perf_counter() - start:.0f} s", flush=True)
        if args.packs and found.metrics:
            save_pack(found.pack, args.packs / method, {METRICS: write_metrics(found.metrics)})
    files = make_page(generator, contenders, notes=NOTES.read_text("utf-8"))
    write_folder(args.out, files, replaceable=is_page)
    print(f"{args.out}: {len(files)} files, {sum(map(len, files.values())) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
