"""Batch norm over the samples of all workers on a CPU, where torch synchronises none.

In: a network inside several processes. Out: the same network, whose batch norms take mean and variance over all
processes' samples, with gradients, under the same keys in the state dict. torch.nn.SyncBatchNorm does so on CUDA alone.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _SumOverSiblings(torch.autograd.Function):
    """A sum over the processes; a term's gradient is the sum of the gradients of all its uses."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


class SynchronisedNorm(_BatchNorm):
    """Batch norm in training over all processes' samples, which hold equally many each; as usual in evaluation."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected (batch, channel, ...), found {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised (batch, channel, ...) input in its own type; statistics are float32 at least."""
        self._check_input_dim(input)
        if not self.training:
            return super().forward(input)
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        dims = [0, *range(2, input.dim())]
        variance, mean = torch.var_mean(values, dims, correction=0)
        num_siblings = dist.get_world_size()
        whole_mean = _sum(mean) / num_siblings
        whole_variance = _sum(variance + (mean - whole_mean) ** 2) / num_siblings
        self._track(whole_mean.detach(), whole_variance.detach(), num_siblings * input.numel() // input.shape[1])
        scale = torch.rsqrt(whole_variance + self.eps)
        if self.affine:
            scale = scale * self.weight
        shift = -whole_mean * scale
        if self.affine:
            shift = shift + self.bias
        shape = [1, -1] + [1] * (input.dim() - 2)
        return torch.addcmul(shift.view(shape), values, scale.view(shape)).to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, num_values: int) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * (num_values / (num_values - 1)), share)


def _sum(value: Tensor) -> Tensor:
    total: Tensor = _SumOverSiblings.apply(value)
    return total


def convert(network: nn.Module) -> None:
    """Replace every batch norm inside a network by a synchronised one that shares its parameters and buffers."""
    for name, child in network.named_children():
        if isinstance(child, _BatchNorm):
            setattr(network, name, _synchronised(child))
        else:
            convert(child)


def _synchronised(norm: _BatchNorm) -> SynchronisedNorm:
    result = SynchronisedNorm(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    result.weight, result.bias = norm.weight, norm.bias
    result.running_mean, result.running_var = norm.running_mean, norm.running_var
    result.num_batches_tracked = norm.num_batches_tracked
    return result.train(norm.training)
