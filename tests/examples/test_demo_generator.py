"""The demo generator's recipe: pictures are reproducible, labels follow a mirror, a tiny training run exports."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("numba")
pytest.importorskip("scipy")

from safetensors.torch import load_file

from eigan.generators.stylegan2 import StyleGAN2
from examples.demo_generator import attributes, evaluate
from examples.demo_generator.data import LabelledImages, load_split, render_split
from examples.demo_generator.factors import INTERNAL, MIRRORED, sample
from examples.demo_generator.heads import HeadRenderer
from examples.demo_generator.latents import latents_of
from examples.demo_generator.train import Settings, Trainer
from hub_export.evaluation.attributes import load_attributes

SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def renderer() -> HeadRenderer:
    return HeadRenderer()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny rendered data set, 16 x 16."""
    path = tmp_path_factory.mktemp("heads")
    render_split(path, "train", 40, size=16, supersampling=1, workers=1)
    return path


@pytest.mark.parametrize("seed", SEEDS)
def test_same_factors_same_bytes(renderer: HeadRenderer, seed: int) -> None:
    factors = sample(np.random.default_rng(seed))
    first = renderer.render(factors)
    again = HeadRenderer().render(sample(np.random.default_rng(seed)))
    assert first.shape == (64, 64, 3)
    assert first.tobytes() == again.tobytes()
    assert first.std() > 10


@pytest.mark.parametrize("seed", SEEDS)
def test_negated_factors_mirror_the_picture(renderer: HeadRenderer, seed: int) -> None:
    factors = sample(np.random.default_rng(seed))
    mirrored = factors | {name: -factors[name] for name in MIRRORED}
    picture, mirror = renderer.render(factors).astype(float), renderer.render(mirrored).astype(float)
    off_by = np.abs(picture[:, ::-1] - mirror).mean()
    assert off_by < 3  # of 255: streaks of hair and the mesh itself are not quite symmetric
    assert off_by < 0.3 * np.abs(picture - mirror).mean()


def test_picture_depends_on_its_number_alone(folder: Path, renderer: HeadRenderer) -> None:
    data = load_split(folder, "train")
    factors = sample(np.random.default_rng([1, 7]))
    assert np.array_equal(data.images[7], renderer.render(factors, 16, 1))
    assert data.names == list(factors)
    assert np.allclose(data.values[7], list(factors.values()))


def test_mirrored_targets_and_latents(folder: Path) -> None:
    data = load_split(folder, "train")
    wanted = attributes.targets(data)
    assert not set(INTERNAL) & set(wanted.names)
    column = data.names.index("yaw")
    values = data.values.copy()
    values[:, column] *= -1
    opposite = attributes.targets(LabelledImages(data.images, data.names, values))
    yaw = wanted.names.index("yaw")
    mirrored = wanted.mirrored()[:, yaw] * wanted.std[yaw] + wanted.mean[yaw]
    assert np.allclose(mirrored, opposite.values[:, yaw] * opposite.std[yaw] + opposite.mean[yaw], atol=1e-5)
    straight, mirror = latents_of(data.names, data.values)
    assert straight.shape == mirror.shape == (40, len(data.names) + 2)  # two hues take two coordinates each
    assert np.isfinite(straight).all()


def trained_regressor() -> tuple[attributes.AttributeRegressor, attributes.Targets]:
    """One whose running statistics have moved, as training leaves them; and made-up targets of five attributes."""
    torch.manual_seed(0)
    model = attributes.AttributeRegressor(5, width=4)
    model(torch.rand(8, 3, 64, 64))
    names = ["yaw", "smile", "bg_hue_sin", "width", "age"]
    return model.eval(), attributes.Targets(names, np.zeros((1, 5)), np.arange(5.0), np.ones(5))


def test_folded_regressor_reads_the_same() -> None:
    model, _ = trained_regressor()
    images = torch.rand(2, 3, 64, 64)
    folded = model.folded()
    assert not any("norm" in name for name in folded.state_dict())
    assert torch.allclose(folded(images), model(images), atol=1e-5)
    assert torch.allclose(folded.features(images), model.features(images), atol=1e-5)


def test_saved_regressor_is_the_shipped_kind(tmp_path: Path) -> None:
    model, wanted = trained_regressor()
    r2 = dict(zip(wanted.names, (0.9, 0.2, 0.8, 0.7, 0.4), strict=True))
    attributes.save(model, wanted, r2, tmp_path / "all")
    attributes.ship(tmp_path / "all", tmp_path / "best", ["0" * 64])
    everything, best = attributes.load(tmp_path / "all"), load_attributes(tmp_path / "best")
    assert everything.r2.tolist() == pytest.approx(list(r2.values()))
    assert best.names == ("yaw", "bg_hue_sin", "width")
    assert [attribute.identity for attribute in best.config.attributes] == [False, False, True]
    assert best.config.generators == ["0" * 64]
    images = torch.rand(2, 3, 64, 64)
    assert torch.allclose(everything(images), model(images), atol=1e-2)  # half precision
    assert torch.allclose(best.network(images), everything(images)[:, [0, 2, 3]], atol=1e-5)


def test_quality_report_finds_what_is_off(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    real = random.normal(size=(20_000, 3)).astype(np.float32)
    names = ["smile", "glasses", "beard"]
    found = evaluate.statistics(real, real * np.float32([1, 1.5, 1]) + np.float32([0.5, 0, 0]), names)
    assert found["smile"] == {"mean_off": pytest.approx(0.5, abs=0.02), "spread": pytest.approx(1)}
    assert found["glasses"]["spread"] == pytest.approx(1.5, rel=0.01)
    assert found["beard"] == {"mean_off": pytest.approx(0), "spread": pytest.approx(1)}
    shares = evaluate.rates(real, names, np.float32([0, 0.5, 0]), np.ones(3, np.float32))
    assert shares == {"glasses": pytest.approx(0.5, abs=0.02), "beard": pytest.approx(0.363, abs=0.02)}
    pictures = random.integers(0, 255, (2, 8, 8, 3), np.uint8)
    assert evaluate.blurred(pictures).std() < 0.7 * pictures.std()


def test_mixed_pictures_show_no_latent(folder: Path) -> None:
    settings = Settings(channels=(8, 8, 8), w_dim=8, num_mapping_layers=2, mixing=0.5)
    trainer = Trainer(settings, folder, None, torch.device("cpu"))
    with torch.no_grad():
        codes, told = trainer.fresh_codes(64)
        is_mixed = (codes[:, :1] != codes).any(dim=2).any(dim=1)
        assert 16 < is_mixed.sum() < 48
        assert torch.equal(told.abs().sum(dim=1) == 0, is_mixed)
        assert torch.allclose(trainer.generator.mapping(told[~is_mixed]), codes[~is_mixed], atol=1e-6)
        discriminator, images = trainer.discriminator, torch.rand(4, 3, 16, 16)
        discriminator.embedding.normal_()
        silent = discriminator(images, torch.zeros(4, told.shape[1]))
        assert not torch.allclose(discriminator(images, torch.ones(4, told.shape[1])), silent)


def test_tiny_training_run_exports_and_resumes(folder: Path, tmp_path: Path) -> None:
    settings = Settings(channels=(8, 8, 8), w_dim=8, num_mapping_layers=2, warmup_batch=4, batch=4)
    trainer = Trainer(settings, folder, None, torch.device("cpu"))
    trainer.train_step()
    assert trainer.in_warmup
    trainer.seconds = settings.warmup_minutes * 60
    trainer.train_step()
    assert trainer.adversarial_kimg > 0
    trainer.checkpoint(tmp_path, "tiny")

    config = json.loads((tmp_path / "export" / "config.json").read_text())
    assert config["mapping_lr_multiplier"] == 0.01
    loaded = StyleGAN2.from_config(config)
    loaded.load_weights(load_file(tmp_path / "export" / "model_fp32.safetensors"))
    z = torch.randn(3, loaded.z_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        exported = loaded.synthesis(loaded.mapping(z, truncation_psi=0.7))
        trained = trainer.average.synthesis(trainer.average.mapping(z, truncation_psi=0.7))
    assert torch.allclose(exported, trained, atol=1e-4)

    resumed = Trainer(settings, folder, None, torch.device("cpu"))
    resumed.resume(tmp_path / "last.pt")
    assert (resumed.step, resumed.seconds) == (trainer.step, trainer.seconds)
    for name, value in trainer.generator.state_dict().items():
        assert torch.equal(value, resumed.generator.state_dict()[name])
    resumed.train_step()
    assert resumed.step == 3
