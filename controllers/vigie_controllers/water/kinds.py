"""Every kind of water controller, as gateway files and policies name them."""

from vigie_controllers.loops import ControllerKind
from vigie_controllers.water.level import LevelConfig, LevelController

WATER_KINDS: tuple[ControllerKind, ...] = (
    ControllerKind("water.level", "water", LevelConfig, LevelController.of),
)
