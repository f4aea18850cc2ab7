"""Encoder and segmentation network."""
