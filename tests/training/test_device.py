import pytest
import torch

from training.device import Device
from training.errors import ConfigError
from training.sections import TrainingConfig

no_card = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a graphics card")


def computed(device: Device) -> torch.dtype:
    ones = torch.ones(2, 2, device=device.place)
    with device.step():
        return (ones @ ones).dtype


@no_card
def test_without_a_card_steps_are_on_the_processor_in_fp32_unless_told_otherwise():
    device = Device.of(TrainingConfig())
    assert device.place.type == "cpu"
    assert computed(device) == torch.float32
    assert computed(Device.of(TrainingConfig(precision="bf16"))) == torch.bfloat16


@no_card
def test_a_card_that_is_not_there_is_named_with_the_way_out():
    with pytest.raises(ConfigError, match=r'training\.device = "cuda".* or take "auto"'):
        Device.of(TrainingConfig(device="cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no graphics card")
def test_a_card_is_taken_unless_told_otherwise():
    device = Device.of(TrainingConfig())
    assert device.place.type == "cuda"
    assert computed(device) == (torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float32)
    assert computed(Device.of(TrainingConfig(precision="fp32"))) == torch.float32
    assert Device.of(TrainingConfig(device="cpu")).place.type == "cpu"
