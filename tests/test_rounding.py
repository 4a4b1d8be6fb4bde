import torch
from safetensors.torch import load, save

from gatys_lab.networks._rounding import pack, unpack


def test_a_rows_error_is_at_most_half_a_step_of_its_own_largest_weight():
    weight = torch.randn(6, 4, 3, 3) * torch.logspace(-4, 2, 6).view(-1, 1, 1, 1)
    restored = unpack(load(save(pack({"a.weight": weight}))))["a.weight"]
    step = weight.flatten(1).abs().amax(1) / 127
    error = (restored - weight).flatten(1).abs().amax(1)
    assert restored.dtype == torch.float32 and (error <= 0.5001 * step).all() and error.max() > 0


def test_a_row_of_zeros_stays_so_and_biases_keep_half_precision():
    tensors = {"a.weight": torch.tensor([[0.0, 0.0], [1.0, -3.0]]), "a.bias": torch.tensor([0.1, 2.0])}
    packed = pack(tensors)
    restored = unpack(packed)
    assert packed["a.weight"].dtype == torch.int8 and packed["a.bias"].dtype == torch.float16
    assert torch.equal(restored["a.weight"][0], torch.zeros(2))
    assert torch.equal(restored["a.bias"], tensors["a.bias"].half().float()) and set(restored) == set(tensors)


def test_what_was_rounded_once_is_not_changed_by_rounding_again():
    once = unpack(pack({"w": torch.randn(5, 7)}))
    torch.testing.assert_close(unpack(pack(once)), once, rtol=1e-6, atol=0)
