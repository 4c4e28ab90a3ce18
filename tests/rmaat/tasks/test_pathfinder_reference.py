"""Pathfinder once more, the plain way: whole-image masks, every dash drawn anew, dilation by SciPy.

Written after the description of drewlinsley/pathfinder's snakes.py and snakes2.py, with nothing shared with
`rmaat.tasks.pathfinder.contours` but the parameters. About 0.3 s per image of 32 x 32 pixels.
"""

import math

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy.ndimage import maximum_filter

from rmaat.tasks.pathfinder.dashes import DashShape, make_stamps
from rmaat.tasks.pathfinder.task import LRA, Pathfinder


def resize(fine, shape):
    """scipy.misc.imresize(..., interp="lanczos"): to 0..255 from minimum to maximum, then Lanczos."""
    scaled = (fine - fine.min()) * (255 / max(fine.max() - fine.min(), 1e-9)) + 0.5
    return np.asarray(Image.fromarray(scaled.astype(np.uint8)).resize(shape[::-1], Image.Resampling.LANCZOS)) / 255


def move(point, angle, distance):
    return math.ceil(point[0] + distance * math.sin(angle)), math.ceil(point[1] + distance * math.cos(angle))


def flip(angle):
    return angle + math.pi if angle < 0 else angle - math.pi


def disk(radius):
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return y**2 + x**2 <= radius**2


def dilate(image, footprint):
    return maximum_filter(image, footprint=footprint, mode="constant", cval=0)


class Reference:
    """Draws images with a NumPy generator, in the order of the original."""

    def __init__(self, parameters, seed):
        self.p, self.rng = parameters, np.random.default_rng(seed)
        self.margin = parameters.paddle_margins[0]
        self.shape = (parameters.size, parameters.size)

    def dash(self, shape, start, angle):
        """Line and mask of a dash in a whole image."""
        p, scale = self.p, self.p.antialias_scale
        reach = p.paddle_length + math.ceil(p.paddle_thickness) + self.margin
        centre, fine = reach * scale, 2 * reach * scale + 1
        drawing = Image.new("F", (fine, fine), 0)
        end = move((centre, centre), angle, p.paddle_length * scale)
        width = round(p.paddle_thickness * scale)
        ImageDraw.Draw(drawing).line([(centre, centre), (end[1], end[0])], fill=255, width=width)
        drawing = np.asarray(drawing)
        images = []
        for blown in (drawing, dilate(drawing, disk(self.margin * scale))):
            small = resize(blown, (2 * reach + 1, 2 * reach + 1))
            padded = np.zeros((shape[0] + 4 * reach, shape[1] + 4 * reach))
            y, x = start[0] + reach, start[1] + reach
            padded[y : y + 2 * reach + 1, x : x + 2 * reach + 1] = small
            images.append(padded[2 * reach : 2 * reach + shape[0], 2 * reach : 2 * reach + shape[1]])
        return images

    def inside(self, *points):
        return all(0 <= y < self.p.size and 0 <= x < self.p.size for y, x in points)

    def begin(self, mask, border, near=None):
        """A first dash: (line, its mask, pivot, angle, tail), or None."""
        p, reach = self.p, self.p.paddle_length + self.margin
        for _ in range(3):
            angle = int(self.rng.integers(-180, 180)) * math.pi / 180
            if near is None:
                _, struct = self.dash((2 * reach + 1, 2 * reach + 1), (reach + 1, reach + 1), angle)
                lined = mask.copy()
                lined[:border], lined[-border:], lined[:, :border], lined[:, -border:] = 1, 1, 1, 1
                free = np.argwhere(dilate(lined, struct >= 1) <= 0.3)
                if len(free) == 0:
                    return None
                tail = tuple(free[self.rng.integers(len(free))])
            else:
                turn = int(self.rng.integers(0, 360)) * math.pi / 180
                offsets = (p.seed_distance * math.sin(turn), p.seed_distance * math.cos(turn))
                tail = tuple(int(np.round(c + o)) for c, o in zip(near, offsets, strict=True))
            head = move(tail, angle, p.paddle_length)
            pivot = move(head, flip(angle), reach)
            if self.inside(head, pivot):
                line, own = self.dash(self.shape, tail, angle)
                return {"line": line, "mask": own, "pivot": pivot, "angle": angle, "tail": tail, "head": head}
        return None

    def extend(self, snake, mask):
        """The next dash drawn into the snake; the mask with the dash before, or None."""
        p, reach = self.p, self.p.paddle_length + self.margin
        pivot = move(snake["pivot"], snake["angle"], p.paddle_length + 2 * self.margin)
        around = np.arange(0, 360, 360 / (2 * reach * np.pi)) * np.pi / 180
        y, x = pivot[0] + reach * np.sin(around), pivot[1] + reach * np.cos(around)
        good = (y >= 0) & (y < p.size) & (x >= 0) & (x < p.size)
        heads = np.unique(np.stack([y[good], x[good]], axis=1).astype(int), axis=0)
        if len(heads) == 0:
            return None
        angles = np.arctan2(heads[:, 0] - pivot[0], heads[:, 1] - pivot[1])
        turn = np.abs(angles - snake["angle"])
        turn = np.minimum(np.minimum(turn, 2 * np.pi - turn) * p.continuity, np.pi / 2)
        weight = np.cos(turn) ** 2 * (1 - dilate(mask, disk(self.margin))[heads[:, 0], heads[:, 1]])
        if weight.sum() < 1e-4:
            return None
        for _ in range(3):
            k = self.rng.choice(len(heads), p=weight / weight.sum())
            line, own = self.dash(self.shape, heads[k], flip(angles[k]))
            if (mask + own).max() < 1.8:
                mask = np.maximum(mask, snake["mask"])
                snake |= {"line": np.maximum(snake["line"], line), "mask": own, "pivot": pivot, "angle": angles[k]}
                snake["head"] = tuple(heads[k])
                return mask
        return None

    def two_snakes(self):
        p, mask = self.p, np.ones(self.shape)
        mask[p.padding : -p.padding, p.padding : -p.padding] = 0
        first = self.begin(mask, 2 * p.seed_distance)
        second = first and self.begin(mask, 0, near=first["tail"])
        if not second:
            return None
        for _ in range(p.contour_length - 1):
            for snake in (first, second):
                if (mask := self.extend(snake, mask)) is None:
                    return None
        return first, second, np.maximum(mask, second["mask"])

    def distractor(self, mask):
        if (mask <= 0.3).mean() < 0.01 or (snake := self.begin(mask, 1)) is None:
            return None
        for _ in range(self.p.distractor_length - 1):
            if (mask := self.extend(snake, mask)) is None:
                return None
        return snake["line"], np.maximum(mask, snake["mask"])

    def disc(self, centre):
        p, scale = self.p, self.p.antialias_scale
        y, x = np.ogrid[: p.size * scale, : p.size * scale]
        inside = (y - centre[0] * scale) ** 2 + (x - centre[1] * scale) ** 2 <= (p.marker_radius * scale) ** 2
        return resize(inside.astype(float), self.shape)

    def draw(self):
        """One image (size, size) uint8 and its label."""
        p, label = self.p, int(self.rng.integers(2))
        while (found := self.two_snakes()) is None:
            pass
        *snakes, mask = found
        image = np.maximum(snakes[0]["line"], snakes[1]["line"]) * p.snake_contrast * p.paddle_contrast
        for _ in range(p.distractor_budget // p.distractor_length):
            for _ in range(5):
                if (more := self.distractor(mask)) is not None:
                    image, mask = np.maximum(image, p.snake_contrast * more[0]), more[1]
                    break
        origin = int(self.rng.integers(2))
        terminal = origin if label else 1 - origin
        for centre in (snakes[origin]["tail"], snakes[terminal]["head"]):
            image = np.maximum(image, self.disc(centre))
        return ((image - image.min()) * (255 / (image.max() - image.min())) + 0.5).astype(np.uint8), label


def statistics(images):
    """Means over images and their standard errors: ink, brightness, bright and grey pixels, ink at the border."""
    images = np.array(images)
    border = np.concatenate([images[:, [0, 1, -2, -1]], images[:, :, [0, 1, -2, -1]].swapaxes(1, 2)], axis=1)
    lit = {"ink": images > 0, "bright": images > 200, "grey": (images > 100) & (images <= 200), "border": border > 0}
    rows = {name: values.reshape(len(images), -1).mean(1) for name, values in lit.items()}
    rows["brightness"] = images.mean((1, 2))
    return {name: (values.mean(), values.std() / np.sqrt(len(values))) for name, values in rows.items()}


@pytest.mark.slow
def test_the_compiled_generator_draws_what_the_plain_one_draws():
    reference = Reference(LRA[32], seed=1)
    plain = [reference.draw() for _ in range(60)]
    compiled = [Pathfinder(LRA[32], 1).draw(i) for i in range(1500)]
    expected = statistics([image for image, _ in plain])
    found = statistics([image for image, *_ in compiled])
    for name in expected:
        (a, error_a), (b, error_b) = expected[name], found[name]
        assert abs(a - b) < 4 * np.hypot(error_a, error_b), name


def test_a_dash_is_the_same_drawn_once_or_anew():
    """Each stamp, pasted, is the plain drawing."""
    p = LRA[32]
    reference = Reference(p, 0)
    shape = DashShape(p.antialias_scale, p.paddle_length, p.paddle_thickness, p.marker_radius)
    stamps = make_stamps(shape, reference.margin)
    reach = stamps.line.shape[1] // 2
    window = slice(16 - reach, 16 + reach + 1)
    for k in (0, 45, 90, 137, 200, 270, 359):
        line, mask = reference.dash((32, 32), (16, 16), stamps.angle[k])
        assert np.array_equal(line[window, window], stamps.line[k])
        assert np.array_equal(mask[window, window], stamps.mask[k])
        assert move((16, 16), stamps.angle[k], p.paddle_length) == tuple(16 + stamps.head[k])
    for k in range(360, len(stamps.angle)):
        line, mask = reference.dash((32, 32), (16, 16), flip(stamps.angle[k]))
        assert np.array_equal(line[window, window], stamps.line[k])
        assert np.array_equal(mask[window, window], stamps.mask[k])
        assert move((16, 16), stamps.angle[k], p.paddle_length + 2) == tuple(16 + stamps.advance[k])
