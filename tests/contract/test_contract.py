"""Every operation of every installed plugin keeps the contract; no operation can skip it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from pipeline_depth.deep_image import DeepImage
from pipeline_models import networks

from pipeline_core import Model, Table
from pipeline_core.testing import contract


def deep_image(seed: int) -> DeepImage:
    """Points and volumes, at depths so few that many coincide and overlap."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, 6 * 5)
    samples = rng.random((counts.sum(), 4), dtype=np.float32)
    samples[:, 0] *= samples[:, 1]
    samples[:, 2] = rng.integers(0, 5, len(samples))
    samples[:, 3] = samples[:, 2] + rng.integers(0, 3, len(samples))
    return DeepImage(np.concatenate([[0], np.cumsum(counts)]), samples, 6, 5, ("Y", "A", "Z", "ZBack"))


def untrained(architecture: str, **config: Any) -> Model:
    """A network as small as can be, with random numbers."""
    torch.manual_seed(0)
    return Model(architecture, networks.make(architecture, config).state_dict(), config)


UNET = untrained("unet", channels=3, labels=["ground", "figure"], widths=[4, 4])
CLASSIFIER = untrained("small_classifier", channels=1, labels=["a", "b"], size=[8, 8], width=4, features=6)
DETECTOR = untrained("center_detector", channels=3, labels=["a", "b"], widths=[4, 4])
ONE_BOX = Table(("x", "y", "width", "height", "label", "score"), ((3.5, 4.0, 12.0, 9.5, "a", 0.75),))
GAN = untrained("dcgan", size=[40, 32], channels=["R", "G", "B"], labels=["a", "b"], latent_channels=4, width=2)
UPSCALER = untrained("residual_upscaler", factor=2, width=4, blocks=1)
DENOISER = untrained("gated_denoiser", widths=[4, 4], down=[1], middle=1, up=[1])

test_contract = contract(
    params={
        "detect": {"threshold": 0.015},  # of a network that has seen nothing
        "compare_sets": {"patches": 256, "projections": 8},
        "apply_lut": {"path": str(Path(__file__).with_name("warm.cube"))},
        "load_model": {"name": "photo-x2"},
        "convert_model": {"path": str(Path(__file__).with_name("two.pth"))},  # w: 2x3 of ones, b: 2 of zeros
        "load_table": {"path": str(Path(__file__).with_name("labels.csv"))},
        "load_deep": {"path": str(Path(__file__).with_name("deep.exr"))},  # 4x3 YAZ, 12 samples of noise
        "load_layers": {"path": str(Path(__file__).with_name("layers.psd"))},  # 7x5, three layers and a group
        "load_exr_layers": {"path": str(Path(__file__).with_name("layers.exr"))},  # 4x3, RGBA and normals
        "merge_tiles": {"width": 40, "height": 32},
        "split_tiles": {"size": [24, 20], "overlap": 4},
        "palette_map": {"dither": "floyd-steinberg"},
        "remove_background": {"x": 6, "y": 4, "width": 28, "height": 24},
        "gan_train": {"preset": "tiny", "steps": 2},
        "gan_project": {"steps": 2, "starts": 2},
        "resize": {"width": 24},
        "image_set": {"names": ["figure", "ground"]},
        "stack_layers": {"names": ["figure", "ground"]},
    },
    values={
        "super_resolve": {Model: [UPSCALER]},
        "denoise_model": {Model: [DENOISER]},
        "encode_model": {Model: [UPSCALER]},
        "gan_sample": {Model: [GAN]},
        "gan_interpolate": {Model: [GAN]},
        "gan_project": {Model: [GAN]},
        "discriminate": {Model: [GAN]},
        DeepImage: [deep_image(1), deep_image(2)],
        "classify": {Model: [CLASSIFIER]},
        "compare_sets": {Model: [CLASSIFIER]},
        "nearest": {Model: [CLASSIFIER]},
        "segment": {Model: [UNET]},
        "segment_classes": {Model: [UNET]},
        "detect": {Model: [DETECTOR]},
        "draw_boxes": {Table: [ONE_BOX]},
        "crop_by_boxes": {Table: [ONE_BOX]},
    },
)
