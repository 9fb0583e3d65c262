"""The shapes of English sentences about a home."""

from itertools import count
import re
from typing import Final

from .english_colors import COLORS
from .lexicon import Action, Attribute, Template, Value, ValueKind

_LIGHT: Final = frozenset({"light"})
_MEDIA: Final = frozenset({"media_player"})
_CLIMATE: Final = frozenset({"climate", "water_heater"})
_MODES: Final = _CLIMATE | {"fan", "humidifier", "select", "input_select"}
_COVER: Final = frozenset({"cover", "valve"})
_VACUUM: Final = frozenset({"vacuum"})
_MOWER: Final = frozenset({"lawn_mower"})
_ROBOT: Final = _VACUUM | _MOWER
_LIST: Final = frozenset({"todo"})
_VALVE: Final = frozenset({"valve", "switch"})
_FAN: Final = frozenset({"fan"})
_BURNS: Final = frozenset({"switch", "light", "climate", "fan", "input_boolean"})
_RUNS: Final = frozenset({"script", "scene", "automation", "button", "input_button"})

_HALF: Final = Value(kind=ValueKind.PERCENT, number=50)
_QUARTER: Final = Value(kind=ValueKind.PERCENT, number=25)

_UNIT: Final = "(?:percent|degrees?(?: (?:celsius|fahrenheit))?|kelvin)"
# A value that can be told from a name without a "to" before it.
_VALUE: Final = (
    r"(?:(?:about|around|approximately|exactly|roughly) )?(?:(?:the )?(?:{side}) )?"
    rf"(?:(?:minus )?\d+(?:\.\d+)?(?: {_UNIT})?(?: (?:{{side}}|bright|open))?|"
    r"(?:full|max|maximum|min|minimum|half|low|medium|high)(?: (?:{side}|blast|bright|open))?|"
    rf"{'|'.join(sorted(COLORS))}|(?:warm|soft|cool|cold|neutral) white|daylight)"
).replace("{side}", "brightness|volume|speed|temperature|position|color|humidity")
_AMOUNT: Final = r"\d+(?:\.\d+)?(?: (?:percent|degrees?(?: (?:celsius|fahrenheit))?))?"
_PLANT: Final = (
    "(?:trees?|plants?|flowers?|lawn|grass|bush|bushes|vegetables?|roses?|herbs?|hedges?|beds?)"
)
_SONG: Final = "(?:track|song|tune|title|episode|video|channel|chapter|one|1|media|music)"
_AT: Final = "(?:on|in|at|for|of|with|from)"
_MUCH: Final = (
    r"(?:(?P<much>a (?:little |tiny )?bit|a little|a touch|a tad|a notch|slightly|a lot|much|way|some|"
    r"somewhat) )?"
)
_LATER: Final = (
    r"(?: (?P<late>a (?:little |tiny )?bit|a little|a touch|a tad|a notch|slightly|a lot|some))?"
)
# What stands before a feeling: "it is getting rather cold".
_VERY: Final = (
    "(?:(?:too|so|very|really|way too|much too|a bit|a little|a bit too|getting|getting too|quite|rather|"
    "pretty|kind of) )*"
)
_SIDES: Final = "outside|outdoors|inside|indoors|upstairs|downstairs|everywhere"


_GROUP: Final = re.compile(r"\(\?:([^()\[\]]*)\)")


def _shapes(
    action: Action,
    *shapes: str,
    domains: frozenset[str] | None = None,
    attribute: Attribute | None = None,
    value: Value | None = None,
    penalty: float = 0.0,
) -> list[Template]:
    """Return templates of one action; ``{t}``, ``{v}`` and the like become groups."""
    return [
        Template(action, shape_of(shape), domains, attribute, value, penalty) for shape in shapes
    ]


def _longest_first(choices: str) -> str:
    """Return the choices of a group, the longest first."""
    return "|".join(sorted(choices.split("|"), key=len, reverse=True))


def shape_of(shape: str) -> re.Pattern[str]:
    """Compile a shape; each ``{name}`` is a group."""
    for name, words in (
        ("much", _MUCH),
        ("late", _LATER),
        ("at", _AT),
        ("song", _SONG),
        ("very", _VERY),
        ("sides", _SIDES),
    ):
        shape = shape.replace(f"{{{name}}}", words)
    number = count()
    # A group may stand in several alternatives, and so needs a name of its own in each.
    shape = shape.replace("{plant}", _PLANT)
    shape = re.sub(r"\{by\}", lambda _: f"(?P<by_{next(number)}>{_AMOUNT})", shape)
    shape = re.sub(r"\{n\}", lambda _: f"(?P<v_{next(number)}>{_VALUE})", shape)
    # Of two readings the longer verb is meant: "lock up" before "lock".
    shape = _GROUP.sub(lambda found: f"(?:{_longest_first(found[1])})", shape)
    named = re.sub(r"\{(\w+)\}", lambda found: f"(?P<{found[1]}_{next(number)}>.+?)", shape)
    return re.compile(named)


_ON_OFF: Final = [
    *_shapes(
        Action.TURN_ON,
        "(?:turn|switch|power|flip|put|click|bring|get|have) on {t}",
        "(?:turn|switch|power|flip|put|click|get|have|leave|keep) {t} (?:back )?on",
        "(?:turn|switch|power|put|bring) (?:back on {t}|{t} back on)",
        "(?:turn|switch|power|put|get) {t} (?:back )?on (?:in|at|on|for) {u}",
        "(?:turn|switch|power|put|get) {t} (?:back )?on (?P<u_99>{sides})",
        "(?:activate|enable|power up|energi[sz]e|fire up|boot up|turn up on) {t}",
        "power {t} up",
        "(?:is|are) {t} off then turn (?:it|them) on",
        "let there be {t}",
        "(?:i )?(?:need|want) {t} on",
        "give me (?:some |more )?{t}",
    ),
    *_shapes(
        Action.TURN_ON,
        "{t} (?:(?:turn|switch) )?on",
        "on with {t}",
        "{t} on (?:in|at|on|for) {u}",
        "{t} on (?P<u_99>{sides})",
        penalty=0.05,
    ),
    *_shapes(
        Action.TURN_ON,
        "(?:illuminate|light up|light|brighten up) {t}",
        "get (?:me|us) (?:some |more )?{t}",
        domains=_LIGHT,
        penalty=0.02,
    ),
    *_shapes(Action.TURN_ON, "(?:light|ignite|kindle|start) {t}", domains=_BURNS, penalty=0.05),
    *_shapes(
        Action.TURN_OFF,
        "(?:turn|switch|power|shut|flip|put|cut|click|get) off {t}",
        "(?:turn|switch|power|shut|flip|put|cut|click|get|have|leave|keep) {t} (?:back )?off",
        "(?:turn|switch|power|shut|put|get) {t} (?:back )?off (?:in|at|on|for) {u}",
        "(?:turn|switch|power|shut|put|get) {t} (?:back )?off (?P<u_99>{sides})",
        "(?:deactivate|disable|shut down|power down|kill|cut|turn out|switch out) {t}",
        "(?:shut|power) {t} down",
        "(?:turn|switch|put) {t} out",
        "(?:i )?(?:need|want) {t} off",
    ),
    *_shapes(
        Action.TURN_OFF,
        "{t} (?:(?:turn|switch) )?off",
        "off with {t}",
        "{t} off (?:in|at|on|for) {u}",
        "{t} off (?P<u_99>{sides})",
        penalty=0.05,
    ),
    *_shapes(Action.TURN_OFF, "(?:lights|light) out(?: {at} {t})?", domains=_LIGHT),
    *_shapes(Action.TURN_OFF, "darken {t}", domains=_LIGHT),
    *_shapes(
        Action.TURN_OFF,
        "(?:put out|extinguish|douse|snuff out|quench) {t}",
        "put {t} out",
        domains=_BURNS,
    ),
    *_shapes(Action.TOGGLE, "(?:toggle|flip) {t}"),
    *_shapes(Action.START, "(?:start|begin|launch|run|start up|initiate|trigger|execute) {t}"),
    *_shapes(Action.START, "(?:activate|apply|set|recall|do) {t}", domains=_RUNS),
    *_shapes(Action.START, "{t}", domains=frozenset({"scene", "script"}), penalty=0.3),
    *_shapes(Action.START, "(?:set|change|switch) to {t}", domains=frozenset({"scene"})),
    *_shapes(Action.STOP, "(?:stop|halt|end|quit|abort|cancel|finish) {t}", "{t} stop"),
    *_shapes(Action.PRESS, "(?:press|push|hit|click|tap) {t}"),
]

_DOORS: Final = [
    *_shapes(
        Action.OPEN,
        "(?:open|open up|unfold|uncover|extend|unroll|roll out) {t}",
        "(?:raise|lift|pull up|roll up|put up|draw up|wind up) {t}",
        "(?:pull|roll|put|draw|wind) {t} (?:up|open)",
        "let (?:in )?(?:some |the )?(?:light|sun|sunlight|daylight) in(?: {at} {t})?",
        domains=_COVER,
    ),
    *_shapes(
        Action.OPEN,
        "{t} (?:open|up)",
        "{t} (?:open|up) {at} {u}",
        "{t} (?:open|up) (?P<u_99>{sides})",
        domains=_COVER,
        penalty=0.05,
    ),
    *_shapes(
        Action.CLOSE,
        "(?:close|shut|close up|shut up|seal|retract|roll in) {t}",
        "(?:lower|drop|pull down|roll down|put down|draw down|wind down|draw|pull) {t}",
        "(?:pull|roll|put|draw|wind) {t} (?:down|shut|closed|to)",
        domains=_COVER,
    ),
    *_shapes(
        Action.CLOSE,
        "{t} (?:close|closed|shut|down)",
        "{t} (?:closed|shut|down) {at} {u}",
        "{t} (?:closed|shut|down) (?P<u_99>{sides})",
        domains=_COVER,
        penalty=0.05,
    ),
    *_shapes(
        Action.CLOSE,
        "make sure (?:that )?{t} (?:is|are|gets|get) (?:closed|shut)",
        "see (?:to it )?that {t} (?:is|are|gets|get) (?:closed|shut)",
        domains=_COVER,
    ),
    *_shapes(
        Action.LOCK,
        "(?:lock|lock up|bolt|secure|deadbolt) {t}",
        "lock {t} up",
        "make sure (?:that )?{t} (?:is|are|gets|get) locked",
        "{t} (?:is|are|gets|get) locked",
        "see (?:to it )?that {t} (?:is|are|gets|get) locked",
    ),
    *_shapes(Action.LOCK, "{t} lock", penalty=0.1),
    *_shapes(Action.UNLOCK, "(?:unlock|unbolt) {t}"),
    *_shapes(
        Action.TURN_OFF,
        "make sure (?:that )?{t} (?:is|are|gets|get) (?:turned |switched )?off",
        "see (?:to it )?that {t} (?:is|are|gets|get) (?:turned |switched )?off",
    ),
    *_shapes(
        Action.TURN_ON,
        "make sure (?:that )?{t} (?:is|are|gets|get) (?:turned |switched )?on",
        "see (?:to it )?that {t} (?:is|are|gets|get) (?:turned |switched )?on",
    ),
]

_PLAYERS: Final = [
    *_shapes(
        Action.PAUSE,
        "pause(?: (?:it|that|what is playing|whatever is playing|playback|playing|media))?",
        "pause (?:playback|playing|media|what is playing) {at} {t}",
        "(?:pause|hold|freeze) {t}",
        "{t} pause",
        "stop(?: playing| playback| the playing| the playback)(?: {at} {t})?",
        "stop (?:music|song|songs|radio|audio|sound|movie|film|video|show|podcast)(?: {at} {t})?",
        "stop the (?:music|song|songs|radio|audio|sound|movie|film|video|show|podcast)(?: {at} {t})?",
        domains=_MEDIA,
    ),
    *_shapes(
        Action.PLAY,
        "(?:play|resume|unpause|continue|un pause)(?: (?:it|that|again|playing|playback|media))?",
        "(?:play|resume|unpause|continue|un pause)(?: again| playing| playback| media)? {at} {t}",
        "(?:continue playing|resume playing|keep playing|start playing|play|resume|unpause|continue|un pause) {t}",
        "(?:keep playing|go on playing|go on|carry on|keep going)(?: {at} {t})?",
        "play {t} again",
        "{t} (?:play|resume|unpause)",
        "start (?:playing|playback|music|the music)(?: {at} {t})?",
        domains=_MEDIA,
    ),
    *_shapes(
        Action.NEXT,
        "(?:go to |skip to |jump to |play |switch to |move to |"
        "change to )?(?:the )?next(?: {song})?(?: {at} {t})?",
        "skip(?: (?:it|that|ahead|forward|this|over))?(?: {at} {t})?",
        "skip (?:this |the |that |to the )?(?:current )?{song}(?: {at} {t})?",
        "(?:go|skip|jump|move) (?:ahead|forward|on)(?: 1)?(?: {song})?(?: {at} {t})?",
        "(?:fast )?forward(?: {at} {t})?",
        "another {song}(?: {at} {t})?",
        "{t} (?:next|skip)(?: {song})?",
        "(?:next|skip) {t}",
        domains=_MEDIA,
    ),
    *_shapes(
        Action.PREVIOUS,
        "(?:go back to |go to |skip to |skip back to |return to |jump back to |back to |play |switch to )?"
        "(?:the )?(?:previous|last|prior|preceding)(?: {song})?(?: {at} {t})?",
        "(?:go |skip |jump |step )?back(?:ward|wards)?(?: (?:1|a|an))?(?: {song})?(?: {at} {t})?",
        "(?:play|replay) (?:the |that )?(?:last|previous) {song}(?: again)?(?: {at} {t})?",
        "{t} (?:previous|back)(?: {song})?",
        "(?:rewind|replay)(?: {song})?(?: {at} {t})?",
        domains=_MEDIA,
    ),
    *_shapes(
        Action.MUTE,
        "(?:mute|silence|shush|hush)(?: (?:it|everything|the volume|the sound|volume|sound))?",
        "(?:mute|silence|shush|hush) {t}",
        "(?:mute|silence) (?:the )?(?:volume|sound) {at} {t}",
        "(?:be quiet|quiet|shut up)",
        "(?:turn|switch|put|set) {t} (?:on |to )?mute",
        "(?:turn|switch) off (?:the )?sound(?: {at} {t})?",
        "{t} mute",
        domains=_MEDIA,
        attribute=Attribute.VOLUME,
    ),
    *_shapes(
        Action.UNMUTE,
        "unmute(?: (?:it|the volume|the sound|volume|sound))?(?: {at} {t})?",
        "unmute {t}",
        "(?:turn|switch) (?:the )?sound (?:back )?on(?: {at} {t})?",
        "(?:turn|switch) (?:back )?on (?:the )?sound(?: {at} {t})?",
        domains=_MEDIA,
        attribute=Attribute.VOLUME,
    ),
    *_shapes(
        Action.SHUFFLE,
        "shuffle(?: (?:music|the music|songs|playlist))?(?: {at} {t})?",
        domains=_MEDIA,
    ),
    *_shapes(
        Action.UP,
        "(?:{much}louder)(?: {at} {t})?",
        "(?:make|turn|get) (?:it |that )?{much}louder(?: {at} {t})?",
        "(?:make|turn) {t} {much}louder",
        "volume up{late}(?: {at} {t})?",
        "{t} {much}louder",
        "i can barely hear(?: (?:it|anything|this|{t}))?",
        domains=_MEDIA,
        attribute=Attribute.VOLUME,
    ),
    *_shapes(
        Action.DOWN,
        "(?:{much}(?:quieter|softer))(?: {at} {t})?",
        "(?:make|turn|get) (?:it |that )?{much}(?:quieter|softer)(?: {at} {t})?",
        "(?:make|turn) {t} {much}(?:quieter|softer)",
        "volume down{late}(?: {at} {t})?",
        "{t} {much}(?:quieter|softer)",
        "(?:it is|that is|this is|{t} is) (?:too|way too|much too) loud",
        domains=_MEDIA,
        attribute=Attribute.VOLUME,
    ),
]

_CHANGES: Final = [
    *_shapes(
        Action.UP,
        "(?:turn|crank|bring|move|bump|put|set) up {t}{late}",
        "(?:turn|crank|bring|move|bump|put) {t} up{late}",
        "(?:raise|increase|boost|up|lift|amplify) {t}{late}",
        "{t} up{late}",
        "(?:turn up|raise|increase|boost|up|bump up) {t} by {by}(?: {at} {u})?",
        "(?:turn|crank|bring|bump) {t} up (?:by )?{by}(?: {at} {u})?",
        penalty=0.01,
    ),
    *_shapes(
        Action.DOWN,
        "(?:turn|bring|move|put|set|tone|take) down {t}{late}",
        "(?:turn|bring|move|put|tone|take) {t} down{late}",
        "(?:lower|decrease|reduce|drop|cut|diminish|lessen) {t}{late}",
        "{t} down{late}",
        "(?:turn down|lower|decrease|reduce|drop) {t} by {by}(?: {at} {u})?",
        "(?:turn|bring|tone) {t} down (?:by )?{by}(?: {at} {u})?",
        penalty=0.01,
    ),
    *_shapes(
        Action.UP,
        "(?:brighten|brighten up) {t}{late}",
        "brighten {t} up{late}",
        "brighten {t} by {by}",
        "(?:make|turn|get) (?:it |that |them )?{much}brighter(?: {at} {t}| here)?",
        "(?:make|turn|get|have) {t} {much}brighter",
        "(?:make|turn|get|have) {t} {by} brighter",
        "{t} {much}brighter",
        "{much}(?:brighter|more light)(?: {at} {t})?",
        "(?:it is|{t} is) (?:too|way too|much too) dark(?: in {here}| here)?",
        "it is {very}dark (?:in here|here|in {t})",
        domains=_LIGHT,
        attribute=Attribute.BRIGHTNESS,
    ),
    *_shapes(
        Action.DOWN,
        "(?:dim|dim down) {t}{late}",
        "dim {t} down{late}",
        "dim {t} by {by}",
        "(?:make|turn|get) (?:it |that |them )?{much}(?:dimmer|darker)(?: {at} {t}| here)?",
        "(?:make|turn|get|have) {t} {much}(?:dimmer|darker)",
        "(?:make|turn|get|have) {t} {by} (?:dimmer|darker)",
        "{t} {much}(?:dimmer|darker)",
        "{much}(?:dimmer|darker|less light)(?: {at} {t})?",
        "(?:it is|{t} is|{t} are) (?:too|way too|much too) bright(?: in {here}| here)?",
        domains=_LIGHT,
        attribute=Attribute.BRIGHTNESS,
    ),
    *_shapes(
        Action.UP,
        "(?:make|get) (?:it |that )?{much}(?:warmer|hotter)(?: in here| here| {at} {t})?",
        "(?:make|get|turn|have) {t} {much}(?:warmer|hotter)",
        "(?:make|get|turn|have) (?:it |that )?{by} (?:warmer|hotter)(?: in here| here| {at} {t})?",
        "(?:make|get|turn|have) {t} {by} (?:warmer|hotter)",
        "{much}(?:warmer|hotter|more heat)(?: {at} {t})?",
        "(?:warm|heat) {t} up{late}",
        "(?:warm|heat) up {t}{late}",
        "(?:it is|i am|i feel|it feels|we are|{t} is) {very}(?:cold|chilly|freezing|cool)(?: in here| here)?",
        "(?:it is|i am|i feel|it feels|we are) {very}(?:cold|chilly|freezing|cool) in {t}",
        domains=_CLIMATE,
        attribute=Attribute.TEMPERATURE,
    ),
    *_shapes(
        Action.DOWN,
        "(?:make|get) (?:it |that )?{much}(?:cooler|colder)(?: in here| here| {at} {t})?",
        "(?:make|get|turn|have) {t} {much}(?:cooler|colder)",
        "(?:make|get|turn|have) (?:it |that )?{by} (?:cooler|colder)(?: in here| here| {at} {t})?",
        "(?:make|get|turn|have) {t} {by} (?:cooler|colder)",
        "{much}(?:cooler|colder|less heat)(?: {at} {t})?",
        "cool {t} down{late}",
        "cool down {t}{late}",
        "(?:it is|i am|i feel|it feels|we are|{t} is) {very}(?:hot|warm|boiling)(?: in here| here)?",
        "(?:it is|i am|i feel|it feels|we are) {very}(?:hot|warm|boiling) in {t}",
        domains=_CLIMATE,
        attribute=Attribute.TEMPERATURE,
    ),
    *_shapes(
        Action.UP,
        "speed up {t}{late}",
        "speed {t} up{late}",
        "(?:make |have |let )?{t} (?:spin |go |run |turn |blow )?{much}faster",
        domains=_FAN,
    ),
    *_shapes(
        Action.DOWN,
        "slow down {t}{late}",
        "slow {t} down{late}",
        "(?:make |have |let )?{t} (?:spin |go |run |turn |blow )?{much}slower",
        domains=_FAN,
    ),
    *_shapes(
        Action.OSCILLATE, "(?:oscillate|swing|rotate) {t}", "start oscillating {t}", domains=_FAN
    ),
    *_shapes(Action.STILL, "stop (?:oscillating|swinging|rotating) {t}", domains=_FAN),
    *_shapes(Action.REVERSE, "(?:reverse|reverse the direction of) {t}", domains=_FAN),
]

_SETS: Final = [
    *_shapes(
        Action.SET,
        "(?:set|change|adjust|put|turn|bring|make|get|move|switch|raise|lower|increase|decrease|reduce|"
        "drop|crank|"
        "bump|configure|program|tune) {t} (?:to|at) {v}",
        "(?:set|change|adjust|put|turn|bring|make|get|move|switch|raise|lower|increase|decrease|reduce|"
        "drop|crank|"
        "bump|configure|program|tune) {t} (?:to|at) {v} (?:in|on|for|at) {u}",
        "(?:turn|bring|crank|move|put|set) (?:up |down ){t} (?:to|at) {v}",
        "(?:turn|bring|crank|move|put|set) {t} (?:up|down|on) (?:to|at) {v}",
        "(?:keep|leave|hold|maintain|fix) {t} (?:at|to|on) {v}",
        "(?:set|turn|make|change|put|dim|brighten) {t}(?<! by) {n}",
        "(?:set|put|switch|change|turn) {t} (?:in|into|on) {v} mode",
        "it to be {n}(?: (?:in|at|on) {t})?",
        "(?:i )?(?:want|need|would like|like)? ?{t} to be {v}",
        "(?:set|change|adjust) {t} to be {v}",
        "(?:want|need|like) {t} (?:at|to) {v}",
    ),
    *_shapes(Action.SET, "{t} (?:to|at) {v}", penalty=0.05),
    *_shapes(
        Action.SET,
        "{t} {n}",
        "{t} {n} (?:for|in|on|at) {u}",
        "{n} (?:in|on|for|at|of) {t}",
        "{n}",
        penalty=0.1,
    ),
    *_shapes(
        Action.SET,
        "(?:make|set|turn|change|get|keep|have)(?: it| that)? (?:to |at )?{n}(?: (?:in|on|for|at) {t})?",
        penalty=0.05,
    ),
    *_shapes(
        Action.SET,
        "(?:dim|brighten|illuminate) {t} (?:up |down )?(?:to|at) {v}",
        "(?:dim|brighten) {t}(?<! by) {n}",
        "{t} (?:dim|dimmed|brighten) (?:to|at) {n}",
        "(?:dim|brighten) (?:to|at) {n}(?: {at} {t})?",
        domains=_LIGHT,
    ),
    *_shapes(
        Action.SET,
        "(?:set|put|switch|turn|change) {t} (?:on|into) {v}",
        domains=_MODES,
        penalty=0.02,
    ),
    *_shapes(
        Action.SET,
        "(?:heat|warm|cool|heat up|warm up|cool down) {t} (?:up |down )?to {v}",
        "(?:heat|warm|cool)(?: it)? (?:up |down )?to {v}",
        domains=_CLIMATE,
    ),
    *_shapes(
        Action.SET,
        "(?:open|close|shut|raise|lower|pull up|pull down|roll up|roll down) {t} (?:up |down )?to {v}",
        # "At 7" would be a time.
        r"(?:open|close|shut|raise|lower) {t} at (?P<v>\d+ percent|half|halfway)",
        "(?:open|close|shut|raise|lower) {t} (?:up |down )?to {n} {at} {u}",
        "(?:open|raise) {t}(?<! at) (?:by )?{n}",
        domains=_COVER,
        attribute=Attribute.POSITION,
    ),
    *_shapes(
        Action.SET,
        "(?:half|halfway|partly|partially) (?:open|close) {t}",
        "(?:open|close|shut) {t} (?:halfway|half way|half|partly|partially)",
        "(?:set|put|move|leave|bring|have) {t} (?:halfway|half way|half|partly|partially)"
        "(?: (?:open|closed|shut|up|down))?",
        "(?:open|close|shut|raise|lower) (?:half|halfway) {t}",
        domains=_COVER,
        attribute=Attribute.POSITION,
        value=_HALF,
    ),
    *_shapes(
        Action.SET,
        "open {t} a (?:bit|little|crack)",
        "crack open {t}",
        domains=_COVER,
        attribute=Attribute.POSITION,
        value=_QUARTER,
    ),
    *_shapes(
        Action.SET,
        "(?:change|switch|set)(?: the)? (?:source|input|channel|station) (?:of {t} )?to {v}(?: on {u})?",
        "(?:change|switch|set|tune) {t} (?:source|input|channel|station) to {v}",
        "switch {t} to {v}",
        domains=_MEDIA,
        attribute=Attribute.SOURCE,
    ),
]

_ROBOTS: Final = [
    *_shapes(
        Action.CLEAN,
        "(?:start|begin|go|resume|continue) (?:vacuuming|cleaning|hoovering|sweeping)(?: (?:in |the )?{t})?",
        "(?:vacuum|hoover|sweep|clean|mop|clean up|vacuum up|tidy up) {t}",
        "(?:vacuum|hoover|clean up)",
        "(?:vacuum|clean|sweep|mop|hoover|clean up) (?:the )?(?:floors?|carpets?|rugs?|dust|mess)(?: {at} {t})?",
        domains=_VACUUM,
    ),
    *_shapes(
        Action.CLEAN,
        "(?:start|begin|go|resume|continue) mowing(?: (?:in |the )?{t})?",
        "mow(?: {t})?",
        "mow (?:the )?(?:lawn|grass)(?: {at} {t})?",
        domains=_MOWER,
    ),
    *_shapes(
        Action.CLEAN,
        "(?:have|get|tell|make|let) {t} (?:to )?(?:start )?(?:clean|cleaning|vacuum|vacuuming|mow|mowing)(?: up)?",
        "(?:have|get|tell|make|let) {t} (?:to )?start",
        "{t} (?:(?:go|start) )?(?:clean|clean up|cleaning|vacuum|vacuuming|sweep|mop|mow|mowing)",
        domains=_ROBOT,
    ),
    *_shapes(
        Action.DOCK,
        "(?:stop|finish|end|done|quit) (?:vacuuming|cleaning|hoovering|sweeping|mowing)(?: (?:in )?{t})?",
        "(?:send|return|bring|get|take|put) {t} (?:back )?(?:to )?(?:its |the |his |her )?"
        "(?:base|dock|home|charger|charging station|base station|docking station|station|charging base)",
        "(?:send|return|bring|get|take|put) {t} back",
        "(?:dock|park|charge|recharge|return|retire) {t}",
        "{t} (?:return|go|go back|come|come back) (?:to )?(?:its |the |your )?"
        "(?:base|dock|home|charger|charging station|base station|docking station|station)",
        "(?:return|go|go back|come back|back) (?:to )?(?:its |the |your )?"
        "(?:base|dock|home|charger|charging station|base station|docking station|station)",
        "(?:tell|have|make|let|get) {t} (?:to )?(?:return|go|go back|come back)(?: (?:to )?(?:its |the )?"
        "(?:base|dock|home|charger|charging station))?",
        "(?:return|send) (?:back )?to (?:the )?(?:base|dock|charger) {t}",
        domains=_ROBOT,
    ),
    *_shapes(
        Action.PAUSE, "pause (?:vacuuming|cleaning|mowing)(?: {t})?", "pause {t}", domains=_ROBOT
    ),
    *_shapes(Action.START, "(?:resume|continue|unpause) {t}", domains=_ROBOT),
    *_shapes(Action.LOCATE, "(?:locate|find|where is) {t}", domains=frozenset({"vacuum"})),
    *_shapes(
        Action.WATER,
        "(?:water|irrigate|sprinkle|start (?:watering|irrigating)) {t}",
        "(?:water|irrigate|sprinkle|start (?:watering|irrigating)) (?:the )?{plant}(?: {at} {t})?",
        "(?:water|irrigate|sprinkle|start (?:watering|irrigating)) {t} {plant}",
        "(?:start|begin) (?:watering|irrigating|irrigation)",
        "(?:turn|switch) on (?:the )?water(?: (?:in|on|for|at|to) {t})?",
        "turn (?:the )?water on(?: (?:in|on|for|at|to) {t})?",
        domains=_VALVE,
    ),
    *_shapes(
        Action.DRY,
        "(?:stop|finish|end|quit) (?:watering|irrigating|sprinkling)(?: {t})?",
        "(?:stop|finish|end|quit) (?:watering|irrigating|sprinkling) (?:the )?{plant}(?: {at} {t})?",
        "(?:stop|finish|end|quit) (?:watering|irrigating|sprinkling) {t} {plant}",
        "(?:stop|end) (?:the )?irrigation(?: {at} {t})?",
        "(?:turn|switch|shut|cut) off (?:the )?water(?: (?:in|on|for|at|to) {t})?",
        "(?:turn|shut) (?:the )?water off(?: (?:in|on|for|at|to) {t})?",
        domains=_VALVE,
    ),
]

_LISTS: Final = [
    *_shapes(
        Action.ADD_ITEM,
        "(?:add|put|write|append|place|include|insert|stick|enter|note|jot|jot down|write down) {item} "
        "(?:to|on|onto|in|into|down on|at|under) {t}",
        domains=_LIST,
    ),
    *_shapes(
        Action.ADD_ITEM,
        "add (?:to|on) {t} {item}",
        "(?:new|add) (?:task|item|todo|to do) (?:on|to|in) {t} {item}",
        penalty=0.2,
        domains=_LIST,
    ),
    *_shapes(
        Action.FINISH_ITEM,
        "(?:complete|check off|tick off|cross off|check|tick|cross|finish|mark off) {item} "
        "(?:on|from|off|in|off of) {t}",
        "(?:mark|set) {item} (?:on|from|in) {t} (?:as )?(?:done|complete|completed|finished)",
        "(?:mark|set) {item} (?:as )?(?:done|complete|completed|finished)(?: (?:on|in) {t})?",
        "(?:check off|tick off|cross off) {item}",
        domains=_LIST,
    ),
    *_shapes(
        Action.REMOVE_ITEM,
        "(?:remove|delete|take|erase|drop|scratch) {item} (?:from|off|off of|on) {t}",
        domains=_LIST,
    ),
]

_ALARMS: Final = [
    *_shapes(
        Action.ARM,
        "(?:arm|activate|enable|set|turn on) {t}(?: (?:to|in|for))? (?P<v>home|away|night|"
        "vacation)(?: mode)?",
        "(?:arm|activate|enable|set) {t}",
        "arm (?P<v>home|away|night|vacation)",
        domains=frozenset({"alarm_control_panel"}),
    ),
    *_shapes(
        Action.DISARM,
        "(?:disarm|deactivate|disable|unset|turn off) {t}",
        domains=frozenset({"alarm_control_panel"}),
    ),
]

TEMPLATES: Final = (
    *_LISTS,
    *_DOORS,
    *_PLAYERS,
    *_ROBOTS,
    *_SETS,
    *_CHANGES,
    *_ON_OFF,
    *_ALARMS,
)
