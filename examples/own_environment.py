"""An environment of one's own, wherever one is asked for: --environment own_environment:WindyRoom."""

import numpy as np

from spectral_jepa.pixels.environments import make_environment
from spectral_jepa.pixels.environments.base import PixelEnvironment
from spectral_jepa.pixels.environments.two_room import TwoRoomEnvironment


class WindyRoom(TwoRoomEnvironment):
    """Two-Room with a wind that carries the agent to the right, whatever it does."""

    name = "windy_room"
    # Two-Room plays many episodes at once and knows no wind: here they are played step by step.
    record_episodes = classmethod(PixelEnvironment.record_episodes.__func__)
    plan_distances = PixelEnvironment.plan_distances

    def _advance(self, action):
        super()._advance(np.clip(action + np.array([0.3, 0.0]), -1, 1))


if __name__ == "__main__":
    room = make_environment("own_environment:WindyRoom", image_size=64)
    start, _ = room.reset(options={"state": [50.0, 100.0]})
    print("moved by", (room.step([0.0, 0.0])[0] - start).tolist())
