"""The English nouns for kinds of things."""

from typing import Final

from .lexicon import Kind, word_set

_L: Final = frozenset({"light"})
_SW: Final = frozenset({"switch", "input_boolean"})
_M: Final = frozenset({"media_player"})
_CL: Final = frozenset({"climate"})
_CO: Final = frozenset({"cover"})
_V: Final = frozenset({"vacuum"})
_F: Final = frozenset({"fan"})
_LOCK: Final = frozenset({"lock"})
_VA: Final = frozenset({"valve"})
_S: Final = frozenset({"sensor"})
_B: Final = frozenset({"binary_sensor"})
_HEAT: Final = frozenset({"climate", "water_heater"})

_light: Final = (Kind(_L),)
_outlet: Final = (Kind(frozenset({"switch"}), frozenset({"outlet"})), Kind(_SW, cost=0.3))
_speaker: Final = (Kind(_M, frozenset({"speaker", "receiver"})), Kind(_M, frozenset({"none"}), 0.2))
_music: Final = (
    Kind(_M, frozenset({"speaker", "receiver"})),
    Kind(_M, frozenset({"none"}), 0.18),
    Kind(_M, cost=0.45),
)
_tv: Final = (Kind(_M, frozenset({"tv"})), Kind(_M, frozenset({"projector"}), 0.2))
_film: Final = (
    Kind(_M, frozenset({"tv", "projector"})),
    Kind(_M, frozenset({"none"}), 0.3),
    Kind(_M, cost=0.45),
)
_heat: Final = (Kind(_HEAT),)
_blind: Final = (
    Kind(_CO, frozenset({"blind", "shade", "shutter", "curtain"}), 0.2),
    Kind(_CO, frozenset({"none"}), 0.25),
)


def _cover(*classes: str) -> tuple[Kind, ...]:
    """Return a kind of cover; its near relatives come next, and covers that do not say last."""
    return (Kind(_CO, frozenset(classes)), *_blind)


_door: Final = (
    Kind(_LOCK),
    Kind(_CO, frozenset({"door", "garage", "gate"})),
    Kind(_CO, frozenset({"none"}), 0.3),
    Kind(_B, frozenset({"door", "garage_door", "opening", "lock"}), 0.2),
)
WATERING: Final = word_set("sprinkler irrigation watering drip hose lawn garden yard rain bird")
_water: Final = (Kind(_VA), Kind(_SW, words=WATERING | {"water"}))
_sprinkler: Final = (Kind(_VA | _SW, words=WATERING), Kind(_VA, cost=0.35))


def _sensor(*classes: str) -> tuple[Kind, ...]:
    """Return a kind of sensor."""
    return (Kind(_S | _B, frozenset(classes)),)


KINDS: Final[dict[str, tuple[Kind, ...]]] = {
    "light": _light,
    "lamp": _light,
    "bulb": _light,
    "lighting": _light,
    "lightbulb": _light,
    "light bulb": _light,
    "light fixture": _light,
    "illumination": _light,
    "switch": (Kind(_SW),),
    "plug": _outlet,
    "smart plug": _outlet,
    "outlet": _outlet,
    "smart outlet": _outlet,
    "socket": _outlet,
    "power outlet": _outlet,
    "power socket": _outlet,
    "power strip": _outlet,
    "receptacle": _outlet,
    "appliance": (Kind(_SW, cost=0.3),),
    "fan": (Kind(_F),),
    "ventilator": (Kind(_F),),
    "ventilation": (Kind(_F),),
    "exhaust": (Kind(_F),),
    "extractor": (Kind(_F),),
    "hood": (Kind(_F),),
    "vent": (Kind(_F), Kind(_CO, frozenset({"damper"}))),
    "air purifier": (Kind(_F),),
    "purifier": (Kind(_F),),
    "speaker": _speaker,
    "stereo": _speaker,
    "soundbar": _speaker,
    "sound system": _speaker,
    "hifi": _speaker,
    "radio": _music,
    "music": _music,
    "song": _music,
    "audio": _music,
    "sound": (Kind(_M, cost=0.2),),
    "playback": (Kind(_M, cost=0.2),),
    "podcast": _music,
    "playlist": _music,
    "album": _music,
    "track": _music,
    "tune": _music,
    "media player": (Kind(_M),),
    "medium player": (Kind(_M),),
    "player": (Kind(_M),),
    "media": (Kind(_M),),
    "receiver": (Kind(_M, frozenset({"receiver"})),),
    "tv": _tv,
    "television": _tv,
    "telly": _tv,
    "screen": _tv,
    "projector": (Kind(_M, frozenset({"tv", "projector"}), 0.25),),
    "movie": _film,
    "film": _film,
    "video": _film,
    "show": _film,
    "thermostat": _heat,
    "heating": _heat,
    "heat": _heat,
    "heater": _heat,
    "radiator": _heat,
    "furnace": _heat,
    "boiler": (Kind(frozenset({"water_heater"})), Kind(_CL, cost=0.3)),
    "water heater": (Kind(frozenset({"water_heater"})), Kind(_CL, cost=0.4)),
    "heat pump": _heat,
    "hvac": _heat,
    "ac": _heat,
    "air conditioner": _heat,
    "air conditioning": _heat,
    "aircon": _heat,
    "air": (Kind(_CL, cost=0.3),),
    "cooling": _heat,
    "climate": _heat,
    "climate control": _heat,
    "blind": _cover("blind"),
    "shade": _cover("shade"),
    "shutter": _cover("shutter"),
    "curtain": _cover("curtain"),
    "drape": _cover("curtain"),
    "awning": (Kind(_CO, frozenset({"awning"})),),
    "roller": _cover("shutter", "blind"),
    "roller blind": _cover("blind"),
    "roller shutter": _cover("shutter"),
    "window covering": _cover("blind"),
    "cover": (Kind(_CO),),
    "garage": (Kind(_CO, frozenset({"garage"})),),
    "garage door": (Kind(_CO, frozenset({"garage"}), 0.0), Kind(_B, frozenset({"garage_door"}))),
    "garage gate": (Kind(_CO, frozenset({"garage"}), 0.0),),
    "gate": (Kind(_CO, frozenset({"gate"})), Kind(_LOCK, cost=0.4)),
    "skylight": (Kind(_CO, frozenset({"window"}), 0.3),),
    "window": (
        Kind(_CO, frozenset({"window"})),
        Kind(_B, frozenset({"window", "opening"})),
        Kind(_CO, frozenset({"blind", "shade", "curtain", "shutter"}), 0.6),
    ),
    "door": _door,
    "lock": (Kind(_LOCK), Kind(_B, frozenset({"lock"}), 0.3)),
    "deadbolt": (Kind(_LOCK),),
    "bolt": (Kind(_LOCK),),
    "door lock": (Kind(_LOCK),),
    "latch": (Kind(_LOCK),),
    "valve": (Kind(_VA),),
    "water": _water,
    "water valve": _water,
    "tap": _water,
    "faucet": _water,
    "hose": _sprinkler,
    "sprinkler": _sprinkler,
    "sprinkler system": _sprinkler,
    "irrigation": _sprinkler,
    "irrigation system": _sprinkler,
    "drip": _sprinkler,
    "vacuum": (Kind(_V),),
    "vacuum cleaner": (Kind(_V),),
    "robot": (Kind(_V), Kind(frozenset({"lawn_mower"}), cost=0.3)),
    "robot vacuum": (Kind(_V),),
    "robovac": (Kind(_V),),
    "roomba": (Kind(_V, cost=0.3),),
    "hoover": (Kind(_V),),
    "cleaner": (Kind(_V),),
    "mower": (Kind(frozenset({"lawn_mower"})),),
    "lawn mower": (Kind(frozenset({"lawn_mower"})),),
    "lawnmower": (Kind(frozenset({"lawn_mower"})),),
    "humidifier": (Kind(frozenset({"humidifier"}), frozenset({"humidifier", "none"})),),
    "dehumidifier": (Kind(frozenset({"humidifier"}), frozenset({"dehumidifier"})),),
    "siren": (Kind(frozenset({"siren"})),),
    "alarm": (Kind(frozenset({"alarm_control_panel"})), Kind(frozenset({"siren"}), cost=0.4)),
    "alarm system": (Kind(frozenset({"alarm_control_panel"})),),
    "security system": (Kind(frozenset({"alarm_control_panel"})),),
    "scene": (Kind(frozenset({"scene"})),),
    "mode": (Kind(frozenset({"scene", "script", "input_boolean"}), cost=0.3),),
    "script": (Kind(frozenset({"script"})),),
    "routine": (Kind(frozenset({"script", "automation"})),),
    "automation": (Kind(frozenset({"automation"})),),
    "button": (Kind(frozenset({"button", "input_button"})),),
    "camera": (Kind(frozenset({"camera"})),),
    "remote": (Kind(frozenset({"remote"})),),
    "list": (Kind(frozenset({"todo"})),),
    "todo list": (Kind(frozenset({"todo"}), cost=0.0),),
    "todo": (Kind(frozenset({"todo"})),),
    "task list": (Kind(frozenset({"todo"}), cost=0.0),),
    "task": (Kind(frozenset({"todo"})),),
    "chore": (Kind(frozenset({"todo"}), cost=0.3),),
    "errand": (Kind(frozenset({"todo"}), cost=0.3),),
    "calendar": (Kind(frozenset({"calendar"})),),
    "agenda": (Kind(frozenset({"calendar"})),),
    "schedule": (Kind(frozenset({"calendar"})),),
    "weather": (Kind(frozenset({"weather"})),),
    "sensor": (Kind(_S | _B),),
    "battery": _sensor("battery"),
    "battery level": _sensor("battery"),
    "charge": _sensor("battery"),
    "temperature": (*_sensor("temperature"), Kind(_HEAT, cost=0.3)),
    "humidity": (*_sensor("humidity"), Kind(frozenset({"climate", "humidifier"}), cost=0.4)),
    "motion": _sensor("motion", "occupancy"),
    "movement": _sensor("motion", "occupancy"),
    "motion sensor": _sensor("motion"),
    "motion detector": _sensor("motion"),
    "presence": _sensor("occupancy", "presence", "motion"),
    "occupancy": _sensor("occupancy", "presence", "motion"),
    "power": _sensor("power"),
    "power consumption": _sensor("power"),
    "energy": _sensor("energy"),
    "energy consumption": _sensor("energy"),
    "electricity": _sensor("energy", "power"),
    "smoke": _sensor("smoke"),
    "smoke detector": _sensor("smoke"),
    "smoke alarm": _sensor("smoke"),
    "gas": _sensor("gas"),
    "carbon monoxide": _sensor("carbon_monoxide"),
    "co2": _sensor("carbon_dioxide"),
    "carbon dioxide": _sensor("carbon_dioxide"),
    "air quality": _sensor("aqi", "pm25", "carbon_dioxide", "volatile_organic_compounds"),
    "leak": _sensor("moisture"),
    "leak sensor": _sensor("moisture"),
    "water leak": _sensor("moisture"),
    "moisture": _sensor("moisture"),
    "illuminance": _sensor("illuminance"),
    "light level": _sensor("illuminance"),
    "brightness": (*_sensor("illuminance"), Kind(_L, cost=0.3)),
    "pressure": _sensor("pressure", "atmospheric_pressure"),
    "voltage": _sensor("voltage"),
    "current": _sensor("current"),
    "signal": _sensor("signal_strength"),
    "signal strength": _sensor("signal_strength"),
    "tamper": _sensor("tamper"),
    "vibration": _sensor("vibration"),
    "meter": _sensor("energy", "gas", "water"),
    "meter reading": _sensor("water", "gas", "energy"),
    "water meter": _sensor("water"),
    "water consumption": _sensor("water"),
    "contact": _sensor("door", "window", "opening", "garage_door"),
    "door sensor": _sensor("door"),
    "window sensor": _sensor("window"),
    "wind speed": _sensor("wind_speed"),
    "distance": _sensor("distance"),
    "speed": _sensor("speed"),
    "volume": (Kind(_M, cost=0.3),),
    "level": (Kind(_S, cost=0.3),),
}
