import torch

from training.threads import single


def test_one_thread_and_no_denormals_inside_and_as_before_outside():
    torch.set_num_threads(2)
    tiny = torch.tensor([1e-39])

    with single(when=True):
        assert torch.get_num_threads() == 1
        assert (tiny * 0.5).item() == 0.0

    assert torch.get_num_threads() == 2
    assert (tiny * 0.5).item() > 0.0


def test_a_training_that_moves_the_encoder_keeps_its_threads():
    torch.set_num_threads(2)

    with single(when=False):
        assert torch.get_num_threads() == 2
