"""The allow-list of snapshots whose modules are pickled as plain instances, by class name: projected-gan's FastGAN.

Every class below becomes an inert record of its name and attributes; no class is looked for, let alone imported. The
discriminator's classes are here because it lies in the same file: projected-gan e1c246b builds it on timm 0.4.12.
"""

from __future__ import annotations

from typing import Any

from eigan.readers.allowed import NVIDIA, named_only, rebuild_dict, refuse
from eigan.readers.stored import Record
from eigan.readers.unpickler import Allowed, Audited

CLASSES: dict[str, str] = {  # module -> the classes of it that genuine snapshots name
    "pg_modules.networks_fastgan": "Generator DummyMapping FastganSynthesis FastganSynthesisCond",
    "pg_modules.blocks": (
        "InitLayer GLU Swish NoiseInjection CCBN SEBlock UpBlockSmallCond UpBlockBigCond UpBlockCond UpBlockCompCond "
        "DownBlock DownBlockPatch SeparableConv2d ResidualConvUnit FeatureFusionBlock"
    ),
    "pg_modules.discriminator": "ProjectedDiscriminator MultiScaleD SingleDisc SingleDiscCond",
    "pg_modules.projector": "F_RandomProj",
    "timm.models.efficientnet_blocks": "ConvBnAct DepthwiseSeparableConv InvertedResidual",
    "timm.models.layers.conv2d_same": "Conv2dSame",
    "torch.nn.modules.module": "Module _WrappedHook",
    "torch.nn.modules.container": "Sequential ModuleList ModuleDict",
    "torch.nn.modules.conv": "Conv2d ConvTranspose2d",
    "torch.nn.modules.linear": "Linear Identity",
    "torch.nn.modules.sparse": "Embedding",
    "torch.nn.modules.batchnorm": "BatchNorm2d",
    "torch.nn.modules.upsampling": "Upsample",
    "torch.nn.modules.pooling": "AdaptiveAvgPool2d AvgPool2d",
    "torch.nn.modules.activation": "Sigmoid LeakyReLU ReLU ReLU6",
    "torch.nn.utils.spectral_norm": "SpectralNorm SpectralNormStateDictHook SpectralNormLoadStateDictPreHook",
    "torch.nn.quantized.modules.functional_modules": "FloatFunctional",
    "torch.ao.nn.quantized.modules.functional_modules": "FloatFunctional",
}


def inert(module: str, name: str) -> Audited:
    """A class that is made without arguments and then given its attributes; answered by an empty record."""

    def make(args: tuple[Any, ...]) -> Record:
        if args:
            raise refuse(f"{module}.{name}", args)
        return Record(name, {})

    return Audited(f"{module}.{name}", make)


MODULES: Allowed = {(module, name): inert(module, name) for module, names in CLASSES.items() for name in names.split()}
NAMES = frozenset(audited.name for audited in MODULES.values())


def rebuild(args: tuple[Any, ...]) -> Any:
    """`copyreg._reconstructor(class, object, None)`: how protocols 0 and 1 make an instance."""
    match args:
        case (Audited() as kind, Audited(name="builtins.object"), None) if kind.name in NAMES:
            return kind.call(())
    return rebuild_dict(args)


SNAPSHOT: Allowed = {
    **NVIDIA,
    **MODULES,
    **{(m, "object"): named_only("builtins.object") for m in ("builtins", "__builtin__")},
    **{(m, "_reconstructor"): Audited("copyreg._reconstructor", rebuild) for m in ("copyreg", "copy_reg")},
}
"""What a file with a G_ema may name: persistent objects (StyleGAN2-ADA, StyleGAN3) and the modules above."""
