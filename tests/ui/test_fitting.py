"""A generator without a pack: what may be opened, what is fitted, and that the same source gives the same bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from eigan import sources
from eigan.errors import CheckpointError, EiganError, FitError, HubError, UnknownName
from eigan.format import pack_files
from eigan.generators.base import Generator
from eigan.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from eigan.readers.safetensors import save_generator
from eigan.ui import fitting
from eigan.ui.fitting import (
    FitSource,
    fit_pack,
    is_fixed,
    layer_groups,
    num_samples,
    open_generator,
    parse_fit,
    pinned,
)
from tests.fakehub.server import FakeHub
from tests.generators.test_contract import TOYS
from tests.toys import toy_generator
from tests.toys_fastgan import toy_projected
from tests.toys_pggan import toy_pggan


@pytest.fixture
def generator_files(tmp_path: Path) -> dict[str, bytes]:
    save_generator(toy_generator(), tmp_path / "saved", dtype="fp32", license="cc0-1.0")
    return {path.name: path.read_bytes() for path in (tmp_path / "saved").iterdir() if path.is_file()}


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("sefa:heads-64", ("sefa", "heads-64")),
        (" PCA : org/name@v1.0.0:nets/a.pkl ", ("pca", "org/name@v1.0.0:nets/a.pkl")),
        ("sefa:/home/me/net.pkl", ("sefa", "/home/me/net.pkl")),
        ("pca:https://example.org/net.pkl", ("pca", "https://example.org/net.pkl")),
    ],
)
def test_sources_of_fits(source: str, wanted: tuple[str, str]) -> None:
    fit = parse_fit(source)
    assert fit == FitSource(*wanted)
    assert parse_fit(str(fit)) == fit


@pytest.mark.parametrize(
    "source", ["", "heads", "org/name@v1:x", "ica:heads-64", "sefa:", "pca: ", "sefa", "sefa:" * 200]
)
def test_sources_of_finished_packs(source: str) -> None:
    assert parse_fit(source) is None


# what may be opened


def test_a_hosted_page_opens_bundled_generators_and_those_of_the_hub(
    toy_bundles: Path, hub: FakeHub, generator_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    commit = hub.store.push("acme/faces", generator_files, tag="v1.0.0")
    assert open_generator("toy", hosted=True).source == "toy"
    generator = open_generator(" acme/faces@v1.0.0 ", hosted=True, token="hf_alice")
    assert (generator.revision, generator.fingerprint) == (commit, toy_generator().fingerprint)
    assert {request.token for request in hub.log} == {""}


@pytest.mark.parametrize(
    "source",
    [
        "/etc/passwd",
        "{tmp}/saved",
        "saved",
        "./saved",
        "org/saved",
        "~/saved",
        "..",
        "",
        "\0",
        "file:///etc/passwd",
        "http://127.0.0.1:7860/x.pkl",
        "https://127.0.0.1/x.pkl",
        "https://example.org/net.pkl",
        "https://huggingface.co/org/name/resolve/main/net.pkl",
        "//example.org/x",
        "toy-words",
        "x" * 9999,
        "<script>alert(1)</script>",
        "a/b@../../x",
        "a/b:../../x",
    ],
)
def test_a_hosted_page_opens_no_path_and_no_address(
    toy_bundles: Path,
    hub: FakeHub,
    generator_files: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("asked the network")

    monkeypatch.chdir(tmp_path)
    save_generator(toy_generator(), tmp_path / "org" / "saved", dtype="fp32")
    monkeypatch.setattr("eigan.web.make_client", never)
    with pytest.raises(UnknownName, match="on your own machine") as told:
        open_generator(source.format(tmp=tmp_path), hosted=True)
    assert len(str(told.value)) < 600
    assert not hub.log


def test_ones_own_page_opens_paths_too(
    generator_files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for source in (str(tmp_path / "saved"), "saved", "saved/model.safetensors"):
        assert open_generator(source, hosted=False).fingerprint == toy_generator().fingerprint
    for source in ("", "nothing here", "http://127.0.0.1:1/x.pkl", "/etc/hostname"):
        with pytest.raises(CheckpointError):
            open_generator(source, hosted=False)


@pytest.mark.parametrize("address", ["https://me:secret@example.org/x.pkl", "https://example.org/x.pkl?token=secret"])
def test_an_address_with_a_secret_never_gets_into_links(address: str) -> None:
    with pytest.raises(FitError, match="stand in every link") as told:
        open_generator(address, hosted=False)
    assert "secret" not in str(told.value)


def test_a_hosted_page_downloads_no_giant(
    hub: FakeHub, generator_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.store.push("acme/faces", generator_files)
    hub.store.push("acme/pickled", {"net.pkl": bytes(200_000)})
    monkeypatch.setattr(fitting, "MAX_HOSTED_BYTES", 1000)
    for source in ("acme/faces", "acme/pickled", "acme/pickled:net.pkl"):
        with pytest.raises(HubError, match="at most 1,000 are taken here"):
            open_generator(source, hosted=True)
    assert not hub.requests("/resolve/")


# what is fitted


def pack_bytes(source: str, generator: Generator) -> dict[str, bytes]:
    fit = parse_fit(source)
    assert fit is not None
    pack = fit_pack(fit, generator)
    assert pack.source == source
    return dict(pack_files(replace(pack, source="", revision=""), {}))


@pytest.mark.parametrize("method", ["sefa", "pca"])
@pytest.mark.parametrize("name", TOYS)
def test_every_family_is_fitted_or_says_why_not(name: str, method: str) -> None:
    generator = TOYS[name]()
    fit = FitSource(method, "acme/net")
    try:
        pack = fit_pack(fit, generator)
    except FitError as error:
        assert method == "pca" and generator.c_dim and "SeFa" in str(error)
        return
    pack.check_fits(generator)
    assert 1 <= len(pack) <= fitting.NUM_DIRECTIONS
    assert pack.method["name"] == method
    assert all(direction.sigma > 0 for direction in pack)


def test_only_classes_in_z_without_a_matrix_keep_pca_out() -> None:
    for generator in (toy_pggan(c_dim=3), toy_projected()):
        with pytest.raises(FitError, match="wants one of its 3 classes"):
            fit_pack(FitSource("pca", "x"), generator)


@pytest.mark.parametrize("source", ["sefa:toy", "pca:toy"])
def test_the_same_source_gives_the_same_bytes_on_any_number_of_threads(source: str, toy_bundles: Path) -> None:
    first = pack_bytes(source, open_generator("toy", hosted=True))
    torch.set_num_threads(1)
    assert pack_bytes(source, open_generator("toy", hosted=True)) == first
    assert pack_bytes(source, toy_generator(3)) != first


def test_sefa_of_all_layers_and_of_each_third() -> None:
    generator = toy_generator()
    seen: list[tuple[int, int, str]] = []
    pack = fit_pack(FitSource("sefa", "toy"), generator, lambda *step: seen.append(step))
    assert generator.num_layers == 8
    layers = {name: {str(d.layers) for d in pack if d.name.startswith(name)} for name in ("sefa-0", "sefa-early")}
    assert layers == {"sefa-0": {"0-7"}, "sefa-early": {"0-2"}}
    assert pack.names[0] == "sefa-00" and pack.names[-1] == "sefa-late-07"
    assert str(pack["sefa-middle-00"].layers) == "3-4" and str(pack["sefa-late-00"].layers) == "5-7"
    assert pack.method["layer_groups"] == {"early": "0-2", "middle": "3-4", "late": "5-7"}
    assert (pack.name, pack.source) == ("SeFa of toy", "sefa:toy")
    assert [step[0] for step in seen][:4] == [0, 1, 2, 3] and seen[-1][0] == seen[-1][1]


def test_pca_finds_what_varies_most() -> None:
    generator = toy_generator()
    seen: list[tuple[int, int, str]] = []
    pack = fit_pack(FitSource("pca", "toy"), generator, lambda *step: seen.append(step))
    sigmas = [direction.sigma for direction in pack]
    assert sigmas == sorted(sigmas, reverse=True)
    assert seen[-1][:2] == (num_samples(generator),) * 2


@pytest.mark.parametrize(("num_layers", "wanted"), [(1, []), (5, []), (6, ["0-1", "2-3", "4-5"])])
def test_groups_of_layers(num_layers: int, wanted: list[str]) -> None:
    assert [str(layers) for layers in layer_groups(num_layers).values()] == wanted


@pytest.mark.parametrize("num_layers", [6, 7, 8, 10, 14, 16, 18])
def test_groups_cover_every_layer_once(num_layers: int) -> None:
    covered = [i for layers in layer_groups(num_layers).values() for i in range(layers.start, layers.stop)]
    assert covered == list(range(num_layers))


def test_larger_mapping_networks_draw_fewer_codes() -> None:
    config = StyleGAN2Config(z_dim=512, c_dim=0, w_dim=512, resolution=8, channels={4: 8, 8: 8}, num_mapping_layers=8)
    large = StyleGAN2(config)
    least, most = fitting.PCA_SAMPLES
    assert num_samples(toy_generator()) == most
    assert least < num_samples(large) < most
    assert num_samples(toy_pggan()) == fitting.STAGE_SAMPLES


# sources that do not drift


@pytest.mark.parametrize(
    ("generator", "fixed"),
    [("toy", True), ("a/b@v1.0.0", True), ("a/b@" + "c" * 40, True), ("a/b", False), ("a/b@dev", False), ("/x", False)],
)
def test_what_stays_the_same_while_the_page_runs(toy_bundles: Path, generator: str, fixed: bool) -> None:
    assert is_fixed(FitSource("sefa", generator)) is fixed


def test_an_unpinned_generator_is_pinned(hub: FakeHub, generator_files: dict[str, bytes]) -> None:
    commit = hub.store.push("acme/faces", generator_files, tag="v1.0.0")
    for source, wanted in {
        "sefa:acme/faces": f"sefa:acme/faces@{commit}",
        "sefa:acme/faces:model.safetensors": f"sefa:acme/faces@{commit}:model.safetensors",
        "sefa:acme/faces@v1.0.0": "sefa:acme/faces@v1.0.0",
    }.items():
        fit = parse_fit(source)
        assert fit is not None
        generator = open_generator(fit.generator, hosted=True)
        pack = fit_pack(fit, generator)
        assert pack.source == wanted
        assert pack.made_for.revision == commit
        assert sources.generator_for(pack, token=False, allow_paths=False).fingerprint == generator.fingerprint
    assert pinned(FitSource("pca", "toy"), toy_generator()) == FitSource("pca", "toy")


@pytest.mark.parametrize(
    ("generator", "name"),
    [
        ("heads-64", "SeFa of heads-64"),
        ("org/faces@v1:nets/a.pkl", "SeFa of a.pkl"),
        ("/home/me/my net.pkl", "SeFa of my net.pkl"),
        ("https://example.org/<b>\n.pkl", "SeFa of b .pkl"),
        ("/" * 80, "SeFa of a generator"),
        ("x" * 400, "SeFa of " + "x" * 60),
    ],
)
def test_names_of_fitted_packs(generator: str, name: str) -> None:
    assert fit_pack(FitSource("sefa", generator), toy_generator()).name == name


@pytest.mark.parametrize("fault", [{"drop": True}, {"status": 503}, {"status": 429, "headers": {"Retry-After": "290"}}])
def test_a_hub_that_fails_is_one_sentence_and_bundled_generators_open(
    toy_bundles: Path, hub: FakeHub, generator_files: dict[str, bytes], fault: dict[str, object]
) -> None:
    hub.store.push("acme/faces", generator_files)
    hub.fault(".", times=-1, **fault)
    with pytest.raises(HubError) as told:
        open_generator("acme/faces", hosted=True)
    assert "\n" not in str(told.value)
    assert sum(hub.pauses) <= 10
    assert open_generator("toy", hosted=True).resolution == 32


def test_a_corrupt_download_is_one_sentence(hub: FakeHub, generator_files: dict[str, bytes]) -> None:
    hub.store.push("acme/faces", generator_files)
    hub.fault("^GET .*/resolve/", times=-1, corrupt=True)
    with pytest.raises(HubError, match="arrived damaged"):
        open_generator("acme/faces", hosted=True)


def test_what_is_no_generator_is_one_sentence(hub: FakeHub, toy_bundles: Path) -> None:
    hub.store.push("acme/text", {"README.md": b"words", "model.safetensors": b"no header", "config.json": b"{}"})
    hub.store.push("acme/words", {"README.md": b"words"})
    for source in ("acme/text", "acme/words", "nobody/nothing"):
        with pytest.raises(EiganError) as told:
            open_generator(source, hosted=True)
        assert "\n" not in str(told.value)
