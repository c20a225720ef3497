"""The speed switches: what each one changes in the bits, and counts that hold on any machine."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from plainfilm.config import SPEED_SWITCHES, ModelConfig, Phase, SpeedConfig, TrainConfig, load_config
from plainfilm.config.gpu import GpuConfig
from plainfilm.errors import ConfigError, UsageError
from plainfilm.models.build import build_model
from plainfilm.train.fit import fit_phases
from plainfilm.train.learner import make_learner
from plainfilm.train.machine import speed
from plainfilm.train.machine.precision import Precision
from wording import lacking

PHASES = [Phase(epochs=1, size_px=40, lr=2e-3)]


def trained(make_learn, **switches):
    learn = make_learn(speed=SpeedConfig(**switches))
    fit_phases(learn, PHASES)
    return torch.cat([value.flatten() for value in learn.model.state_dict().values()])


@pytest.mark.parametrize("name", ["gather", "plain_tensors"])
def test_a_switch_that_only_saves_time_changes_no_bit(make_learn, name):
    assert torch.equal(trained(make_learn), trained(make_learn, **{name: False}))


@pytest.mark.parametrize("name", ["fused", "grey_augment", "grey_first_layer"])
def test_a_switch_that_changes_the_order_of_sums_changes_little(make_learn, name):
    torch.testing.assert_close(trained(make_learn), trained(make_learn, **{name: False}), atol=2e-4, rtol=0)


def test_the_memory_format_of_the_images_changes_gradients_only_by_rounding(make_learn):
    found = []
    for on in (True, False):
        model = make_learn(speed=SpeedConfig(channels_last=on)).model.eval()
        model(torch.rand(8, 1, 40, 40, generator=torch.Generator().manual_seed(1))).square().sum().backward()
        found.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4 * float(found[0].abs().max()))


def test_max_pool_before_relu_is_bit_identical_forward_and_backward():
    x = torch.rand(4, 1, 40, 40)
    found = []
    for first in (True, False):
        model = build_model(ModelConfig(dropout=0, dense_dropout=0), 2, 40, speed=SpeedConfig(pool_first=first)).train()
        model(x).square().sum().backward()
        found.append([model(x).detach(), *(p.grad for p in model.parameters())])
    names = [type(layer).__name__ for layer in model.network.features][:3]
    assert names == ["_FirstConv", "ReLU", "MaxPool2d"]
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_images_have_the_memory_format_of_the_switch(make_learn):
    for on in (True, False):
        learn = make_learn(speed=SpeedConfig(channels_last=on))
        seen = []
        learn.model.network.features[0].register_forward_hook(lambda *given, seen=seen: seen.append(given[2]))
        for channels in (1, 3):
            learn.model(torch.rand(2, channels, 40, 40))
        assert [maps.is_contiguous(memory_format=torch.channels_last) for maps in seen] == [on, on]


def test_each_switch_has_a_sentence_and_the_config_refuses_others_with_the_reason():
    assert len(SPEED_SWITCHES) == 9
    assert all(len(str(field.description)) > 20 for field in SpeedConfig.model_fields.values())
    with pytest.raises(ConfigError, match="did you mean 'allocator'"):
        load_config(options={"train.speed.alocator": False})
    for key in ("train.amp", "train.speed.precision", "train.fp16"):
        with pytest.raises(ConfigError, match="mixed precision is train.precision: bf16 or auto; without a processor"):
            load_config(options={key: True})
    with pytest.raises(ConfigError, match=r"torch.compile is not offered: on a CPU"):
        load_config(options={"train.compile": True})


def test_what_makes_a_cpu_slower_is_refused_with_the_reason(make_learn):
    for of_fastai in ("to_fp16", "to_bf16"):
        with pytest.raises(UsageError, match=r"^fastai's mixed precision is for a GPU") as error:
            fit_phases(getattr(make_learn(), of_fastai)(), PHASES)
        assert lacking(str(error.value), "Remove to_fp16()", "--precision bf16 (train.precision)") == []
    learn = make_learn()
    learn.model = torch.compile(learn.model)
    with pytest.raises(UsageError, match=r"^torch.compile on a CPU"):
        fit_phases(learn, PHASES)


def test_threads_are_those_asked_for_and_never_more_than_the_cores(monkeypatch):
    monkeypatch.setattr(speed, "usable_cores", lambda: 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    assert speed.threads_for(SpeedConfig()) == 1
    assert speed.threads_for(SpeedConfig(threads=3)) == 3
    monkeypatch.setattr(speed, "usable_cores", lambda: None)
    assert speed.threads_for(SpeedConfig()) == 64


def test_far_more_threads_than_cores_are_refused(monkeypatch):
    monkeypatch.setattr(speed.os, "cpu_count", lambda: 2)
    assert speed.threads_for(SpeedConfig(threads=16)) == 16
    with pytest.raises(UsageError, match=r"--threads 17: this machine has 2 cores. Give 1 to 16, or auto."):
        speed.threads_for(SpeedConfig(threads=17))


def test_a_run_records_what_was_in_effect():
    facts = speed.facts("cpu", SpeedConfig(fused=False), False, Precision("bf16", "this processor has AMX"))
    assert (facts["precision"], facts["precision_reason"]) == ("bf16", "this processor has AMX")
    assert facts["fused"] is False
    assert facts["allocator"] is False
    assert facts["channels_last"] is True
    assert facts["threads"] == torch.get_num_threads()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the allocator's setting is glibc's")
def test_a_step_maps_almost_no_new_memory():
    """Page faults per image at 160 px: a thousand with glibc's own settings.

    In separate processes: the setting is permanent, and memory freed by earlier tests would hide the difference.
    Without huge pages, since the number of free ones varies between machines: eight runs had 0.1 to 104 with the
    setting and 1,044 to 1,856 without it.
    """
    done = subprocess.run([sys.executable, str(Path(__file__).with_name("faults.py"))], capture_output=True, text=True)
    kept, kept_hash, given_back, given_back_hash = done.stdout.split()
    assert float(kept) < 300
    assert float(given_back) > 600
    assert kept_hash == given_back_hash


def test_a_step_copies_each_image_a_known_number_of_times(make_learn):
    """Copies of whole batches between the gathered pixels and the first convolution, counted by torch's profiler:
    the cast to float, two coordinates of the sampling grid, and the layout that the convolution wants.
    """
    learn = make_learn()
    fit_phases(learn, PHASES)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as seen:
        x, _ = learn.dls.train.one_batch()
        learn.model(x.as_subclass(torch.Tensor))
    pixels = x.shape[0] * x.shape[2] * x.shape[3]
    copies = [
        event
        for event in seen.key_averages(group_by_input_shape=True)
        if event.key == "aten::copy_"
        and event.input_shapes
        and event.input_shapes[0]
        and int(np.prod(event.input_shapes[0])) >= pixels
    ]
    assert sum(event.count for event in copies) <= 4


@pytest.mark.parametrize("network", ["paper", "paper-gap", "compact"])
def test_networks_of_one_and_of_three_channels_train_with_each_switch_off(make_learn, tmp_path, network):
    for name in SPEED_SWITCHES:
        cfg = TrainConfig(size_px=40, batch_size=8, speed=SpeedConfig(**{name: False}))
        dls = make_learn(speed=cfg.speed).dls
        options = {"filters": (4, 8), "dense": 8} if network != "compact" else {}
        model = build_model(ModelConfig(name=network, **options), 2, 40, channels=1, speed=cfg.speed)
        fit_phases(make_learner(dls, model, cfg, path=tmp_path), PHASES)


@pytest.fixture
def cuda_flags():
    products, convolutions, benchmark = *speed._tf32(), torch.backends.cudnn.benchmark
    yield
    speed._set_tf32(products=products, convolutions=convolutions)
    torch.backends.cudnn.benchmark = benchmark


def test_the_settings_of_a_gpu_are_set_for_cuda_alone(cuda_flags):
    cpu = torch.backends.mkldnn.conv.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision
    for tf32 in (True, False):
        speed.set_up_gpu(GpuConfig(tf32=tf32, cudnn_benchmark=not tf32))
        assert speed._tf32() == (tf32, tf32)
        assert torch.backends.cudnn.benchmark is not tf32
    assert (torch.backends.mkldnn.conv.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision) == cpu


def test_scores_are_computed_in_whole_float32_and_training_goes_on_as_before(cuda_flags):
    speed._set_tf32(products=True, convolutions=False)
    with speed.full_fp32_products("cpu"):
        assert speed._tf32() == (True, False)
    with pytest.raises(KeyError), speed.full_fp32_products("cuda:0"):
        assert speed._tf32() == (False, False)
        raise KeyError
    assert speed._tf32() == (True, False)


@pytest.mark.parametrize("tf32", [True, False])
def test_a_network_is_exported_in_the_process_that_trained_it_on_a_gpu(cuda_flags, tf32):
    from plainfilm.export.onnx import export_onnx
    from plainfilm.runs.scaling import Scaling

    speed.set_up_gpu(GpuConfig(tf32=tf32))
    with speed.full_fp32_products("cuda"):
        pass
    assert export_onnx(build_model(ModelConfig(name="compact"), 2, 32, channels=1), Scaling(), (1, 32, 32))


def test_a_run_on_a_gpu_records_its_settings_and_a_run_on_a_cpu_says_nothing_of_them():
    assert speed.gpu_facts("cpu", GpuConfig(), resident=False) == {}
    assert speed.gpu_facts("cuda", GpuConfig(tf32=False), resident=False) == {
        "gpu": {"resident": False, "tf32": False, "cudnn_benchmark": True, "loss_every": 32}
    }
