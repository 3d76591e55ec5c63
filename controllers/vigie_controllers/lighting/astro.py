"""``lighting.astro`` dims by the sun and the night's course; ``lighting.full_night`` is its baseline.

Decided on the sun's elevation at the cabinet, not on tables, and in hours from the virtual midnight (the
solar one, half-way between dusk and dawn), so that no change of civil time moves the lamps.
"""

from pydantic import Field, model_validator

from vigie_controllers.contract import Decision, State
from vigie_controllers.lighting.domain import LightingDomain
from vigie_controllers.lighting.site import LightingSite
from vigie_controllers.lighting.words import LightingInputs, LightingOutputs, good_lux
from vigie_controllers.loops import Strict

ASTRO, FULL_NIGHT = "lighting.astro", "lighting.full_night"
FULL = 100.0


class DimStep(Strict):
    """From ``from_h`` to ``to_h`` hours after the virtual midnight (before: negative), this level."""

    from_h: float = Field(ge=-12, le=12)
    to_h: float = Field(ge=-12, le=12)
    level_pct: float = Field(ge=1, le=100)

    @model_validator(mode="after")
    def _ordered(self) -> "DimStep":
        if self.from_h >= self.to_h:
            raise ValueError("from_h is not before to_h")
        return self


class AstroConfig(Strict):
    """Parameters of ``lighting.astro``; elevations in degrees, levels in percent.

    The light goes on with the sun's centre below ``on_below_deg`` and off ``hysteresis_deg`` above it.
    dims: the first step that holds gives the level, ``level_pct`` outside all of them.
    boost_pct: the least level while lit, for an event: a policy with its own validity sets it.
    photocell_on_lux: in a band of ``photocell_band_deg`` above the sunset elevation a good photocell below
    it for ``photocell_hold_s`` puts the light on (a storm at dusk); None: no photocell.
    """

    on_below_deg: float = Field(default=-0.833, ge=-12, le=6)
    hysteresis_deg: float = Field(default=0.2, ge=0, le=3)
    level_pct: float = Field(default=100.0, ge=1, le=100)
    dims: tuple[DimStep, ...] = Field(default=(), max_length=16)
    boost_pct: float = Field(default=0.0, ge=0, le=100)
    photocell_on_lux: float | None = Field(default=40.0, gt=0)
    photocell_off_lux: float = Field(default=80.0, gt=0)
    photocell_band_deg: float = Field(default=6.0, ge=0, le=30)
    photocell_hold_s: float = Field(default=60.0, ge=0, le=3600)

    @model_validator(mode="after")
    def _two_levels(self) -> "AstroConfig":
        if self.photocell_on_lux is not None and self.photocell_off_lux <= self.photocell_on_lux:
            raise ValueError("photocell_off_lux is not above photocell_on_lux")
        return self


class FullNightConfig(Strict):
    """Parameters of ``lighting.full_night``."""

    on_below_deg: float = Field(default=-0.833, ge=-12, le=6)


class AstroController:
    """Lit or not by the sun, at which level by the hour of the night."""

    def __init__(self, config: AstroConfig, site: LightingSite) -> None:
        self._config = config
        self._site = site
        self._lit: bool | None = None
        self._why = ""
        self._level = 0.0
        self._dim_since: float | None = None
        self._gloomy = False

    @classmethod
    def of(cls, config: AstroConfig, domain: LightingDomain) -> "AstroController":
        """A controller for this cabinet; raises ValueError naming a parameter outside the envelope."""
        site = domain.site
        _check_dusk(config.on_below_deg, site)
        floor = min(segment.floor_pct for segment in site.segments)
        levels = [("level_pct", config.level_pct)]
        levels += [(f"dims.{n}.level_pct", step.level_pct) for n, step in enumerate(config.dims)]
        for name, level in levels:
            if level < floor:
                raise ValueError(f"{name}: {level} % is below the lowest floor of this cabinet, {floor} %")
        return cls(config, site)

    def step(self, now: float, inputs: LightingInputs) -> LightingOutputs:
        """One level per segment, never below the floor of its class while lit."""
        lux = good_lux(now, inputs.photocell, self._site.photocell_max_age_s)
        lit, why = self._is_lit(now, inputs, lux)
        level = 0.0
        if lit:
            level = (
                FULL
                if inputs.sun is None
                else max(self._program(inputs.sun.midnight_h), self._config.boost_pct)
            )
        said: tuple[Decision, ...] = ()
        if lit != self._lit or why != self._why or level != self._level:
            what = "level" if lit and self._lit else "on" if lit else "off"
            said = (Decision(ASTRO, "cabinet", what, f"{level:.0f} %: {why}"),)
        self._lit, self._why, self._level = lit, why, level
        return LightingOutputs(
            segments=tuple(max(level, segment.floor_pct) if lit else 0.0 for segment in self._site.segments),
            lamps=(None,) * len(self._site.lamp_segments),
            contactor=lit,
            decisions=said,
        )

    def _is_lit(self, now: float, inputs: LightingInputs, lux: float | None) -> tuple[bool, str]:
        config, sun = self._config, inputs.sun
        if sun is None:
            self._dim_since, self._gloomy = None, False
            if lux is not None and lux >= self._site.bright_lux:
                return False, "UTC cannot be trusted, but the photocell says that it is day"
            return True, "UTC cannot be trusted and nothing says that it is day"
        above = sun.elevation_deg - config.on_below_deg
        if above < 0.0 or (self._lit is True and not self._gloomy and above < config.hysteresis_deg):
            self._gloomy = False
            return True, "the sun is down"
        self._feel_gloom(now, above, lux)
        if self._gloomy:
            return True, "the photocell says that it is dark already"
        return False, "the sun is up"

    def _feel_gloom(self, now: float, above: float, lux: float | None) -> None:
        config = self._config
        if config.photocell_on_lux is None or lux is None or above >= config.photocell_band_deg:
            self._dim_since, self._gloomy = None, False
            return
        if self._gloomy:
            self._gloomy = lux < config.photocell_off_lux
            self._dim_since = None
        elif lux >= config.photocell_on_lux:
            self._dim_since = None
        else:
            # An instant ahead of now is from before the monotonic clock began anew.
            self._dim_since = now if self._dim_since is None or self._dim_since > now else self._dim_since
            self._gloomy = now - self._dim_since >= config.photocell_hold_s

    def _program(self, midnight_h: float) -> float:
        for step in self._config.dims:
            if step.from_h <= midnight_h < step.to_h:
                return step.level_pct
        return self._config.level_pct

    def snapshot(self) -> State:
        """All of it, plain."""
        return {
            "lit": self._lit,
            "why": self._why,
            "level": self._level,
            "dim_since": self._dim_since,
            "gloomy": self._gloomy,
        }

    def restore(self, state: State) -> None:
        """Take up a snapshot, also one made under other parameters."""
        self._lit, self._why, self._level = state["lit"], state["why"], state["level"]
        self._dim_since, self._gloomy = state["dim_since"], state["gloomy"]


class FullNightController:
    """Fully on while the sun is down or nobody knows."""

    def __init__(self, config: FullNightConfig, site: LightingSite) -> None:
        self._config = config
        self._site = site
        self._lit: bool | None = None

    @classmethod
    def of(cls, config: FullNightConfig, domain: LightingDomain) -> "FullNightController":
        """A controller for this cabinet; raises ValueError when the dusk is below the guard's."""
        _check_dusk(config.on_below_deg, domain.site)
        return cls(config, domain.site)

    def step(self, now: float, inputs: LightingInputs) -> LightingOutputs:
        """100 % or nothing."""
        if inputs.sun is None:
            lux = good_lux(now, inputs.photocell, self._site.photocell_max_age_s)
            lit = lux is None or lux < self._site.bright_lux
        else:
            lit = inputs.sun.elevation_deg < self._config.on_below_deg
        said: tuple[Decision, ...] = ()
        if lit != self._lit:
            said = (Decision(FULL_NIGHT, "cabinet", "on" if lit else "off", "full night by the sun"),)
        self._lit = lit
        level = FULL if lit else 0.0
        return LightingOutputs(
            (level,) * len(self._site.segments), (None,) * len(self._site.lamp_segments), lit, decisions=said
        )

    def snapshot(self) -> State:
        """All of it, plain."""
        return {"lit": self._lit}

    def restore(self, state: State) -> None:
        """Take up a snapshot."""
        self._lit = state["lit"]


def _check_dusk(on_below_deg: float, site: LightingSite) -> None:
    if on_below_deg < site.dark_below_deg:
        raise ValueError(
            f"on_below_deg: {on_below_deg} degrees is below {site.dark_below_deg}, where this cabinet must be lit"
        )
