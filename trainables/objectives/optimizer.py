"""The optimiser of a pretraining stage; biases and norms take no weight decay, nor LARS's layer-wise scaling.

Source: ``lars``; Loshchilov & Hutter 2019 (AdamW).
"""

import torch
from torch import nn

from trainables.config import StageConfig
from trainables.objectives.lars import LARS


def build_optimizer(network: nn.Module, config: StageConfig) -> torch.optim.Optimizer:
    """Return the stage's optimiser over the parameters that take gradients."""
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {
            "params": [parameter for parameter in trainable if parameter.ndim > 1],
            "weight_decay": config.weight_decay,
        },
        {"params": [parameter for parameter in trainable if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, nesterov=config.momentum > 0)
    return LARS(groups, lr=config.learning_rate, momentum=config.momentum, trust_coefficient=config.trust_coefficient)
