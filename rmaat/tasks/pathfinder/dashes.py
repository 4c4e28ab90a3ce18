"""Pathfinder's dashes and discs: every one that can occur is drawn once, by Pillow as in the original.

Ported from drewlinsley/pathfinder (snakes.py, snakes2.py). Coordinates are whole pixels (y, x), directions radians with
y pointing down; a mask (0..1) is what is occupied.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw


class DashShape(NamedTuple):
    """What decides how dashes and discs look; lengths in pixels."""

    antialias_scale: int
    paddle_length: int
    paddle_thickness: float
    marker_radius: float


class Stamps(NamedTuple):
    """All dashes for one margin. Directions 0..359 are the degrees -180..179 of a first dash, the rest one per turn."""

    angle: np.ndarray  # (n,) direction in radians
    head: np.ndarray  # (n, 2) tail to head, pixels (y, x)
    pivot: np.ndarray  # (n, 2) tail to pivot for a first dash
    advance: np.ndarray  # (n, 2) pivot to the next dash's pivot
    line: np.ndarray  # (n, s, s) the dash, 0..1; drawn from its tail (first dash) or back from its head (the rest)
    mask: np.ndarray  # (n, s, s) what it occupies, 0..1
    sweep: np.ndarray  # (n, k, 2) offsets of the pixels that must be free for a first dash, padded by repetition
    turn: np.ndarray  # (n - 360, 2) pivot to head for the direction 360 + i
    disc: np.ndarray  # (d, d) a marker, 0..1
    margin: np.ndarray  # (j, 2) offsets within the margin


def _shrink(fine: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Scale a 0/255 drawing down as scipy.misc.imresize(..., interp="lanczos") did, to 0..1."""
    image = Image.fromarray(fine.astype(np.uint8))
    return np.asarray(image.resize(shape[::-1], Image.Resampling.LANCZOS), dtype=np.float64) / 255


def _ceil(x: float) -> int:
    return math.ceil(round(x, 9))  # whole numbers stay whole in spite of sines that are off by 1e-16


def _offset(angle: float, distance: float) -> tuple[int, int]:
    return _ceil(distance * math.sin(angle)), _ceil(distance * math.cos(angle))


def _disk(radius: int) -> np.ndarray:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.argwhere(y**2 + x**2 <= radius**2) - radius


def _dash(p: DashShape, margin: int, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Line and mask of a dash from the middle of its square in this direction."""
    reach, scale = p.paddle_length + math.ceil(p.paddle_thickness) + margin, p.antialias_scale
    fine, centre = reach * 2 * scale + 1, reach * scale
    dy, dx = _offset(angle, p.paddle_length * scale)
    image = Image.new("L", (fine, fine), 0)
    ends = [(centre, centre), (centre + dx, centre + dy)]
    ImageDraw.Draw(image).line(ends, fill=255, width=round(p.paddle_thickness * scale))
    line = np.asarray(image)
    dilated = np.zeros_like(line)
    padded = np.pad(line, margin * scale)
    for dy, dx in _disk(margin * scale) + margin * scale:
        np.maximum(dilated, padded[dy : dy + fine, dx : dx + fine], out=dilated)
    shape = (2 * reach + 1, 2 * reach + 1)
    return _shrink(line, shape), _shrink(dilated, shape)


def _sweep(p: DashShape, margin: int, mask: np.ndarray) -> np.ndarray:
    """Offsets from a first dash's tail to the fully masked pixels about it.

    The original places the dash one pixel off the middle of its structuring element; so do we.
    """
    reach, side = p.paddle_length + math.ceil(p.paddle_thickness) + margin, (p.paddle_length + margin) * 2 + 1
    offsets = np.argwhere(mask >= 1.0) - reach + 1
    inside = (np.abs(offsets) <= side // 2).all(axis=1)
    return offsets[inside]


@lru_cache(maxsize=16)
def make_stamps(p: DashShape, margin: int) -> Stamps:
    """Draw every dash and disc that can occur with these parameters and this margin."""
    step = p.paddle_length + margin
    around = np.arange(0, 360, 360 / (2 * step * np.pi)) * np.pi / 180
    circle = step * np.stack([np.sin(around), np.cos(around)], axis=1)  # of this radius about the pivot
    turns = np.unique(np.floor(np.round(circle, 9)), axis=0).astype(np.int64)  # its pixels, coordinates truncated
    angles = [math.radians(degree) for degree in range(-180, 180)] + [math.atan2(y, x) for y, x in turns]
    flip = [angle + math.pi if angle < 0 else angle - math.pi for angle in angles]
    drawn = [_dash(p, margin, angle if i < 360 else flip[i]) for i, angle in enumerate(angles)]
    sweeps = [_sweep(p, margin, mask) for _, mask in drawn[:360]]
    widest = max(len(sweep) for sweep in sweeps)
    heads = np.array([_offset(angle, p.paddle_length) for angle in angles])
    back = [_offset(angle, step) for angle in flip]
    side, scale = 2 * (math.ceil(p.marker_radius) + 3) + 1, p.antialias_scale
    y, x = np.mgrid[: side * scale, : side * scale] - side // 2 * scale
    return Stamps(
        angle=np.array(angles),
        head=heads,
        pivot=heads + np.array(back),
        advance=np.array([_offset(angle, p.paddle_length + 2 * margin) for angle in angles]),
        line=np.array([line for line, _ in drawn]),
        mask=np.array([mask for _, mask in drawn]),
        sweep=np.array([np.resize(sweep, (widest, 2)) for sweep in sweeps]),
        turn=turns,
        disc=_shrink((y**2 + x**2 <= (p.marker_radius * scale) ** 2) * 255, (side, side)),
        margin=_disk(margin),
    )
