"""English."""

from typing import Final

from brain_server.conversation.rules.language import Language
from brain_server.protocol import Kind


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(" ".join(phrase.split()) for phrase in text.split("|"))


_RULES: Final = {
    "turn": "(turn|switch|power)",
    "turned": "(turn|turned|switch|switched|power|powered|shut)",
    "heat": "(heat|preheat|pre heat|warm|heat up|warm up|preheat up)",
    "of": "(of|on|for|at)",
    "to": "(to|at)",
    "degrees": "[degrees|degree|celsius|c|degrees celsius|degrees c]",
    "goal": "<to> {number} <degrees>",
    "temperature": "(temperature|temp|heat)",
    "look": "(what is|what are|tell me|give me|show me|get me|check|report) [the|me the]",
    "whether": "(tell me|check|see|do you know|can you see|find out) (if|whether)",
    "be": "(is|are)",
    "still": "[still|currently|already|now|right now|all]",
    "yet": "[yet|now|already|right now|still|at the moment|again]",
    "job": "(print|print job|printing job|job)",
    "printing": "(printing|print|the print of|a print of|the print|the job|job|print job)",
    "last": "[last|most recently]",
    "did": "({deed} {device}|<turned> {device} {switch})",
    "ago": "[{period}]",
    "approved": "(approved|allowed|authorized|authorised|confirmed|signed off|okayed|permitted)",
    "denied": "(denied|refused|rejected|declined)",
    "requested": "(requested|asked for)",
    "it": "[it|that|this|the request|that request|the last one|the last request]",
    "waiting": "(waiting|pending|open|outstanding|still waiting)",
    "approvals": "(approvals|requests|confirmations)",
    "for_me": "[for (approval|me|confirmation)]",
    "my": "[my|an] (approval|confirmation)",
    "deed_of": "[the] {deed} [[of|for|on] {device}]",
}

_DOOR: Final = (
    "<still> (locked|unlocked|open|opened|closed|shut) [or (locked|unlocked|open|closed|not)]"
)
_SWITCH: Final = (
    "<still> (on|off|turned on|turned off|switched on|switched off|powered|enabled|live)"
)
_JOB: Final = "<still> (printing|paused|done|finished|complete|completed|ready|busy|idle|heating|stuck|failed)"
_ANY: Final = "<still> (running|working|online|offline|connected|available|free|hot|cold|warm|cool|okay|ok|alright)"

_ACTS: Final = {
    "act:unlock": ("(unlock|unbolt|unlatch) [{device}]", "(get|have) {device} unlocked"),
    "act:open": ("open [up] [{device}]", "open {device} up", "swing open {device}"),
    "ask:open": ("{device} open",),
    "act:lock": (
        "(lock|bolt|latch|secure) {device}",
        "lock {device} up",
        "(make sure|ensure) [that] {device} <be> locked",
        "(get|have|keep) {device} locked",
        "lock",
    ),
    "all:lock": ("lock up [{device}]",),
    "act:on": (
        "<turn> [back] on {device}",
        "<turn> {device} [back] on",
        "<turn> {device} on (in|at) {area}",
        "(power up|power|enable|activate|energize|energise) {device}",
        "power {device} up",
        "put ({device} on|on {device})",
    ),
    "ask:on": ("{device} on", "{device} on (in|at) {area}"),
    "act:power_on": (
        "<turn> [the] power on (to|for|at|of|on|in) {device}",
        "<turn> [the] power (to|for|at|of|on|in) {device} on",
        "give ({device} power|power to {device})",
    ),
    "act:off": (
        "(turn|switch|power|shut) off {device}",
        "(turn|switch|power|shut) {device} off",
        "(turn|switch|power|shut) {device} off (in|at) {area}",
        "(power down|shut down|disable|deactivate|deenergize) {device}",
        "(power|shut) {device} down",
        "put ({device} off|out {device})",
    ),
    "ask:off": ("{device} off", "{device} off (in|at) {area}"),
    "act:power_off": ("<turn> [the] power off (to|for|at|of|on|in) {device}",),
    "act:kill": ("(kill|cut|cut off) {device}",),
    "act:light_on": ("light up {device}", "light {device}", "illuminate {device}"),
    "act:start": ("(start|start up|fire up|boot up|boot|run) {device}", "(start|fire) {device} up"),
    "act:pause": ("(pause|suspend|hold) {device}", "put {device} on (hold|pause)", "pause"),
    "act:resume": (
        "(resume|continue|unpause) {device}",
        "(continue|carry on|go on|keep going) with {device}",
        "(resume|unpause)",
    ),
    "act:cancel": ("(cancel|abort) {device}", "cancel printing"),
    "act:stop": ("(stop|halt|end) {device}", "stop {device} from printing", "emergency stop"),
}

_PRINTS: Final = {
    "print:which": (
        "(start|begin|launch) [the|a|a new|my] <job> [on {device}]",
        "(start|begin) (printing [on {device}]|{device})",
    ),
    "print:file": (
        "(print|print out) {file}",
        "(print|print out) {file} (on|with|using|at|by) {device}",
        "(start|begin|launch|run|kick off) [<printing>] {file}",
        "(start|begin|launch|run|kick off) [<printing>] {file} (on|with|using|at) {device}",
        "on {device} (print|start|start printing|run) {file}",
        "use {device} to print {file}",
        "(have|let|make) {device} print {file}",
    ),
    "heat": (
        "<heat> [up] {part} [<of> {device}] [up] <goal>",
        "<heat> [up] {device} {part} [up] <goal>",
        "<heat> [up] {part} [up] <goal> <of> {device}",
        "set {part} [<temperature>] <goal> <of> {device}",
        "set {part} [<temperature>] [<of> {device}] <goal>",
        "set {device} {part} [<temperature>] <goal>",
        "set [the] <temperature> of {part} [<of> {device}] <goal>",
        "(bring|get|put|raise) {part} [<of> {device}] [up] <goal>",
        "(bring|get|put|raise) {device} {part} [up] <goal>",
        "<heat> [up] {part} [to] {number} <degrees> [and] {part} [to] {number} <degrees>",
        "<heat> [up] {device} {part} <goal> and {part} <goal>",
        "<heat> [up] {part} <goal> [and] {part} <goal> [<of> {device}]",
        "set {part} <goal> and {part} <goal>",
        "set {part} <goal> and {part} <goal> on {device}",
    ),
}

_STATUS: Final = {
    "status:all": (
        "status",
        "(status|state) report",
        "<look> [current] (status|state|overview|summary|update)",
        "<look> [current] (status|state|overview) of everything",
        "how (is (everything|it going|it all going)|are things)",
        "[is] everything (ok|okay|alright|fine|all right)",
        "what is (going on|happening|up) [right now|now]",
        "(report|status update|overview)",
    ),
    "status:any": (
        "<look> [current] (status|state|condition) of {device}",
        "<look> {device} (status|state|doing)",
        "{device} status",
        "(status|state) [of] {device}",
        "how (is|are) {device} [doing|looking]",
        "what (is|are) {device} doing",
        "what is (going on|happening) (in|with|on|at) {device}",
        "how are things (in|with|at|on) {device}",
        "is everything (ok|okay|alright|fine) (in|with|at|on) {device}",
        "check [on|up on] {device}",
        f"<be> {{device}} {_ANY} <yet>",
        f"<whether> {{device}} <be> {_ANY}",
    ),
    "status:door": (
        f"<be> {{device}} {_DOOR} <yet>",
        f"<whether> {{device}} <be> {_DOOR}",
        "which doors are (open|locked|unlocked|closed)",
        "<be> there (a door|any doors|doors|any door) (open|unlocked)",
        "{device} (locked|unlocked|closed|shut)",
    ),
    "status:switch": (
        f"<be> {{device}} {_SWITCH} <yet>",
        f"<whether> {{device}} <be> {_SWITCH}",
        "(which|what) lights are on",
    ),
    "status:job": (
        f"<be> {{device}} {_JOB} <yet>",
        f"<whether> {{device}} <be> {_JOB}",
        "<be> (anything|something) (printing|being printed) <yet>",
        "is (there a print|a print|a job) (running|going|going on|in progress)",
        "what (is|are) (printing|being printed) <yet>",
        "what (is|are) {device} printing <yet>",
        "how (is|are) {device} (going|coming along|coming|getting on|progressing)",
        "(has|did) {device} (finished|finish|completed|complete|failed|fail) <yet>",
        "how far (is|along is|has) {device} [along|got|gone]",
        "<look> progress [of|on|with] [{device}]",
        "{device} progress",
        "progress",
    ),
    "status:left": (
        "how (long|much time|much longer|much) [is] [left|remaining|to go] [(on|for|of|with) {device}]",
        "how much (longer|more time) (does|will) {device} (need|take)",
        "how (much longer|long) (until|till|before) {device} (is|finishes) [done|finished|ready]",
        "how long (will|does) {device} [still] take",
        "when (will|is) {device} [be] (done|finished|finish|ready|complete|finishing)",
        "what time (will|does) {device} [be] (done|finished|finish)",
        "<look> (time left|time remaining|remaining time|eta) [(on|for|of) {device}]",
        "(time left|time remaining|eta) [(on|for|of) {device}]",
    ),
    "status:heat": (
        "<look> {part} <temperature> [<of> {device}]",
        "<look> {device} {part} <temperature>",
        "<look> <temperature> of {part} [<of> {device}]",
        "<look> <temperature> (of|on|in|at) {device}",
        "<look> {device} <temperature>",
        "how (hot|warm|cold) is {part} [<of> {device}]",
        "how (hot|warm|cold) is {device} [{part}]",
        "what temperature is {part} [<of> {device}] [at]",
        "(is|has) {part} [<of> {device}] (hot|warm|cool|cold|heated up|at temperature) <yet>",
        "{part} <temperature> [<of> {device}]",
    ),
}

_RECORD: Final = {
    "who": (
        "who [was it that|is it that] <last> <did> <last> <ago>",
        "who (was|is) [the] last [person|one] (to|who|that) <did> <ago>",
        "who has <last> <did> <ago>",
        "(has|did|have) (anyone|anybody|someone|somebody) <did> <ago>",
        "(has|did|have) (anyone|anybody|someone|somebody) been {deed} {device} <ago>",
        "<look> who <last> <did> <ago>",
        "by whom was {device} <last> {deed} <ago>",
    ),
    "when": (
        "when (was|were) {device} <last> {deed} <ago>",
        "when (did|has|was it that) {person} <last> <did> <ago>",
        "when was the last time [that] {device} was {deed}",
        "when was the last time [that] {person} <did>",
        "(has|have) {device} been {deed} <ago>",
        "(was|were) {device} {deed} <ago>",
        "(did|has|have) {person} <last> <did> <ago>",
    ),
    "what": (
        "what (happened|has happened|went on|was going on|has been going on|did i miss) <ago>",
        "what (happened|has happened|went on) (in|at|with|to|on) {device} <ago>",
        "what (did|has|have) {person} (do|done|been doing|been up to) <ago>",
        "what (did|has|have) {person} (do|done) (to|with|in|at) {device} <ago>",
        "<look> [audit|event|activity] (log|history|trail|events|activity) [<of> {device}] <ago>",
        "<look> {device} (log|history|events)",
        "<look> [everything that|what] happened <ago>",
    ),
    "who:approved": (
        "who <approved> (<it>|<deed_of>|{device}) <ago>",
        "who gave (permission|approval|the approval|the okay) [for it|for that] <ago>",
    ),
    "who:denied": ("who <denied> (<it>|<deed_of>) <ago>",),
    "who:requested": ("who <requested> (<it>|<deed_of>) <ago>",),
    "when:approved": ("when was (it|that|the request|<deed_of>) <approved> <ago>",),
}

_OTHER: Final = {
    "pending": (
        "what is <waiting> <for_me>",
        "what (needs|requires|is awaiting|still needs) <my>",
        "what (do i have|have i got|do i need|is there) to (approve|confirm)",
        "<be> (there|there anything|anything|something) [still] (<waiting>|to (approve|confirm)) <for_me>",
        "<be> there [any] [<waiting>] <approvals> [<waiting>]",
        "any [<waiting>] <approvals>",
        "[<look>] [my|any|all] <waiting> <approvals>",
        "<look> approvals",
        "pending",
        "list [the] [pending] (approvals|requests)",
        "(anything|something) (pending|waiting|to approve) <for_me>",
        "does (anything|something) need <my>",
    ),
    "help": (
        "help [me]",
        "what can (you do|i say|i ask|i ask you|you help with|you help me with|i do)",
        "what (are your|commands) [commands|skills|abilities|do you know|do you understand]",
        "<look> (commands|help|your commands)",
        "how can you help [me]",
        "how do (i use you|you work|i talk to you)",
        "what do you (understand|know|do)",
        "(can|could) you help me",
    ),
}

_ANSWERS: Final = {
    "first": ("[the] (first|1st|top|former) [one]",),
    "last": ("[the] (last|bottom|latter) [one]",),
    "number": ("[the] [number|option|choice|no] {number} [one]",),
    "every": ("(both|all|all of them|both of them|every one|all of those|each|everything)",),
}

_UNITS_OF_TIME: Final = {"second": 1, "minute": 60, "min": 60, "hour": 3600} | {
    "day": 86_400,
    "week": 604_800,
    "month": 2_592_000,
}

_DEEDS: Final = {
    "unlock": "unlock unlocked unlocking unbolted",
    "open": "open opened opening",
    "lock": "lock locked locking",
    "pause": "pause paused pausing",
    "resume": "resume resumed resuming continue continued unpaused",
    "cancel": "cancel cancelled canceled cancelling canceling cancellation abort aborted aborting",
    "stop": "stop stopped stopping",
    "kill": "kill killed killing cut",
    "start": "start started starting run ran",
    "print": "print printed printing",
    "heat": "heat heated heating preheat preheated preheating",
    "on": "turn_on turned_on turning_on switch_on switched_on switching_on power_on powered_on"
    " power_up powered_up enable enabled activated",
    "off": "turn_off turned_off turning_off switch_off switched_off switching_off power_off powered_off"
    " power_down powered_down shut_down shut_off disable disabled deactivated",
}

_ONES: Final = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen"
)
_TENS: Final = _words("twenty thirty forty fifty sixty seventy eighty ninety")
_ORDINALS: Final = _words("first second third fourth fifth sixth seventh eighth")

_PARTS: Final = {
    "bed": "bed | build plate | plate | heatbed | heat bed | heated bed | print bed",
    "nozzle": "nozzle | hotend | hot end | extruder | tool | print head | head",
}

_GUARDS: Final = {
    "negation": "not no never nor neither none nothing nobody nowhere without hardly barely scarcely"
    " seldom rarely refuse avoid forbid forbidden prohibit prohibited nope nah negative dnt nt except"
    " besides excluding but",
    "condition": "if unless whether provided assuming suppose supposing case otherwise else or either"
    " depending maybe perhaps possibly might",
    "time": "when whenever once until till after before while during tomorrow tonight later soon today"
    " yesterday morning afternoon evening night noon midnight oclock am pm minute minutes second"
    " seconds hour hours day days week weeks monday tuesday wednesday thursday friday saturday sunday"
    " schedule timer delay remind next eventually someday always weekend sunset sunrise daily nightly"
    " hourly",
    "steps": "then also plus instead rather afterwards followed meanwhile",
    "speech": "say said says saying tell told tells telling ask asked asks asking repeat quote word"
    " words phrase sentence pretend imagine imagining hypothetically theoretically example joke"
    " kidding explain describe translate spell story poem how why should shall would could may wonder"
    " wondering think thinks thought believe heard hear write wrote written meant means mean called"
    " song movie what who where which",
}

_CONTRACTIONS: Final = {
    "do not": "don't dont",
    "can not": "can't cant cannot",
    "will not": "won't wont",
    "is not": "ain't aint",
    "do not know": "dunno",
    "let us": "let's lets",
    "what is": "what's whats",
    "who is": "who's whos",
    "how is": "how's hows",
    "where is": "where's",
    "when is": "when's",
    "there is": "there's",
    "that is": "that's thats",
    "it is": "it's",
    "he is": "he's",
    "she is": "she's",
    "everything is": "everything's",
    "please": "pls plz",
    "oclock": "o'clock",
}

# Written without the apostrophe.
_CAREFREE: Final = _words(
    "is are was were does did has have had should would could must need might"
)

_ENDINGS: Final = dict(
    zip(
        ("n't", "'re", "'ll", "'ve", "'d", "'m", "'s"),
        _phrases("not|are|will|have|would|am|"),
        strict=True,
    )
)

_POLITE: Final = ("can you", "could you", "will you", "would you")
_URGENT: Final = _phrases(
    "now | right now | immediately | instantly | at once | right away | this instant"
)

LANGUAGE: Final = Language(
    sentences=_ACTS | _PRINTS | _STATUS | _RECORD | _OTHER,
    rules=_RULES,
    answers=_ANSWERS,
    before=_phrases(
        "please | kitty | hey kitty | hi kitty | hello kitty | ok kitty | okay kitty | hey | hi | hello"
        " | ok | okay | so | well | um | uh | erm | hmm | now | just | quickly | i want you to"
        " | i would like you to | i need you to | go ahead and | be so kind and | do me a favor and"
        " | do me a favour and | can you | could you | will you | would you | ."
    ),
    after=(
        *_URGENT,
        *_POLITE,
        *_phrases("please | kitty | thanks | thank you | quickly | again | for me | for us | ."),
    ),
    polite=_POLITE,
    offering=_phrases("i mean | i meant | it is | that is | i want | i would like | take | use"),
    urgent=frozenset(_URGENT),
    agreeing=_phrases("yes | yeah | yep | ok | okay | sure | yes please"),
    contractions={f"{verb}nt": f"{verb} not" for verb in _CAREFREE}
    | {word: whole for whole, text in _CONTRACTIONS.items() for word in _words(text)},
    endings=_ENDINGS,
    guards={reason: frozenset(_words(text)) for reason, text in _GUARDS.items()},
    function_words=frozenset(
        _words(
            "close closed closing i you he she we they me him us is are was were am be been being do"
            " does did done has have had having will can must ought to than as so too very there"
            " because since although though about against between through ever only really going want"
            " wants wanted need needs needed like wish hope get got let make made go goes went come"
            " comes came please thanks"
        )
    ),
    articles=frozenset(_words("the my our your a an this that these those current")),
    silent=frozenset({"the"}),
    joining=frozenset(_words("in at of inside from to for on by into near with behind under over")),
    conjunctions=frozenset({"and"}),
    nobody_named=frozenset(_words("i we you kitty anyone anybody someone somebody they")),
    every={"all": 0, "every": 0, "each": 0, "both": 2, "any": 0},
    everything=frozenset({"everything"}),
    pronouns={"it": False, "this": False, "that": False, "one": False, "them": True, "these": True},
    here=_phrases("in this room | this room | in the room | in here | here"),
    nouns={
        Kind.DOOR: {"door": False, "lock": False, "doors": True, "locks": True},
        Kind.LIGHT: {
            **dict.fromkeys(("light", "lamp"), False),
            **dict.fromkeys(("lights", "lamps", "lighting"), True),
        },
        Kind.POWER: {
            **dict.fromkeys(
                ("power", "plug", "socket", "outlet", "switch", "supply", "electricity"), False
            ),
            **dict.fromkeys(("plugs", "sockets", "outlets", "switches"), True),
        },
        Kind.PRINTER: {
            **dict.fromkeys(("printer", "print", "job", "printing"), False),
            **dict.fromkeys(("printers", "prints", "jobs"), True),
        },
        Kind.CAMERA: {"camera": False, "cam": False, "cameras": True},
        Kind.SENSOR: {"sensor": False, "sensors": True},
    },
    deeds={
        phrase.replace("_", " "): deed for deed, text in _DEEDS.items() for phrase in _words(text)
    },
    switches={
        **dict.fromkeys(("on", "up", "back on"), "on"),
        **dict.fromkeys(("off", "down", "back off"), "off"),
    },
    parts={phrase: part for part, text in _PARTS.items() for phrase in _phrases(text)},
    day_periods={
        **dict.fromkeys(_phrases("today | so far today | this morning | tonight"), (0, None)),
        **dict.fromkeys(_phrases("this afternoon | this evening"), (0, None)),
        **dict.fromkeys(_phrases("last night | overnight"), (21_600, None)),
        "yesterday": (86_400, 0),
        "since yesterday": (86_400, None),
    },
    periods={
        "just now": (900, None),
        "recently": (86_400, None),
        "lately": (86_400, None),
        "this week": (604_800, None),
        "last week": (1_209_600, 604_800),
        "this month": (2_592_000, None),
    },
    units=_UNITS_OF_TIME | {f"{unit}s": length for unit, length in _UNITS_OF_TIME.items()},
    past=_phrases(
        "in the last | in the past | within the last | during the last | over the last | the last"
        " | the past | for the last | in last | last | past"
    ),
    numbers={
        **{word: value for value, word in enumerate(_ONES)},
        **{word: 10 * value for value, word in enumerate(_TENS, 2)},
    },
    ordinals={word: value for value, word in enumerate(_ORDINALS, 1)},
    one=("a",),
    hundred="hundred",
    file_words=frozenset(_words("file files model part job print gcode version")),
    file_endings=frozenset(_words("gcode bgcode gco g 3mf stl ufp")),
)
