"""Every kind of lighting controller, as gateway files and policies name them."""

from vigie_controllers.lighting.astro import (
    ASTRO,
    FULL_NIGHT,
    AstroConfig,
    AstroController,
    FullNightConfig,
    FullNightController,
)
from vigie_controllers.loops import ControllerKind

LIGHTING_KINDS: tuple[ControllerKind, ...] = (
    ControllerKind(ASTRO, "lighting", AstroConfig, AstroController.of),
    ControllerKind(FULL_NIGHT, "lighting", FullNightConfig, FullNightController.of),
)
