"""eigan: sliders for GANs. The public names."""

__version__ = "0.1.0"
