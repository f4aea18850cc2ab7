"""Batch norm over the samples of all workers on a CPU, where torch synchronises none.

In: a network inside several processes. Out: the same network, whose batch norms take mean and variance over all
processes' samples, with gradients, under the same keys in the state dict. torch.nn.SyncBatchNorm does so on CUDA alone.
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _NormaliseOverSiblings(torch.autograd.Function):
    """Batch norm whose statistics, and the gradients through them, are those of all processes' values.

    torch's own kernels do the work on (batch, channel, ...) values; between them one message each way. Composed of
    differentiable sums it took several times as long. Gradients as in Ioffe & Szegedy 2015, section 3.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Any:
        """Return the normalised values, and mean and biased variance of each channel."""
        mine = torch.stack(torch.ops.aten.batch_norm_update_stats(values, None, None, 0.0))
        means, variances = _of_all_siblings(mine).unbind(1)  # (process, channel)
        mean = means.mean(0)
        variance = (variances + (means - mean) ** 2).mean(0)
        ctx.save_for_backward(values, weight, mean, variance)
        ctx.eps, ctx.has_bias = eps, bias is not None
        ctx.mark_non_differentiable(mean, variance)
        return F.batch_norm(values, mean, variance, weight, bias, training=False, eps=eps), mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Return the gradients of the values, and of weight and bias from this process's values alone."""
        values, weight, mean, variance = ctx.saved_tensors
        as_if_constant, for_weight, for_bias = torch.ops.aten.native_batch_norm_backward(
            gradients[0], values, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        sums = _of_all_siblings(torch.stack([for_weight, for_bias])).sum(0)
        along, constant = sums / (dist.get_world_size() * values.numel() // values.shape[1])
        precision = torch.rsqrt(variance + ctx.eps)
        scale = precision if weight is None else precision * weight
        slope = -scale * precision * along
        offset = -scale * constant - slope * mean
        shape = [1, -1] + [1] * (values.dim() - 2)
        for_values = as_if_constant.addcmul_(values, slope.view(shape)).add_(offset.view(shape))
        return for_values, None if weight is None else for_weight, for_bias if ctx.has_bias else None, None


def _of_all_siblings(mine: Tensor) -> Tensor:
    """Return small tensors of all processes as (process, ...).

    Sums are made of these, too: gloo's all-reduce is a chain of messages, and takes longer than its gathering.
    """
    everyones = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(everyones, mine)
    return torch.stack(everyones)


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
        output, mean, variance = _NormaliseOverSiblings.apply(values, self.weight, self.bias, self.eps)
        self._track(mean, variance, dist.get_world_size() * input.numel() // input.shape[1])
        return output.to(input.dtype)  # type: ignore[no-any-return]

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, num_values: int) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * (num_values / (num_values - 1)), share)


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
