"""Made-up measurements of a pack: of the kind that an evaluation finds, the same each time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eigan.pack import DirectionPack
from hub_export.metrics import Coordinates, Curve, DirectionMetrics, Frechet, Metrics

ATTRIBUTES = ("yaw", "smile", "age", "glasses", "hair length", "beard", "skin", "light", "grey", "open mouth")


def toy_metrics(
    pack: DirectionPack, *, seed: int = 0, attributes: Sequence[str] = ATTRIBUTES, frechet: bool = True
) -> Metrics:
    """What might have been measured of `pack`: direction i moves attribute i most (counted round)."""
    random = np.random.default_rng(seed)
    directions = [_direction(d.name, i, random, attributes) for i, d in enumerate(pack)]
    return Metrics(
        generator=pack.made_for.fingerprint,
        seed=3,
        num_seeds=200,
        truncation_psi=0.7,
        features="heads-attributes",
        scorer="heads-attributes" if attributes else "",
        directions=directions,
        random_variance_ratio=sorted((float(v) for v in random.uniform(0.004, 0.012, len(pack))), reverse=True),
        frechet=Frechet(features="heads-attributes", num_images=1000, edited={"3": 14.2, "6": 61.5}, floor=4.1)
        if frechet
        else None,
    )


def _direction(name: str, i: int, random: np.random.Generator, attributes: Sequence[str]) -> DirectionMetrics:
    effects = {a: float(v) for a, v in zip(attributes, random.normal(0, 0.12, len(attributes)), strict=True)}
    main = attributes[i % len(attributes)] if attributes else ""
    if main:
        effects[main] = 0.9 - 0.05 * (i // len(attributes)) if i % 3 else -0.7
    sizes = sorted((abs(v) for v in effects.values()), reverse=True)
    amounts = [float(a) for a in np.linspace(-3, 3, 7)]
    slope = float(random.uniform(0.06, 0.2))
    drift = [round(1 - float(np.exp(-slope * abs(a) * 1.7)), 4) for a in amounts]
    counts = np.histogram(random.normal(size=2000) + (i == 1) * random.exponential(size=2000), 40, (-5.0, 5.0))[0]
    return DirectionMetrics(
        name=name,
        explained_variance_ratio=0.22 * 0.84**i,
        coordinates=Coordinates(
            skewness=0.05 * i, excess_kurtosis=-0.1, low=-5.0, high=5.0, counts=[int(c) for c in counts]
        ),
        drift=Curve(amounts=amounts, values=drift),
        identity=Curve(amounts=amounts, values=[round(0.6 * v, 4) for v in drift]) if main else None,
        range=(-3.0, 2.5),
        monotonicity=0.99 - 0.02 * (i % 4) if main else 0.97,
        effects=effects,
        main=main,
        purity=sizes[0] / sum(sizes) if main else None,
        leak=sizes[1] / sizes[0] if main else None,
        strangeness=Curve(amounts=amounts, values=[round(0.01 + 0.02 * slope * a**2, 4) for a in amounts]),
        response=Curve(
            amounts=amounts, values=[round(1.5 * float(np.tanh(effects.get(main, 0.4) * a)), 4) for a in amounts]
        ),
    )
