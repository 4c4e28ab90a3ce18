"""Growing Pathfinder's dashed contours from the stamps of `dashes.py`, in compiled code.

Ported from drewlinsley/pathfinder (snakes.py, snakes2.py), quirks included where they shape the images; `pathfinder.py`
has the parameters and says what departs. Coordinates are whole pixels (y, x), directions radians with y pointing down,
and `mask` (0..1) is what is occupied.
"""

import numpy as np
from numba import njit

AVAILABLE = 0.3  # a pixel with more mask than this is taken

CROSSING = 1.8  # a dash whose mask and the occupied mask sum to this crosses it

DASH_TRIALS, SNAKE_TRIALS = 3, 5  # max_paddle_retrial = 2, max_distractor_contour_retrial = 4

SCARCE = 0.01  # share of free pixels below which no further distractor is begun

MAX_ATTEMPTS = 1_000_000  # at two contours, before giving up


@njit(cache=True)
def _paste(canvas, stamp, y, x, contrast):
    """canvas = max(canvas, contrast * stamp), the stamp's middle at (y, x), what falls outside cut off."""
    reach, size = stamp.shape[0] // 2, canvas.shape[0]
    for i in range(max(0, y - reach), min(size, y + reach + 1)):
        for j in range(max(0, x - reach), min(size, x + reach + 1)):
            canvas[i, j] = max(canvas[i, j], contrast * stamp[i - y + reach, j - x + reach])


@njit(cache=True)
def _crosses(mask, stamp, y, x):
    reach, size = stamp.shape[0] // 2, mask.shape[0]
    for i in range(max(0, y - reach), min(size, y + reach + 1)):
        for j in range(max(0, x - reach), min(size, x + reach + 1)):
            if mask[i, j] + stamp[i - y + reach, j - x + reach] >= CROSSING:
                return True
    return False


@njit(cache=True)
def _free(mask, border, sweep, y, x):
    """Whether a first dash that sweeps these offsets has room with its tail at (y, x)."""
    size = mask.shape[0]
    for k in range(len(sweep)):
        i, j = y + sweep[k, 0], x + sweep[k, 1]
        if i < 0 or i >= size or j < 0 or j >= size:
            continue
        if i < border or i >= size - border or j < border or j >= size - border or mask[i, j] > AVAILABLE:
            return False
    return True


@njit(cache=True)
def _inside(size, y, x):
    return 0 <= y < size and 0 <= x < size


@njit(cache=True)
def _choose_tail(rng, mask, border, sweep):
    """A pixel drawn uniformly from those where the dash has room; (-1, -1) where there is none."""
    size = mask.shape[0]
    for _ in range(32):  # usually soon found; the distribution is that of the full search below
        y, x = rng.integers(0, size), rng.integers(0, size)
        if _free(mask, border, sweep, y, x):
            return y, x
    n, found_y, found_x = 0, -1, -1
    for y in range(size):
        for x in range(size):
            if _free(mask, border, sweep, y, x):
                n += 1
                if rng.integers(0, n) == 0:
                    found_y, found_x = y, x
    return found_y, found_x


@njit(cache=True)
def _begin(rng, image, mask, border, near_y, near_x, distance, contrast, stamps, snake):
    """Draw a snake's first dash; with `distance` > 0 its tail lies at this distance from (near_y, near_x).

    `snake` becomes (pivot y, pivot x, direction, dash y, dash x): what `_extend` goes on from.
    """
    size = mask.shape[0]
    for _ in range(DASH_TRIALS):
        direction = rng.integers(0, 360)
        if distance > 0:
            angle = rng.integers(0, 360) * np.pi / 180
            y = int(np.rint(near_y + distance * np.sin(angle)))
            x = int(np.rint(near_x + distance * np.cos(angle)))
        else:
            y, x = _choose_tail(rng, mask, border, stamps.sweep[direction])
            if y < 0:
                return False
        head_y, head_x = y + stamps.head[direction, 0], x + stamps.head[direction, 1]
        pivot_y, pivot_x = y + stamps.pivot[direction, 0], x + stamps.pivot[direction, 1]
        if _inside(size, head_y, head_x) and _inside(size, pivot_y, pivot_x):
            _paste(image, stamps.line[direction], y, x, contrast)
            snake[0], snake[1], snake[2], snake[3], snake[4] = pivot_y, pivot_x, direction, y, x
            return True
    return False


@njit(cache=True)
def _occupied_near(mask, margin, y, x):
    most = 0.0
    for k in range(len(margin)):
        i, j = y + margin[k, 0], x + margin[k, 1]
        if _inside(mask.shape[0], i, j):
            most = max(most, mask[i, j])
    return most


@njit(cache=True)
def _weigh_turns(mask, pivot_y, pivot_x, direction, continuity, stamps, weights):
    """Fill `weights` with those of the next head's pixels; return their sum."""
    total = 0.0
    for t in range(len(weights)):
        y, x = pivot_y + stamps.turn[t, 0], pivot_x + stamps.turn[t, 1]
        weights[t] = 0.0
        if _inside(mask.shape[0], y, x):
            turn = abs(stamps.angle[360 + t] - stamps.angle[direction])
            turn = min(min(turn, 2 * np.pi - turn) * continuity, 0.5 * np.pi)
            weights[t] = max(np.cos(turn), 0.0) ** 2 * (1 - _occupied_near(mask, stamps.margin, y, x))
        total += weights[t]
    return total


@njit(cache=True)
def _extend(rng, image, mask, contrast, continuity, stamps, weights, snake):
    """Draw a snake's next dash, and only now occupy the place of the one before."""
    direction = snake[2]
    pivot_y, pivot_x = snake[0] + stamps.advance[direction, 0], snake[1] + stamps.advance[direction, 1]
    total = _weigh_turns(mask, pivot_y, pivot_x, direction, continuity, stamps, weights)
    if total < 1e-4:
        return False
    for _ in range(DASH_TRIALS):
        rest, t = rng.random() * total, 0
        while t < len(weights) - 1 and rest >= weights[t]:
            rest -= weights[t]
            t += 1
        y, x = pivot_y + stamps.turn[t, 0], pivot_x + stamps.turn[t, 1]
        if weights[t] > 0 and not _crosses(mask, stamps.mask[360 + t], y, x):
            _paste(image, stamps.line[360 + t], y, x, contrast)
            _paste(mask, stamps.mask[direction], snake[3], snake[4], 1.0)
            snake[0], snake[1], snake[2], snake[3], snake[4] = pivot_y, pivot_x, 360 + t, y, x
            return True
    return False


@njit(cache=True)
def _two_snakes(rng, image, mask, padding, distance, n_dashes, contrast, continuity, stamps, weights, tips):
    """Draw the two contours into empty canvases; `tips` becomes (snake, beginning or end, y or x)."""
    size = mask.shape[0]
    image[:] = 0.0
    mask[:] = 1.0
    mask[padding : size - padding, padding : size - padding] = 0.0
    snakes = np.zeros((2, 5), np.int64)
    if not _begin(rng, image, mask, 2 * distance, 0, 0, 0, contrast, stamps, snakes[0]):
        return False
    if not _begin(rng, image, mask, 0, snakes[0, 3], snakes[0, 4], distance, contrast, stamps, snakes[1]):
        return False
    tips[:, 0] = snakes[:, 3:]
    for _ in range(n_dashes - 1):
        for i in range(2):
            if not _extend(rng, image, mask, contrast, continuity, stamps, weights, snakes[i]):
                return False
    tips[:, 1] = snakes[:, 3:]
    # as in the original, the first contour's last dash is never entered into the mask
    _paste(mask, stamps.mask[snakes[1, 2]], snakes[1, 3], snakes[1, 4], 1.0)
    return True


@njit(cache=True)
def _distractor(rng, image, mask, n_dashes, contrast, continuity, stamps, weights):
    """Draw one distractor; on failure the canvases are as before."""
    if (mask <= AVAILABLE).sum() < SCARCE * mask.size:
        return False
    old_image, old_mask = image.copy(), mask.copy()
    snake = np.zeros(5, np.int64)
    grown = _begin(rng, image, mask, 1, 0, 0, 0, contrast, stamps, snake)
    for _ in range(n_dashes - 1):
        grown = grown and _extend(rng, image, mask, contrast, continuity, stamps, weights, snake)
    if not grown:
        image[:] = old_image
        mask[:] = old_mask
        return False
    _paste(mask, stamps.mask[snake[2]], snake[3], snake[4], 1.0)
    return True


@njit(cache=True, nogil=True)
def draw_contours(
    rng, size, padding, distance, n_dashes, n_distractors, distractor_dashes, contrasts, continuity, stamps
):
    """One image, scaled from its minimum to its maximum, and its label; label -1 where no two contours fit."""
    image, mask = np.zeros((size, size)), np.zeros((size, size))
    weights, tips = np.zeros(len(stamps.turn)), np.zeros((2, 2, 2), np.int64)
    label = rng.integers(0, 2)
    for _ in range(MAX_ATTEMPTS):
        if _two_snakes(rng, image, mask, padding, distance, n_dashes, contrasts[0], continuity, stamps, weights, tips):
            break
    else:
        label = -1
    for _ in range(n_distractors):
        for _ in range(SNAKE_TRIALS):
            if _distractor(rng, image, mask, distractor_dashes, contrasts[1], continuity, stamps, weights):
                break
    origin = rng.integers(0, 2)
    terminal = origin if label == 1 else 1 - origin
    _paste(image, stamps.disc, tips[origin, 0, 0], tips[origin, 0, 1], 1.0)
    _paste(image, stamps.disc, tips[terminal, 1, 0], tips[terminal, 1, 1], 1.0)
    low, high = image.min(), image.max()
    return ((image - low) * (255 / (high - low)) + 0.5).astype(np.uint8), label
