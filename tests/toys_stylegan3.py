"""Small random StyleGAN3s, configurations T and R, with everything that training would have moved moved."""

from __future__ import annotations

import torch

from eigan.generators.stylegan3 import StyleGAN3, SynthesisLayer
from eigan.generators.stylegan3_config import StyleGAN3Config, band_limits, official_channels


def toy_config_stylegan3(*, c_dim: int = 0, radial: bool = False, resolution: int = 16) -> StyleGAN3Config:
    """The official 14 layers and margin of 10; 16 px, 8 channels, 16 rows of 12."""
    channels = official_channels(band_limits(resolution, 14).cutoffs, 16 * resolution, 8)
    kernel = 1 if radial else 3
    return StyleGAN3Config(
        z_dim=10,
        c_dim=c_dim,
        w_dim=12,
        resolution=resolution,
        channels=channels,
        conv_kernel=kernel,
        use_radial_filters=radial,
        num_mapping_layers=2,
    )


def toy_stylegan3(seed: int = 0, *, c_dim: int = 0, radial: bool = False, resolution: int = 16) -> StyleGAN3:
    generator = StyleGAN3(toy_config_stylegan3(c_dim=c_dim, radial=radial, resolution=resolution))
    random = torch.Generator().manual_seed(seed)
    generator.initialize(random)
    with torch.no_grad():
        for name, tensor in generator.weights().items():
            if name.endswith("input.affine.weight"):
                tensor.normal_(0, 0.3, generator=random)
            elif name.endswith(".bias") and ".L" in name and "affine" not in name:
                tensor.normal_(0, 0.2, generator=random)
        z = torch.randn(64, generator.z_dim, generator=random)
        generator.mapper.w_avg.copy_(generator.map_to_w(z, 0 if c_dim else None).mean(dim=0))
        codes = generator.mapping(z[:4], 0 if c_dim else None)
        state = generator.initial_state(codes, "const")
        for stage in generator.stages:
            if isinstance(stage, SynthesisLayer):
                stage.magnitude_ema.copy_(state.features.square().mean())
            state = stage(state, codes)
    return generator.eval().requires_grad_(False)
