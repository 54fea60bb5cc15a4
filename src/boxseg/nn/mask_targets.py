"""Targets of the mask network from an answer that is only half right: what colours and edges say of it.

The answer is a prior (an ellipse in the box) at first, and that of an averaged teacher later. Two steps make it
better than it was, so that learning from it leads somewhere: colours that are rare outside the object are its
own, and neighbours of one colour have one answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from boxseg.nn.mask_losses import neighbours, shifted
from boxseg.nn.mask_network import _cells

# Bins of the colour histograms: lightness, and the two colour axes from -70 to 70.
BINS = (12, 14, 14)
_AXIS = 70.0
# What colours may add to the log odds at most, how often they are asked, and the share of a colour never seen.
_CLIP = 2.0
_ROUNDS = 2
_UNSEEN = 1e-4
# The mean field: distances to neighbours in cells, the colour distance at which they count 0.6, rounds.
_REACHES = (1, 2, 4, 8)
_SIGMA = 8.0
_MEAN_FIELD_ROUNDS = 8


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """How an answer is refined.

    Attributes:
        colour: λ, weight of what colours say; 0 leaves them out.
        smooth: κ, weight of what neighbours say; 0 leaves them out.
    """

    colour: float = 0.7
    smooth: float = 3.0


def refined(answers: Tensor, lab: Tensor, inside: Tensor, how: Refinement) -> Tensor:
    """Better answers, (B, H, W), 0 outside the box.

    Args:
        answers: (B, H, W), probability of the object.
        lab: (B, 3, H, W) CIELAB.
        inside: (B, H, W), 1 in the box.
        how: Weights.
    """
    answers = answers * inside
    if how.colour:
        answers = colour_model(answers, lab, how.colour) * inside
    if how.smooth:
        answers = mean_field(answers, lab, inside, how.smooth)
    return answers


def sureness(answers: Tensor) -> Tensor:
    """How much an answer is to be trusted: |2p - 1|, 0 where it is undecided."""
    return (2 * answers - 1).abs()


def ellipse_prior(boxes: Tensor, steepness: float = 3.0) -> Tensor:
    """What is known before anything is learned: σ(steepness · (1 - r)), with r = 1 on the ellipse in the box.

    Args:
        boxes: (B, 4) xyxy, in pixels of the crop.
        steepness: Of the fall at the ellipse.

    Returns:
        (B, GRID, GRID).
    """
    places = _cells(boxes)
    left, top, right, bottom = boxes.to(places.dtype)[:, :, None].unbind(1)
    across = (places - (left + right) / 2) / ((right - left) / 2).clamp_min(1)
    down = (places - (top + bottom) / 2) / ((bottom - top) / 2).clamp_min(1)
    radius = (down.square()[:, :, None] + across.square()[:, None, :]).sqrt()
    return torch.sigmoid(steepness * (1 - radius))


def colour_model(answers: Tensor, lab: Tensor, weight: float) -> Tensor:
    """Log odds += weight · log(share of the colour in the object / share in the rest), clipped.

    The shares are histograms over BINS, smoothed, weighted by p and 1 - p, made anew after each round; the log
    odds they are added to stay those of `answers`. GrabCut's colour models (Rother et al., SIGGRAPH 2004),
    soft.

    Args:
        answers: (B, H, W), probability of the object.
        lab: (B, 3, H, W) CIELAB.
        weight: λ.
    """
    bins = _bins(lab)
    odds = torch.logit(answers.clamp(0.01, 0.99))
    for _ in range(_ROUNDS):
        of_object, of_rest = _histogram(bins, answers), _histogram(bins, 1 - answers)
        ratio = torch.log((of_object + _UNSEEN) / (of_rest + _UNSEEN)).clamp(-_CLIP, _CLIP)
        answers = torch.sigmoid(odds + weight * ratio.gather(1, bins).view_as(answers))
    return answers


def mean_field(answers: Tensor, lab: Tensor, inside: Tensor, weight: float) -> Tensor:
    """Mean field of a CRF whose pairs are a cell and its neighbours at four distances, alike in colour or not.

    log odds(i) = those of `answers` + weight · Σ_j w_ij (2 q_j - 1) / max(Σ_j w_ij, 1/2),
    w = exp(-|Δlab|² / 2σ²), repeated: a cell like none of its neighbours hardly heeds them.

    Args:
        answers: (B, H, W), probability of the object.
        lab: (B, 3, H, W) CIELAB.
        inside: (B, H, W), 1 in the box; outside it q is 0.
        weight: κ.

    Source: Lan et al., CVPR 2023, section 3.3, with more and farther neighbours.
    """
    steps = [step for reach in _REACHES for step in neighbours(reach)]
    there = torch.ones_like(inside)
    weights = [
        torch.exp(-(shifted(lab, *step) - lab).square().sum(1) / (2 * _SIGMA**2)) * shifted(there, *step)
        for step in steps
    ]
    total = torch.stack(weights).sum(0).clamp_min(0.5)
    odds = torch.logit(answers.clamp(0.02, 0.98))
    for _ in range(_MEAN_FIELD_ROUNDS):
        votes = 2 * answers - 1
        message = torch.zeros_like(votes)
        for step, likeness in zip(steps, weights, strict=True):
            message.addcmul_(likeness, shifted(votes, *step))
        answers = torch.sigmoid(odds + weight * message / total) * inside
    return answers


def grid_colours(crops: Tensor) -> Tensor:
    """CIELAB (B, 3, GRID, GRID) of crops (B, 3, SIDE, SIDE) RGB 0..255, a cell the mean of 3 x 3 pixels."""
    return cielab(F.avg_pool2d(crops.float(), 3, 2, 1, count_include_pad=False))


def cielab(rgb: Tensor) -> Tensor:
    """CIELAB (D65) of sRGB 0..255, (B, 3, H, W) each. Source: IEC 61966-2-1; CIE 15:2004."""
    c = rgb / 255
    linear = torch.where(c > 0.04045, ((c + 0.055) / 1.055).clamp_min(0) ** 2.4, c / 12.92)
    to_xyz = rgb.new_tensor(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    white = rgb.new_tensor([[0.95047], [1.0], [1.08883]])
    xyz = torch.einsum("ij,bjhw->bihw", to_xyz / white, linear)
    x, y, z = torch.where(xyz > 0.008856, xyz.clamp_min(1e-9) ** (1 / 3), 7.787 * xyz + 16 / 116).unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def _bins(lab: Tensor) -> Tensor:
    """(B, H · W) int64, the bin of each cell."""
    lightness, a, b = lab.unbind(1)
    shares = (lightness / 100, (a + _AXIS) / (2 * _AXIS), (b + _AXIS) / (2 * _AXIS))
    first, second, third = (
        (share * count).long().clamp(0, count - 1) for share, count in zip(shares, BINS, strict=True)
    )
    return ((first * BINS[1] + second) * BINS[2] + third).flatten(1)


def _histogram(bins: Tensor, weights: Tensor) -> Tensor:
    """(B, product of BINS), smoothed by [1, 2, 1] / 4 along each axis, with a sum of 1."""
    count = BINS[0] * BINS[1] * BINS[2]
    found = weights.new_zeros(len(bins), count).scatter_add_(1, bins, weights.flatten(1))
    cube = found.view(-1, 1, *BINS)
    taps = weights.new_tensor([1.0, 2.0, 1.0]) / 4
    for axis in range(3):
        shape = [1, 1, 1, 1, 1]
        shape[axis + 2] = 3
        padding = [int(place == axis) for place in range(3)]
        cube = F.conv3d(cube, taps.view(shape), padding=padding)
    flat = cube.flatten(1)
    return flat / flat.sum(1, keepdim=True).clamp_min(1e-6)
