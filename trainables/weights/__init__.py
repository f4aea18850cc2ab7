"""Encoder weights in and out.

source.py      one string says where weights come from; a file on this machine holds them
hubs.py        torchvision, timm and the Hugging Face hub, and what a machine without network can do
files.py       a file's tensors, read without running anything in it
layouts.py     which of a file's keys are the encoder, in the layouts that libraries write
fit.py         every key matched, or an error that names keys and shapes; other input channels
loading.py     an encoder with a source's weights
card.py        saved encoders: safetensors with a card beside them
decoder.py     a decoder that was pretrained with its encoder
provenance.py  what the card of a pretrained encoder tells
"""

from trainables.weights.card import save_encoder
from trainables.weights.decoder import check_decoder, load_decoder
from trainables.weights.files import WeightsError
from trainables.weights.fit import adapt_channels
from trainables.weights.loading import build_encoder, check_unchanged, check_weights
from trainables.weights.provenance import initial_weights, stage_card

__all__ = [
    "WeightsError",
    "adapt_channels",
    "build_encoder",
    "check_decoder",
    "check_unchanged",
    "check_weights",
    "initial_weights",
    "load_decoder",
    "save_encoder",
    "stage_card",
]
