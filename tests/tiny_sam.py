"""SAM networks of random weights, in the layout and with the code of the real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

SIDE = 64  # of their square input, pixels; 1024 for the real ones

_DECODER = {"num_hidden_layers": 1, "num_attention_heads": 2, "iou_head_hidden_dim": 16, "iou_head_depth": 2}
_PROMPTS = {"image_size": SIDE, "patch_size": 16, "mask_input_channels": 4}


def write_sam(folder: Path, kind: str) -> Any:
    """Write a checkpoint of `sam` or `sam2`, and return the network."""
    transformers = pytest.importorskip("transformers")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = _sam(transformers) if kind == "sam" else _sam2(transformers)
        # Zero in a network that was never trained, and not in real ones.
        torch.nn.init.normal_(network.prompt_encoder.no_mask_embed.weight)
    network.eval().save_pretrained(folder)
    return network


def _sam(transformers: Any) -> Any:
    vision = {
        "hidden_size": 16, "output_channels": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "image_size": SIDE, "patch_size": 16, "window_size": 2, "global_attn_indexes": [0],
        "num_pos_feats": 8, "mlp_dim": 32,
    }  # fmt: skip
    config = transformers.SamConfig(
        vision_config=vision,
        prompt_encoder_config={**_PROMPTS, "hidden_size": 16},
        mask_decoder_config={**_DECODER, "hidden_size": 16, "mlp_dim": 32},
    )
    return transformers.SamModel(config)


def _sam2(transformers: Any) -> Any:
    backbone = {
        "model_type": "sam2_hiera_det_model", "hidden_size": 8, "image_size": [SIDE, SIDE],
        "blocks_per_stage": [1, 1, 2, 1], "embed_dim_per_stage": [8, 16, 24, 32],
        "num_attention_heads_per_stage": [1, 1, 1, 1], "window_size_per_stage": [4, 4, 4, 2],
        "global_attention_blocks": [3], "window_positional_embedding_background_size": [2, 2],
    }  # fmt: skip
    vision = {
        "backbone_config": backbone, "backbone_channel_list": [32, 24, 16, 8],
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]], "fpn_hidden_size": 32,
    }  # fmt: skip
    config = transformers.Sam2Config(
        vision_config=vision,
        prompt_encoder_config={**_PROMPTS, "hidden_size": 32},
        mask_decoder_config={**_DECODER, "hidden_size": 32, "mlp_dim": 32},
    )
    return transformers.Sam2Model(config)
