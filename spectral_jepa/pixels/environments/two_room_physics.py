"""Two-Room, batched: exact physics of a disc in two rooms joined by a door, and its pictures, on CPU or GPU.

All lengths are pixels of the published 224 x 224 field (arXiv 2603.19312 and its released code). Points are (x, y) with y
downwards. The centre of the agent lives in the square [21, 203]^2 (border 14 plus radius 7) less two rectangles: the wall
above and below the door, widened by the radius. So the agent collides as the square around its disc: at the door's four
corners it keeps up to 2.9 px more distance than a disc would need to, and nowhere less.

The public simulator looks only at the end point of a step, with a door wider than drawn, so paths cut through the wall's
corners there. Here the whole path counts: the agent moves straight to the first thing that it touches, slides along that
with what is left of the motion, and stops at the next thing. Where it slides past a door it does not turn into it before
the next step.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

FIELD = 224.0
BORDER = 14.0
BORDER_WIDTH = 4.0
WALL_X = 112.0
WALL_THICKNESS = 10.0
DOOR_Y = 49.0
DOOR_HALF_SIZE = 14.0
RADIUS = 7.0
SPEED = 5.0
SUCCESS_DISTANCE = 16.0
DOOR_TOLERANCE = 10.5
ACTION_NOISE = 2.0

# Where the agent's centre may be: the square [LOW, HIGH]^2 outside of the two rectangles.
LOW, HIGH = BORDER + RADIUS, FIELD - BORDER - RADIUS
LEFT, RIGHT = WALL_X - WALL_THICKNESS / 2 - RADIUS, WALL_X + WALL_THICKNESS / 2 + RADIUS
TOP, BOTTOM = DOOR_Y - DOOR_HALF_SIZE + RADIUS, DOOR_Y + DOOR_HALF_SIZE - RADIUS
# Far beyond the border, so that these ends are never touched.
_BLOCKED_LOW = ((LEFT, -1e6), (LEFT, BOTTOM))
_BLOCKED_HIGH = ((RIGHT, TOP), (RIGHT, 1e6))

RED, BLUE, BLACK, WHITE = (255, 0, 0), (0, 0, 255), (0, 0, 0), (255, 255, 255)
Color = tuple[int, int, int]


def step(position: Tensor, action: Tensor) -> Tensor:
    """One raw step: the agent moves by 5 px times the action, clipped to [-1, 1] in each coordinate.

    Parameters
    ----------
    position : Tensor (..., 2)
        Centre of the agent in field pixels; one inside a wall is first moved to the nearest free point.
    action : Tensor (..., 2)

    Returns
    -------
    Tensor (..., 2)
        In the dtype and on the device of ``position``. Each row depends on its own row only, bit for bit.

    Notes
    -----
    O(size).

    Examples
    --------
    >>> step(torch.tensor([[50.0, 100.0], [98.0, 100.0]]), torch.tensor([[1.0, -0.5], [1.0, 0.5]]))
    tensor([[ 55.0000,  97.5000],
            [100.0000, 102.5000]])
    """
    return move(position, SPEED * action.to(position).clamp(-1, 1))


def move(position: Tensor, displacement: Tensor) -> Tensor:
    """Move by any displacement, however long; see the module's text for walls.

    Parameters
    ----------
    position : Tensor (..., 2)
        Centre of the agent in field pixels.
    displacement : Tensor (..., 2)
        In field pixels; leading axes broadcast against those of ``position``.

    Returns
    -------
    Tensor (..., 2)
        Where the agent's centre comes to rest, always a place where it fits.

    Notes
    -----
    O(size).

    Examples
    --------
    Into the wall, which holds the centre at x = 100, and down along it; and straight through the door.

    >>> move(torch.tensor([[50.0, 100.0], [50.0, 49.0]]), torch.tensor([[100.0, 10.0], [100.0, 0.0]]))
    tensor([[100., 110.],
            [150.,  49.]])
    """
    position, displacement = torch.broadcast_tensors(position, displacement)
    end = position + displacement
    (low_x, low_y), (high_x, high_y) = torch.minimum(position, end).unbind(-1), torch.maximum(position, end).unbind(-1)
    clear = (low_x >= LOW) & (low_y >= LOW) & (high_x <= HIGH) & (high_y <= HIGH)
    clear &= (high_x <= LEFT) | (low_x >= RIGHT) | ((low_y >= TOP) & (high_y <= BOTTOM))
    # Most steps stay clear of everything, and looking for contacts is several times the work.
    if not clear.all():
        touching = ~clear
        end[touching] = _move_with_contacts(position[touching], displacement[touching])
    return end


def _move_with_contacts(position: Tensor, displacement: Tensor) -> Tensor:
    position = nearest_free(position)
    # After the first contact the motion is along an axis, after the second there is none left.
    position, displacement = _move_to_contact(position, displacement)
    position, _ = _move_to_contact(position, displacement)
    return position


def nearest_free(position: Tensor) -> Tensor:
    """The point itself where the agent fits, otherwise the nearest point where it does.

    Parameters
    ----------
    position : Tensor (..., 2)
        In field pixels.

    Returns
    -------
    Tensor (..., 2)

    Notes
    -----
    O(size).

    Examples
    --------
    Inside the wall 2 px left of its middle, outside the field, and in the open.

    >>> nearest_free(torch.tensor([[110.0, 100.0], [0.0, 300.0], [50.0, 60.0]]))
    tensor([[100., 100.],
            [ 21., 203.],
            [ 50.,  60.]])
    """
    position = position.clamp(LOW, HIGH)
    x, y = position.unbind(-1)
    blocked = (x > LEFT) & (x < RIGHT) & ((y < TOP) | (y > BOTTOM))
    to_left, to_right = x - LEFT, RIGHT - x
    to_door = torch.where(y < DOOR_Y, TOP - y, y - BOTTOM)
    sideways = blocked & (torch.minimum(to_left, to_right) <= to_door)
    new_x = torch.where(sideways, torch.where(to_left <= to_right, LEFT, RIGHT).to(x), x)
    new_y = torch.where(blocked & ~sideways, torch.where(y < DOOR_Y, TOP, BOTTOM).to(y), y)
    return torch.stack([new_x, new_y], -1)


def _move_to_contact(position: Tensor, displacement: Tensor) -> tuple[Tensor, Tensor]:
    """Move until the first contact; returns the position there and the remaining displacement along what was touched."""
    low, high = position.new_tensor(_BLOCKED_LOW), position.new_tensor(_BLOCKED_HIGH)
    infinity = position.new_tensor(math.inf)
    forward = displacement > 0
    still = displacement == 0
    safe = torch.where(still, torch.ones_like(displacement), displacement)

    # Time at which each coordinate leaves the square.
    edge = torch.where(forward, HIGH, LOW).to(position)
    border_time = torch.where(still, infinity, ((edge - position) / safe).clamp_min(0))  # (..., 2)

    # Times at which each coordinate enters and leaves the open interval of each rectangle.
    near, far = torch.where(forward[..., None, :], low, high), torch.where(forward[..., None, :], high, low)
    here, speed, rest = position[..., None, :], safe[..., None, :], still[..., None, :]
    between = (here > low) & (here < high)
    enter = torch.where(rest, torch.where(between, -infinity, infinity), (near - here) / speed)  # (..., 2, 2)
    leave = torch.where(rest, torch.where(between, infinity, -infinity), (far - here) / speed)
    first, axis = enter.max(-1)
    hit = (first >= 0) & (first < leave.amin(-1))
    wall_time, which = torch.where(hit, first, infinity).min(-1)  # (...)
    wall_axis = axis.gather(-1, which[..., None])[..., 0]
    wall_face = near[..., 0, :].where(which[..., None] == 0, near[..., 1, :])  # (..., 2)

    time = torch.minimum(wall_time, border_time.amin(-1)).clamp_max(1)
    at_wall = (wall_time <= time) & (wall_time < 1)
    coordinate = torch.arange(2, device=position.device)
    touched_wall = at_wall[..., None] & (coordinate == wall_axis[..., None])
    touched_border = (border_time <= time[..., None]) & (border_time < 1)
    end = torch.where(touched_wall, wall_face, torch.where(touched_border, edge, position + time[..., None] * displacement))
    left_over = (1 - time)[..., None] * displacement
    # Rounding could leave a point 1e-14 px inside a wall, and what starts there is on the wrong side of its face.
    return nearest_free(end), torch.where(touched_wall | touched_border, torch.zeros_like(left_over), left_over)


def scripted_action(position: Tensor, target: Tensor, noise: Tensor) -> Tensor:
    """Noisy door-seeking heuristic: towards the target, by way of the door's centre if that is in the other room.

    Parameters
    ----------
    position, target : Tensor (..., 2)
        In field pixels.
    noise : Tensor (..., 2)
        Standard normal; the published collector multiplies it by 2 and clips the sum to [-1, 1].

    Returns
    -------
    Tensor (..., 2), float32

    Notes
    -----
    O(size). Source: the collector of LeWM's data (arXiv 2603.19312), as its code has it.

    Examples
    --------
    Without noise: to the door at (112, 49), and on to the target once the agent is there.

    >>> positions = torch.tensor([[82.0, 89.0], [112.0, 49.0]])
    >>> scripted_action(positions, torch.tensor([172.0, 129.0]), torch.zeros(2, 2))
    tensor([[ 0.6000, -0.8000],
            [ 0.6000,  0.8000]])
    """
    door = position.new_tensor([WALL_X, DOOR_Y])
    other_room = (position[..., 0] > WALL_X) != (target[..., 0] > WALL_X)
    through_door = other_room & (distance(position, door) > DOOR_TOLERANCE)
    direction = torch.where(through_door[..., None], door, target) - position
    length = distance(direction, torch.zeros_like(direction))[..., None]
    return (direction / length.clamp_min(1e-8) + ACTION_NOISE * noise).clamp(-1, 1).to(torch.float32)


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distance, written out so that a batch gives bit for bit what single points give.

    Parameters
    ----------
    a, b : Tensor (..., 2)
        Points; leading axes broadcast.

    Returns
    -------
    Tensor (...)

    Examples
    --------
    >>> distance(torch.tensor([0.0, 0.0]), torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([5., 0.])
    """
    dx, dy = (a - b).unbind(-1)
    return _root(dx * dx + dy * dy)


def _root(square: Tensor) -> Tensor:
    """Square root, correctly rounded. Torch's own on a CPU is MKL's, whose last digit depends on the processor."""
    if square.device.type != "cpu" or square.requires_grad:
        return square.sqrt()
    return torch.from_numpy(np.asarray(np.sqrt(square.numpy())))


def path_length(start: Tensor, goal: Tensor) -> Tensor:
    """Length of the shortest path in Two-Room that does not cross the wall.

    Straight where the agent sees the goal, otherwise over one or two corners of the door. The straight distance would lead a
    planner into the wall wherever the goal lies behind it.

    Parameters
    ----------
    start, goal : Tensor (..., 2)
        In field pixels, where the agent fits; leading axes broadcast.

    Returns
    -------
    Tensor (...)
        In field pixels.

    Notes
    -----
    O(size): one straight way, four over one corner and eight over two. Between points exactly on the two faces of the wall,
    x = 100 and x = 124, the wall is not seen, so the way from a face over a corner on the other one comes out too short.

    Examples
    --------
    Straight through the door; and 50 px up to the corner of the door, 24 through it and 30 down to the goal.

    >>> path_length(torch.tensor([[60.0, 49.0], [70.0, 96.0]]), torch.tensor([[160.0, 49.0], [148.0, 74.0]]))
    tensor([100., 104.])
    """
    corners = [start.new_tensor([x, y]) for x in (LEFT, RIGHT) for y in (TOP, BOTTOM)]
    to_corner = [_sight_length(start, corner) for corner in corners]
    from_corner = [_sight_length(corner, goal) for corner in corners]
    lengths = [_sight_length(start, goal), *(a + b for a, b in zip(to_corner, from_corner, strict=True))]
    for i, first in enumerate(corners):
        for j, second in enumerate(corners):
            if i // 2 != j // 2:  # on opposite sides of the wall
                lengths.append(to_corner[i] + distance(first, second) + from_corner[j])
    return torch.stack(torch.broadcast_tensors(*lengths)).amin(0)


def _sight_length(a: Tensor, b: Tensor) -> Tensor:
    """Distance of two points, infinite where the wall is in between."""
    a, b = torch.broadcast_tensors(a, b)
    run = b[..., 0] - a[..., 0]
    hidden = torch.zeros_like(run, dtype=torch.bool)
    for face in (LEFT, RIGHT):
        crosses = (a[..., 0] - face) * (b[..., 0] - face) < 0
        height = a[..., 1] + (b[..., 1] - a[..., 1]) * (face - a[..., 0]) / torch.where(crosses, run, 1.0)
        hidden |= crosses & ((height < TOP) | (height > BOTTOM))
    return torch.where(hidden, torch.inf, distance(a, b))


def sample_position(rng: np.random.Generator, room: int) -> np.ndarray:
    """Uniform position of the agent's centre in one room, clear of the wall.

    Parameters
    ----------
    rng : numpy Generator
    room : {0, 1}
        Left or right.

    Returns
    -------
    float64 array (2,)
        In field pixels: x in [21, 100] or [124, 203], y in [21, 203].

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> places = np.array([[sample_position(rng, room) for _ in range(1000)] for room in (0, 1)])
    >>> places.min(1).round().tolist(), places.max(1).round().tolist()
    ([[21.0, 21.0], [124.0, 21.0]], [[100.0, 203.0], [203.0, 203.0]])
    """
    x = rng.uniform(LOW, LEFT) if room == 0 else rng.uniform(RIGHT, HIGH)
    return np.array([x, rng.uniform(LOW, HIGH)])


def draw(position: Tensor, size: int, *, agent: Color = RED, wall: Color = BLACK, floor: Color = WHITE) -> Tensor:
    """Draw the field at any size: walls and disc antialiased.

    Parameters
    ----------
    position : Tensor (B, 2)
        Centres in field pixels; the pictures are drawn on its device.
    size : int
        Height and width of the pictures in pixels.
    agent, wall, floor : (int, int, int)
        Colours.

    Returns
    -------
    uint8 Tensor (B, size, size, 3)

    Notes
    -----
    O(B size^2) bytes copied; only the pixels around the agent are computed.

    Examples
    --------
    >>> pictures = draw(torch.tensor([[60.0, 120.0], [160.0, 60.0]]), 64)
    >>> pictures.shape, pictures[0, 34, 17].tolist(), pictures[1, 34, 17].tolist()
    (torch.Size([2, 64, 64, 3]), [255, 0, 0], [255, 255, 255])
    """
    scale = size / FIELD
    empty = _empty_field(size, wall, floor, str(position.device))
    pictures = empty.expand(len(position), -1, -1, -1).clone()
    radius = RADIUS * scale
    patch = min(size, 2 * math.ceil(radius + 1) + 1)
    centre = (position * scale).to(torch.float32)
    corner = (centre.floor().long() - patch // 2).clamp(0, size - patch)
    offset = torch.arange(patch, device=position.device)
    columns, rows = (corner[:, :, None] + offset).unbind(1)  # (B, P)
    dx = (columns + 0.5 - centre[:, :1])[:, None, :]
    dy = (rows + 0.5 - centre[:, 1:])[:, :, None]
    cover = (radius + 0.5 - _root(dx * dx + dy * dy)).clamp(0, 1)[..., None]
    index = (rows * size)[:, :, None] + columns[:, None, :]  # (B, P, P)
    behind = empty.reshape(-1, 3)[index].to(torch.float32)
    mixed = behind + cover * (torch.tensor(agent, dtype=torch.float32, device=position.device) - behind)
    batch = torch.arange(len(position), device=position.device)[:, None, None]
    pictures.view(len(position), size * size, 3)[batch, index] = mixed.round().to(torch.uint8)
    return pictures


@lru_cache(maxsize=16)
def _empty_field(size: int, wall: Color, floor: Color, device: str) -> Tensor:
    """The walls, each pixel mixed by the share of its area that they cover; uint8 (size, size, 3)."""
    pixel = torch.arange(size, dtype=torch.float64) * (FIELD / size)
    width = FIELD / size

    def share(low: float, high: float) -> Tensor:
        return ((pixel + width).clamp(max=high) - pixel.clamp(min=low)).clamp(min=0) / width

    inner = share(BORDER, FIELD - BORDER)
    outer = share(BORDER - BORDER_WIDTH, FIELD - BORDER + BORDER_WIDTH)
    border = outer[:, None] * outer - inner[:, None] * inner
    across = share(WALL_X - WALL_THICKNESS / 2, WALL_X + WALL_THICKNESS / 2)
    along = inner - share(DOOR_Y - DOOR_HALF_SIZE, DOOR_Y + DOOR_HALF_SIZE)
    cover = (border + along[:, None] * across)[..., None]
    colors = torch.tensor([floor, wall], dtype=torch.float64)
    return (colors[0] + cover * (colors[1] - colors[0])).round().to(torch.uint8).to(device)
