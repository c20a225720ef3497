"""The table of networks agrees with what the libraries build and offer."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import timm
import torch
import torchvision
from typer.testing import CliRunner

from plainfilm.cli import app
from plainfilm.config import ModelConfig, Phase, TrainConfig
from plainfilm.errors import ConfigError, MissingError
from plainfilm.models.build import build_model, parameter_count
from plainfilm.models.registry import MODELS, check_options, check_sizes, get_spec
from plainfilm.schemas.documents import ModelsDocument
from wording import lacking

NAMES = [
    pytest.param(name, marks=[] if spec.installed else pytest.mark.skip(reason=f"{spec.library} is not installed"))
    for name, spec in MODELS.items()
]


def phases_at(*sizes):
    return TrainConfig(size_px=sizes[-1], phases=[Phase(epochs=1, size_px=size) for size in sizes])


@pytest.mark.parametrize("name", ["paper", "vgg16", "vit_tiny"])
def test_networks_of_one_size_refuse_phases_of_several(name):
    assert check_sizes(ModelConfig(name=name), phases_at(64, 64)).name == name
    with pytest.raises(ConfigError) as refused:
        check_sizes(ModelConfig(name=name), phases_at(64, 96))
    able = "Give every phase size_px 96, or take --model paper-gap, compact, resnet18,"
    assert (
        lacking(str(refused.value), f"train.phases: '{name}' is built for images of one size", "64, 96 px", able) == []
    )
    assert name not in str(refused.value).partition("or take --model")[2].split(", ")


def test_each_size_of_a_phase_must_fit_the_network():
    assert check_sizes(ModelConfig(name="compact"), phases_at(32, 96)).any_size
    with pytest.raises(
        ConfigError, match=r"^train.phases: 31 px is too small for 'compact', which needs 32.*size_px.$"
    ):
        check_sizes(ModelConfig(name="compact"), phases_at(31, 96))
    with pytest.raises(ConfigError, match=r"^train.phases: 20 px is too small for 3 blocks"):
        check_sizes(ModelConfig(name="paper-gap"), phases_at(20, 96))
    with pytest.raises(ConfigError, match=r"^train.size_px: 31 px is too small"):
        check_sizes(ModelConfig(name="compact"), TrainConfig(size_px=31))


def test_a_small_size_is_told_what_takes_it_and_what_this_network_needs():
    said = {
        ("paper", 35): "3 blocks of 5x5 convolution and pooling, which needs 36; compact, vgg16 take 35",
        ("compact", 28): "'compact', which needs 32; no network takes 28",
        ("resnet18", 32): "'resnet18', which needs 64; compact, vgg16, vit_tiny take 32",
    }
    for (name, size_px), words in said.items():
        with pytest.raises(ConfigError) as refused:
            check_sizes(ModelConfig(name=name), TrainConfig(size_px=size_px))
        assert lacking(str(refused.value), f"{size_px} px is too small for {words}", "larger --size") == []


@pytest.mark.parametrize(("kernel", "blocks", "least"), [(3, 3, 22), (3, 5, 94), (5, 3, 36), (7, 4, 106)])
def test_the_least_size_leaves_one_cell_and_one_less_leaves_none(kernel: int, blocks: int, least: int):
    """5x5: 36 px -> 16 -> 6 -> 1 cell."""
    cfg = ModelConfig(name="paper", kernel=kernel, filters=(4,) * blocks)
    check_sizes(cfg, TrainConfig(size_px=least))
    with pytest.raises(ConfigError, match=f"which needs {least};"):
        check_sizes(cfg, TrainConfig(size_px=least - 1))


def test_a_network_of_timm_says_itself_whether_its_size_is_fixed():
    sizes = {name: get_spec(f"timm/{name}").any_size for name in ("resnet10t", "deit_tiny_patch16_224")}
    assert sizes == {"resnet10t": True, "deit_tiny_patch16_224": False}


def test_the_literatures_families_are_there():
    wanted = "paper paper-gap compact resnet18 resnet34 resnet50 densenet121 vgg16 inception_v3 xception mobilenetv3 efficientnet_b0 efficientnet_lite0 efficientnet_lite1 efficientnet_lite2 convnext_atto vit_tiny"
    assert set(wanted.split()) == set(MODELS)


@pytest.mark.parametrize("name", NAMES)
def test_the_table_names_the_parameters_that_are_built(name):
    spec = MODELS[name]
    # vgg16 alone would take 4 s to draw; without values its shapes are the same
    with torch.device("meta") if spec.library == "torchvision" and name != "inception_v3" else torch.device("cpu"):
        model = build_model(ModelConfig(name=name), 2, spec.size_px)
        norms = [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
        assert bool(norms) is spec.batch_norm
    assert parameter_count(model) == spec.parameters


def test_compact_is_compact():
    assert MODELS["compact"].parameters < 400_000


@pytest.mark.parametrize("name", [n for n, s in MODELS.items() if s.library == "torchvision"])
def test_file_names_are_those_that_torchvision_expects(name):
    spec = MODELS[name]
    enum = torchvision.models.get_model_weights(spec.builder)
    weights = enum["IMAGENET1K_V1"]
    file = spec.imagenet[0]
    assert weights.url == file.url
    assert file.mb == pytest.approx(weights.meta["_file_size"], abs=0.06)
    assert len(file.sha256_prefix) == 8
    if name != "inception_v3":  # torchvision's preset feeds these through a second normalisation to -1..1
        assert weights.transforms().mean == list(spec.mean)
        assert weights.transforms().std == list(spec.std)


def test_the_command_prints_every_network_narrow_and_as_json():
    shown = CliRunner().invoke(app, ["models"], env={"COLUMNS": "80"})
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert len(lines) < 24 and max(map(len, lines)) <= 80  # on one screen
    assert lines[0].split() == ["model", "px", "min", "input", "parameters", "ImageNet", "licence"]
    for name, spec in MODELS.items():
        (row,) = [line for line in lines if line.startswith(f"{name} ")]
        assert row.split()[-1] == spec.licence == (spec.weights_licence or spec.licence).partition(",")[0]
    more = CliRunner().invoke(app, ["models", "-v"], env={"COLUMNS": "80"}).stdout
    for statistics in ("mean 0.485/0.456/0.406, std 0.229/0.224/0.225", "mean 0.5, std 0.25"):
        assert lacking(more, f"Pixels: {statistics}") == []
    assert [name for name, spec in MODELS.items() if f"{name}: {spec.source}" not in more] == []
    assert more.endswith("".join(f"{line}\n" for line in lines[:-1]))  # the table is what is left on the screen
    printed = json.loads(CliRunner().invoke(app, ["models", "--json"]).stdout)
    document = ModelsDocument.model_validate(printed)
    assert [row.name for row in document.models] == list(MODELS)


def test_the_command_imports_nothing_heavy():
    code = (
        "import sys\nfrom plainfilm.cli import app\ntry:\n    app(['models', '-q'])\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = {'torch', 'torchvision', 'timm', 'fastai'} & set(sys.modules)\nassert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize(("given", "near"), [("resnet81", "resnet18"), ("densnet121", "densenet121"), ("vit-tiny", "vit_tiny")])  # fmt: skip
def test_similar_names_are_suggested(given, near, refusal):
    message = refusal(lambda: get_spec(given), ConfigError)
    assert f"{near!r}" in message.split("Did you mean")[1]
    assert f"timm/NAME with any of timm's {len(timm.list_models()):,} names" in message


def test_a_name_of_timm_without_timm_says_how_to_get_it(refusal, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install timm" in refusal(lambda: get_spec("timm/resnet10t"), MissingError)
    assert "pip install timm" in refusal(lambda: get_spec("resnet10t"), ConfigError)


def test_an_option_that_would_do_nothing_is_refused(refusal):
    message = refusal(lambda: check_options(ModelConfig(name="resnet18", filters=(8, 8), dense=3)), ConfigError)
    assert "model.filters, model.dense" in message
    assert "dropout" in refusal(lambda: check_options(ModelConfig(name="compact", kernel=3)), ConfigError)
    check_options(ModelConfig(name="compact", dropout=0.5))


@pytest.mark.parametrize(
    ("name", "size", "says"),
    [("resnet18", 63, "needs 64"), ("compact", 31, "32"), ("paper-gap", 35, "too small"), ("vit_tiny", 100, "Choose --size 96")],
)  # fmt: skip
def test_an_impossible_size_is_refused_before_anything_is_built(name, size, says, refusal):
    assert says in refusal(lambda: build_model(ModelConfig(name=name), 2, size), ConfigError)


@pytest.mark.parametrize("std", [0, [0.1, 0.1, -1], [1, 1], "nan"])
def test_impossible_statistics_are_refused(std):
    with pytest.raises(ValueError, match="std"):
        ModelConfig(std=std)


def test_one_number_stands_for_three_channels():
    assert ModelConfig(mean=0.5).mean == (0.5, 0.5, 0.5)
