"""Metrics -> the evidence of a card: cells of its table, sentences, and the model-index that the Hub reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from huggingface_hub import EvalResult

from eigan.errors import PackFormatError
from eigan.pack import DirectionPack
from hub_export.markdown import Markdown, escape, one_line
from hub_export.metrics import METRICS, DirectionMetrics, Frechet, Metrics, read_metrics
from hub_export.summary import FIRST, MAX_LEAK, MIN_MONOTONICITY, Summary, others, summarize

MAX_LISTED = 30
MAX_AMOUNTS = 8  # of Fréchet distances
TASK = "unconditional-image-generation"


def metrics_of(pack: DirectionPack, extras: Mapping[str, bytes]) -> Metrics | None:
    """What the metrics.json among `extras` says of `pack`; None when there is none.

    Raises:
        PackFormatError: it is malformed, or was measured on another generator or other directions.
    """
    if METRICS not in extras:
        return None
    metrics = read_metrics(extras[METRICS])
    if metrics.generator != pack.made_for.fingerprint:
        raise PackFormatError(
            f"{METRICS} was measured on the generator {metrics.generator[:12]}; the pack {pack.name!r} is for "
            f"{pack.made_for}. Evaluate the pack again, or remove {METRICS}."
        )
    if not any(metrics[direction.name] for direction in pack):
        raise PackFormatError(
            f"{METRICS} measures none of the directions of {pack.name!r}. Evaluate the pack again, or remove {METRICS}."
        )
    return metrics


def main_cell(entry: DirectionMetrics | None) -> Markdown:
    """'smile +0.90': the main attribute, in standard deviations per sigma."""
    if entry is None or not entry.main:
        return Markdown("–")
    return _moved(entry.main, entry.effects.get(entry.main, 0.0))


def others_cell(entry: DirectionMetrics | None) -> Markdown:
    """'hair length −0.41, age +0.20': what else moves."""
    if entry is None or not entry.main:
        return Markdown("–")
    return Markdown(", ".join(_moved(name, value) for name, value in others(entry)) or "little")


def share_cell(value: float | None) -> Markdown:
    return Markdown("–" if value is None else _signed(f"{value:.2f}"))


def protocol(metrics: Metrics) -> list[Markdown]:
    """How it was measured, a sentence each."""
    learnt = ((metrics.num_pictures, "unedited pictures as the yardstick"), (metrics.num_codes, "codes for variances"))
    beside = " and ".join(f"{count:,} {what}" for count, what in learnt if count)
    lines = [
        f"{metrics.num_seeds:,} pictures (seed {metrics.seed}, truncation psi {metrics.truncation_psi:g}), each moved "
        f"along every direction{', beside ' * bool(beside)}{beside}."
    ]
    if metrics.scorer:
        lines.append(
            f"Attributes were read off the pictures by {escape(metrics.scorer)}; an effect is in standard deviations "
            "of the attribute over pictures without an edit."
        )
    lines.append(
        f"Drift was measured with {escape(metrics.features)} features; 1 is the distance of two random pictures."
    )
    if metrics.frechet is not None:
        lines.append(f"Fréchet distances were measured with {_features(metrics.frechet, escape)}.")
    return [Markdown(line) for line in lines]


def findings(metrics: Metrics) -> list[Markdown]:
    """What was found, a line each."""
    found = summarize(metrics)
    first = min(FIRST, found.num_directions)
    lines = []
    if found.variance is not None:
        chance = (
            "" if found.random_variance is None else f"; that of {FIRST} random ones: {_percent(found.random_variance)}"
        )
        lines.append(f"Variance along the first {first} directions, in sum: {_percent(found.variance)}{chance}.")
    if found.purity is not None and found.leak is not None:
        lines.append(
            f"Mean purity (share of the main attribute in all that moves) {found.purity:.2f}; mean leak (the strongest "
            f"other attribute, relative to it) {found.leak:.2f}."
        )
    if found.monotonicity is not None:
        lines.append(f"Mean monotonicity over the sliders' ranges {found.monotonicity:.3f} (Spearman, of 1).")
    if metrics.scorer:
        lines.append(_controlled(found))
    if found.drift is not None:
        who = "" if found.identity is None else f"; of who it is: {found.identity:.3g}"
        lines.append(f"Mean drift of the picture at one sigma: {found.drift:.3g}{who}.")
    if frechet := metrics.frechet:
        edited = [f"within ±{escape(amount)} sigmas {value:.3g}" for amount, value in _edited(frechet)]
        if frechet.published is not None:
            edited.append(f"moved by 6 N(0, 1) along the unit vector, as published, {frechet.published:.3g}")
        lines.append(
            f"Fréchet distance between pictures and their edited selves: {', '.join(edited)}; between two sets of "
            f"unedited pictures: {frechet.floor:.3g}."
        )
    if found.class_independence is not None:
        lines.append(f"Mean cosine between the effects in different classes: {found.class_independence:.2f} (of 1).")
    return [Markdown(line) for line in lines]


def model_index(metrics: Metrics, source: str) -> list[EvalResult]:
    """The findings as the Hub's evaluation results: the "data set" is what the generator itself draws."""
    found = summarize(metrics)
    rows: list[tuple[str, str, float | int | None]] = [
        ("explained-variance", f"Variance along the first {FIRST} directions, in sum", found.variance),
        ("purity", "Mean share of the main attribute in all that moves", found.purity),
        ("leak", "Mean of the strongest other attribute, relative to the main one", found.leak),
        ("monotonicity", "Mean monotonicity over the sliders' ranges (Spearman)", found.monotonicity),
        ("drift", f"Mean drift at one sigma ({one_line(metrics.features)} features)", found.drift),
        ("class-independence", "Mean cosine between effects in different classes", found.class_independence),
    ]
    if metrics.scorer:
        rows.append(("attributes-controlled", _well("Attributes controlled"), len(found.controlled)))
    if metrics.frechet is not None:
        kind = "fid" if metrics.frechet.features == "inception" else "frechet-distance"
        features = one_line(_features(metrics.frechet, one_line))
        for amount, value in _edited(metrics.frechet):
            rows.append((kind, f"Edited within ±{one_line(amount)} sigmas, {features}", value))
    drawn = f"pictures drawn by {one_line(source)}" if source else "pictures drawn by the generator"
    return [
        EvalResult(
            task_type=TASK,
            dataset_type="generated",
            dataset_name=drawn,
            metric_type=kind,
            metric_name=name,
            metric_value=value if isinstance(value, int) else float(f"{value:.4g}"),
        )
        for kind, name, value in rows
        if value is not None
    ]


def _controlled(found: Summary) -> str:
    if not found.controlled:
        return f"{_well('Attributes controlled')}: none."
    names = [escape(name) for name in found.controlled][:MAX_LISTED]
    return f"{_well('Attributes controlled')}: {len(found.controlled)} ({', '.join(names)})."


def _well(what: str) -> str:
    return f"{what} well (monotonicity at least {MIN_MONOTONICITY}, leak at most {MAX_LEAK})"


def _edited(frechet: Frechet) -> list[tuple[str, float]]:
    return list(frechet.edited.items())[:MAX_AMOUNTS]


def _features(frechet: Frechet, shown: Callable[[str], str]) -> str:
    kind = (
        "Inception features (FID)"
        if frechet.features == "inception"
        else f"{shown(frechet.features)} features, not FID"
    )
    return f"{kind}, {frechet.num_images:,} pictures a side"


def _moved(name: str, value: float) -> Markdown:
    return Markdown(f"{escape(name)} {_signed(f'{value:+.2f}')}")


def _signed(number: str) -> str:
    return number.replace("-", "−")


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.3g}%"
