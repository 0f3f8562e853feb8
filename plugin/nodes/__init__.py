"""Every node by its id, which workflows are saved with: ids stay for ever, titles may change. One file a group."""

from __future__ import annotations

from ..comfy import GanNode
from .describing import EiganDescribePack
from .edits import EiganEditDirection
from .fitting import EiganFitDirections
from .images import EiganRender
from .inverting import EiganInvertImage
from .latent_files import EiganLoadLatent, EiganSaveLatent
from .latents import EiganLatentFromSeed
from .layered import EiganSaveLayers
from .loaders import EiganLoadDirectionPack, EiganLoadGenerator
from .mixing import EiganMixLatents
from .poses import EiganPose
from .recipes import EiganLoadRecipe, EiganSaveRecipe
from .sliders import EiganApplyPreset, EiganEditSliders, EiganKeep
from .sweeps import EiganSweep

NODES: dict[str, type[GanNode]] = {
    "EiganLoadGenerator": EiganLoadGenerator,
    "EiganLoadDirectionPack": EiganLoadDirectionPack,
    "EiganLatentFromSeed": EiganLatentFromSeed,
    "EiganEditDirection": EiganEditDirection,
    "EiganRender": EiganRender,
    "EiganLoadRecipe": EiganLoadRecipe,
    "EiganSaveRecipe": EiganSaveRecipe,
    "EiganEditSliders": EiganEditSliders,
    "EiganApplyPreset": EiganApplyPreset,
    "EiganKeep": EiganKeep,
    "EiganPose": EiganPose,
    "EiganMixLatents": EiganMixLatents,
    "EiganFitDirections": EiganFitDirections,
    "EiganSweep": EiganSweep,
    "EiganDescribePack": EiganDescribePack,
    "EiganLoadLatent": EiganLoadLatent,
    "EiganSaveLatent": EiganSaveLatent,
    "EiganSaveLayers": EiganSaveLayers,
    "EiganInvertImage": EiganInvertImage,
}
