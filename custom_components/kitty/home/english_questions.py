"""The shapes of English questions about a home."""

import re
from typing import Final

from .english_sentences import shape_of
from .lexicon import Ask, word_set

_STATE: Final = (
    "(?P<s>(?:switched |turned |still |already |left )*(?:on|off|open|opened|closed|shut|locked|unlocked|"
    "playing|"
    "paused|stopped|idle|running|active|inactive|cleaning|docked|charging|mowing|armed|disarmed|occupied|"
    "empty|low|"
    "full|wet|dry|leaking|home|here|at home|away|not home|detected|triggered|available|unavailable|muted|"
    "heating|cooling|"
    "moving|working|secure|secured|up|down|raised|lowered|drawn))(?: anything| something)?"
)
_STATES: Final = _STATE.replace("?P<s>", "?:")
_KIND: Final = "(?:state|status|condition|setting)"
_WEATHER: Final = (
    "(?P<w>rain|raining|rainy|snow|snowing|snowy|sunny|cloudy|clear|windy|foggy|fog|storm|stormy|thunder|"
    "hail|"
    "hailing|overcast|wet|dry|cold|hot|warm|cool|freezing|nice|icy|humid)"
)
_WEATHERS: Final = _WEATHER.replace("?P<w>", "?:")
_DAY: Final = (
    r"(?: (?:for |on |over |during |later |the rest of )?(?:the )?(?P<day>today|tonight|tomorrow|"
    r"tomorrow (?:morning|"
    r"afternoon|evening|night)|this (?:morning|afternoon|evening|week|weekend|month|year)|next (?:week|"
    r"weekend|month|"
    r"monday|tuesday|wednesday|thursday|friday|saturday|sunday)|(?:this )?(?:monday|tuesday|wednesday|"
    r"thursday|friday|"
    r"saturday|sunday)|the day after tomorrow|day after tomorrow|weekend|week|right now|now|outside|"
    r"currently))?"
)
_SOME: Final = "(?:any|a|an|some|the|1)"
_THINGS: Final = (
    "(?:events?|appointments?|meetings?|plans?|entries|things?|anything|something|stuff|calls?)"
)
_ITEMS: Final = "(?:items?|things?|tasks?|entries|todos?|chores?|errands?|products?)"
_LIST: Final = "(?P<l>.*?(?:list|lists|tasks?|todos?|chores?|errands?|groceries))"
_WHERE: Final = (
    "(?: {at} {u}| (?P<u_97>upstairs|downstairs|outside|outdoors|inside|indoors|(?:in )?here))?"
)
_PAST: Final = (
    r"(?P<past>today|yesterday|this week|(?:in |over |during |within )?(?:the )?(?:last|past) "
    r"(?:(?P<m>\d+) )?(?P<unit>minutes?|hours?|days?|weeks?))"
)
_OVER: Final = (
    "(?P<c>above|over|higher than|greater than|more than|warmer than|hotter than|brighter than|at least|"
    "below|under|"
    r"lower than|less than|colder than|cooler than|at most) (?P<n>(?:-|minus )?\d+(?:\.\d+)?)(?: (?:(?P<g>degrees?(?: "
    r"celsius| fahrenheit)?)|percent|\w+))?"
)


def _asks(topic: str, *shapes: str) -> list[Ask]:
    """Return the shapes of questions about one topic."""
    return [Ask(topic, _shape(shape)) for shape in shapes]


def _shape(shape: str) -> re.Pattern[str]:
    """Compile a shape with its macros."""
    for name, words in (
        ("S", _STATE),
        ("W", _WEATHER),
        ("day", _DAY),
        ("some", _SOME),
        ("things", _THINGS),
        ("items", _ITEMS),
        ("list", _LIST),
        ("over", _OVER),
        ("where", _WHERE),
        ("past", _PAST),
        ("diary", "(?:calendar|agenda|schedule|diary|planner)"),
        (
            "verb",
            "(?:using|use|used|consum(?:e|ed|ing)|mak(?:e|ing)|made|produc(?:e|ed|ing)|generat(?:e|ed|ing))",
        ),
    ):
        shape = shape.replace(f"<{name}>", words)
    return shape_of(shape)


_SKY: Final = _asks(
    "weather",
    "(?:what|how) is (?:the )?(?:current )?(?:weather|forecast|weather forecast)(?: like| looking|"
    " outside| going to be| be)*<day>",
    "(?:what|how) (?:will|does|is) (?:the )?(?:weather|forecast)(?: be| look| going to be)?(?: like)?<day>",
    "(?:weather|forecast|weather forecast)<day>",
    "(?:is it|will it|will it be|is it going to be|is it going to|is it gonna|"
    "does it) (?:be )?<W>(?: outside| out)?<day>",
    f"(?:is|will)(?: the)?(?: weather)?<day>(?: be)? (?:{_WEATHERS}(?: (?:or|and) )?)+",
    f"(?:is|will) (?:the )?(?:weather|sky)(?: be)? (?:{_WEATHERS}(?: (?:or|and) )?)+<day>",
    f"(?:is it|will it be) (?:{_WEATHERS} or )+{_WEATHERS}<day>",
    "(?:do|will|should) (?:i|we) (?:need|take|wear|bring) (?:an? |my )?(?P<w>umbrella|jacket|coat|"
    "raincoat|sunglasses)<day>",
    "what is it like outside",
    "how (?:hot|warm|cold|cool|chilly) (?:will|is) it (?:going to )?(?P<f>be|get)(?: outside)?<day>",
    "what is the (?P<f>high|low|maximum|max|highest|minimum|min|lowest)(?: temperature)?(?: outside)?<day>",
    "what will the (?P<f>temperature|high|low) be(?: outside)?<day>",
    "is there (?:any )?<W>(?: coming| expected| forecast)?<day>",
)
_OUTSIDE: Final = _asks(
    "outside",
    "(?:what is|how (?:hot|cold|warm|cool|chilly) is) (?:it|the temperature|the outside temperature|"
    "the outdoor temperature)(?: outside| outdoors| out| out there)?<day>",
    "what is the (?:temperature|temp) (?:outside|outdoors|out there)<day>",
    "what is the (?:outside|outdoor) (?:temperature|temp)<day>",
    "what (?:temperature|temp) is it(?: outside| outdoors)?<day>",
    "how (?P<a>humid|windy) is it(?: outside| outdoors)?<day>",
    "what is the (?P<a>wind speed|wind|humidity) outside<day>",
)
_TIME: Final = _asks(
    "last",
    "when was there (?:last |most recently )?(?:any )?(?P<s>motion|movement)(?: {at} {t})?",
    "when (?:was|were|did) {t} (?:last |most recently )?(?P<s>leave|left|arrive|come home|get home|start|stop|"
    "start cleaning|stop cleaning|start mowing|start playing|opened|closed|shut|locked|unlocked|"
    "turned on|turned off|"
    "switched on|switched off|open|close|lock|unlock|turn on|turn off|changed|change|triggered|on|"
    "off)(?: last)?",
    "when was the last time {t} (?:was |were |got )?(?P<s>opened|closed|shut|locked|unlocked|turned on|"
    "turned off|"
    "switched on|switched off|changed|triggered|on|off)",
    "when did (?:i|we|someone|anyone) last (?P<s>open|close|shut|lock|unlock|turn on|turn off|change) {t}",
)
_SINCE: Final = _asks(
    "since",
    "(?:how long|since when) (?:has|have|is|are) {t} (?:been )?<S>",
    "how long (?:has|have) {t} been (?:like that|that way)",
)
_SPENT: Final = _asks(
    "spent",
    "(?:for )?how long (?:was|were|has|have|is|are) {t} (?:been )?<S> <past>",
    "(?:for )?how long (?:did|has|have|was|were) {t} (?:been )?(?P<s>run|running) <past>",
    "how (?P<q>many times|often) (?:was|were|has|have|did) {t} (?:been |get |gotten )?(?P<s>opened|open|"
    "closed|close|shut|locked|lock|unlocked|unlock|turned on|turn on|turned off|turn off|switched on|"
    "switched off|triggered|started|start|run) <past>",
)
_PEOPLE: Final = [
    *_asks(
        "who",
        "who is (?:at )?(?P<s>home|here|away|out)",
        "is (?P<q>anyone|anybody|someone|everyone|everybody|nobody) (?:at )?(?P<s>home|here|away|out)",
    ),
    *_asks("where", "where is {t}", "where are {t}", "what is the location of {t}"),
]
_STATUS: Final = [
    *_asks(
        "choice",
        f"(?:is|are) {{t}} {_STATES}(?: , {_STATES})*(?: ,)? or {_STATES}",
        f"(?:is|are) {{t}} {_STATES} {_STATES} or {_STATES}",
        f"what (?:is|are) the {_KIND} of {{t}}",
        f"what {_KIND} (?:is|are) {{t}}(?: in)?",
        f"(?:what is|what are) {{t}} {_KIND}",
        "what (?:is|are) {t} (?:doing|up to)",
        "how (?:is|are) {t}(?: doing)?",
        "what is up with {t}",
    ),
    *_asks(
        "over",
        "(?:is|are) (?P<a>it|the temperature) <over>(?: {at} {t}| here| in here)?",
        "(?:is|are) (?P<a>it|the temperature) {at} {t} <over>",
        "(?:is|are) {t} <over>",
    ),
    *_asks(
        "count",
        "how many (?:of )?{t} (?:are|is|do i have|have i left|did i leave|were)(?: currently|"
        " still)? <S><where>",
        "how many {t} (?:are|is) (?:currently |still )?{at} {u} <S>",
        "how many {t} (?:are there|do i have|do we have)<where>",
        "count (?:all )?{t} (?:that|which) (?:are|is) <S><where>",
    ),
    *_asks(
        "which",
        "(?:which|what) (?:of )?{t} (?:are|is|have i left|did i leave|was|were)(?: currently|"
        " still)? <S><where>",
        "(?:which|what) {t} {at} {u} (?:are|is) <S>",
        "(?:list|name|what are|give me|show) (?:all )?{t} (?:that|which) (?:are|is) <S><where>",
        "(?:what|which)(?: devices| things)? (?:is|are)(?: currently| still)? <S><where>",
    ),
    *_asks(
        "any",
        "(?:is|are) there <some> {t} <S><where>",
        "(?:is|are) there <some> {t} (?:that|which) (?:is|are) <S><where>",
        "(?:is|are) any(?: of)? {t} <S><where>",
        "(?:is|are) (?P<q>anything|something)(?: still| left)? <S><where>",
        "(?:do|did) (?:i|we) (?:have|leave|forget) any {t} <S><where>",
        "(?:are|is) (?P<t_7>lights?|fans?|windows?|doors?|locks?|curtains?|blinds?|"
        "speakers?) <S><where>",
    ),
    *_asks(
        "all",
        "(?:is|are) (?:all|every|each|both)(?: of)?(?: the| my)? {t} <S><where>",
        "(?:is|are) (?P<q>everything)(?: {at} {u})? <S>",
        "(?:is|are) {t} all <S><where>",
    ),
    *_asks(
        "is",
        "(?:is|are|was|were) {t}(?<! the)(?<! my) <S><where>",
        "(?:did|have|has) (?:i|we|anyone|anybody|somebody|someone) (?:leave|left|forget|"
        "forgotten) {t} <S><where>",
        "did (?:i|we|anyone|someone) (?P<s>lock|unlock|close|shut|open|turn on|turn off|switch on|"
        "switch off) {t}",
        "have (?:i|we) (?P<s>locked|unlocked|closed|shut|opened|turned on|turned off|switched on|"
        "switched off) {t}",
        "did (?:i|we) (?:turn|switch|leave) {t} (?P<s>on|off)",
        "{t} <S> or not",
        "{t} (?:is|are) (?:it|they|that) <S>",
    ),
    *_asks(
        "is_there",
        "(?:is|was) there (?:any )?(?P<k>motion|movement|smoke|gas|carbon monoxide|co|a leak|water|a water leak|"
        "someone|somebody|anyone|anybody|presence)(?: detected)?(?: {at} {t})?",
        "(?:is|has) (?P<k>motion|movement|smoke|gas|a leak) (?:been )?detected(?: {at} {t})?",
        "(?:is|does) (?:anyone|anybody|somebody|someone) (?P<k>in|inside|at|on) {t}",
        "(?:is|does) {t} (?P<k>moving|leaking|smoking)",
    ),
]
_PLAYING: Final = _asks(
    "playing",
    "what is (?:currently )?playing(?: {at} {t})?",
    "what (?:is|are) (?P<x>.+?) (?:currently )?playing",
    "what (?:song|track|music|movie|show|album|artist) is (?:this|that|it|playing|on)(?: {at} {t})?",
    "what is (?:the )?(?:current )?(?:song|track|music)(?: {at} {t})?",
    "who is (?:singing|playing|this|the artist)",
    "what am i (?:listening to|watching|hearing)",
)
_VALUES: Final = _asks(
    "value",
    "how (?P<a>warm|hot|cold|cool|chilly|humid|bright|loud|fast|full|open|far open|windy|dark) (?:is|"
    "are) (?:it )?(?:{at} )?{t}(?: (?:spinning|running|going|turning|playing|set))?",
    "what (?P<a>temperature|humidity) is it (?:{at} )?{t}",
    "how (?P<a>warm|hot|cold|cool|chilly|humid|bright|dark|loud) is it(?: (?P<x>here|in here|inside))?",
    "how much (?P<a>power|energy|electricity|battery|charge|water|gas) (?:is|are|does|do|has|have) {t} "
    "(?:using|use|used|consume|consuming|consumed|have|left|has)(?: left| so far)?",
    "how much (?P<a>power|energy|electricity|battery|charge|water|gas) (?:is|are) (?:left )?(?:in|on) {t}",
    "how much (?P<a>power|energy|electricity|water|gas) (?:are|is|do|did|have|has) (?:we|i) (?:been )?<verb>"
    "(?: so far| today| now)*",
    "how much {t} (?:is|are) (?:there|left|remaining)(?: left| remaining)?(?: {at} {u})?",
    "how much {t} (?:do|have) (?:we|i) (?:have|got)(?: left| remaining)?",
    "how much {t} (?:are|is|do|did|have|has) (?:we|i) (?:been )?<verb>(?: so far| today| now)*",
    "what (?:temperature|humidity) (?:is|are) {t} (?P<a>set) (?:to|at|on)",
    "what (?:temperature|brightness|volume|humidity|speed|position|level) (?:is|"
    "are) {t}(?: set)?(?: (?:at|to|on))?",
    "(?:what is|what are|what's|read|give me) (?P<a>target temperature|set point|setpoint)(?: {at} {t})?",
    "what (?:is|are) {t} (?P<a>set) (?:to|at|on)",
    "what (?:is|are|was) (?:the )?(?:current )?{t}",
    "what (?:is|are) {t} like(?: {at} {u})?",
    "(?:give me|read|get) (?:the )?(?:current )?{t}",
)
_LISTS: Final = _asks(
    "items_count",
    "how many (?:<items> )?(?:are|do i have|have i got|are there|is)(?: there| left| still)? (?:on|"
    "in) (?:my |the |our )?<list>",
    "how (?:long|full) is (?:my |the |our )?<list>",
    "how many <items> (?:do i have|are left|are there|have i got|do we have|remain)(?: to do| left| open|"
    " today)*",
) + _asks(
    "items",
    "what (?:is|are|do i have|do we have|else is)(?: left| still| there)? (?:is )?(?:on|in) (?:my |the |"
    "our )?<list>",
    "what is is (?:on|in) (?:my |the |our )?<list>",
    "what <items> (?:is|are|do i have|do we have)(?: left| still| there)? (?:on|in) (?:my |the |our )?<list>",
    "(?:list|read|show|tell me|read me|read out|give me|what are)(?: all)? (?:<items> )?(?:on |"
    "in )?(?:my |the |our )?<list>",
    "(?:what|who|which <items>) (?:is|are) (?:on|in) (?:my |the |our )?<list> (?:to|that|for|i) (?P<i>.+)",
    "what (?:is )?is (?:on|in) (?:my |the |our )?<list> to (?P<i>.+)",
    "what do (?:i|we) (?:need|have) to (?:do|get done|finish|complete)(?: today| now| still)?",
    "what do (?:i|we) (?:need|have) to (?P<b>buy|get|shop for)(?: today| now| still)?",
    "what (?:chores|tasks|errands|todos|jobs)(?: .+?)? (?:do|are|have|must|should) .+",
    "what (?:is|do i have|do we have|else is)(?: left| still| there)*(?: to do)? (?:on|in) (?:my |the |our )?{t}",
)
_HAS: Final = _asks(
    "items_has",
    "(?:is|are) (?P<i>.+?) (?:on|in) (?:my |the |our )?<list>",
    "do (?:i|we) have (?P<i>.+?) (?:on|in) (?:my |the |our )?<list>",
)
_CALENDAR: Final = (
    _asks(
        "agenda",
        "(?:what is|what do i have|what is there|what have i got|what do we have|what events are|"
        "what is happening|"
        "what is scheduled|is there anything|do i have anything|what else is)(?: scheduled|"
        " planned)? (?:on|in) "
        "(?:my |the |our |{t} )?(?:{t} )?<diary><day>",
        "(?:what is|how is|show|read)(?: on)? (?:my |the |our )?(?:{t} )?<diary>(?: like| look like)?<day>",
        "(?:what|which) <things> (?:do i have|do we have|are there|are on|have i got|are planned|"
        "are scheduled|are coming up)"
        "(?: planned| scheduled| coming up)?(?: (?:on|in) (?:my |the |our )?(?:{t} )?<diary>)?<day>",
        "what (?:do i have|do we have|have i got|am i doing|are we doing|is happening|is going on|is on|"
        "is planned|is scheduled|"
        "is up|are my plans|are our plans|is my day|are my <things>|are our <things>)(?: planned|"
        " scheduled| going on| like| look like| on)?<day>",
        "(?:do|have) (?:i|we) (?:have |got )?(?:any )?<things>(?: planned| scheduled| coming up)?"
        "(?: (?:on|in) (?:my |the |our )?(?:{t} )?<diary>)?<day>",
        "(?:is there|are there) (?:any )?<things>(?: planned| scheduled| coming up)?"
        "(?: (?:on|in) (?:my |the |our )?(?:{t} )?<diary>)?<day>",
        "how many <things> (?:do i have|do we have|are there|have i got)(?: planned| scheduled)?"
        "(?: (?:on|in) (?:my |the |our )?(?:{t} )?<diary>)?<day>",
        "(?:my|the|our)? ?(?:{t} )?<diary><day>",
    )
    + _asks(
        "free",
        "(?:am i|are we) (?P<q>free|available|busy|booked)<day>",
        "do (?:i|we) have (?P<q>time|free time|a free slot)<day>",
        "is my (?:calendar|day|schedule) (?P<q>free|empty|clear|full|busy)<day>",
    )
    + _asks(
        "next",
        "(?:what|when) is (?:my |the |our )?(?:next|upcoming) <things>(?: (?:on|in) (?:my |the |"
        "our )?(?:{t} )?<diary>)?",
        "(?:what is|what do i have) (?:coming )?(?:up )?next(?: (?:on|in) (?:my |the |"
        "our )?(?:{t} )?<diary>)?",
        "(?:my |the )?next <things>",
        "where is (?:my |the |our )?next <things>",
    )
    + _asks(
        "going_out",
        "(?:(?:according to|from|on|in|per|based on) (?:my |the |our )?(?:{t} )?<diary>(?: ,)? )?"
        "(?:am i|are we|do i have to|do we have to|will i be|will we be|am i going to be|"
        "do i need to)(?: going to)? "
        "(?:leaving|leave|going out|go out|away from|going away from|out of|leaving from|"
        "away) ?(?:the house|the home|home|house)?<day>",
        "(?:(?:according to|from|on|in|per|based on) (?:my |the |our )?(?:{t} )?<diary>(?: ,)? )?"
        "(?:do|have) (?:i|we) (?:have |got )?(?:any )?(?:(?:{t} )?calendar )?<things> (?:away from|"
        "outside|outside of|out of) (?:the )?(?:home|house)<day>",
    )
)

ASKS: Final = (
    *_OUTSIDE,
    *_SKY,
    *_TIME,
    *_SINCE,
    *_SPENT,
    *_LISTS,
    *_HAS,
    *_CALENDAR,
    *_PLAYING,
    *_PEOPLE,
    *_STATUS,
    *_VALUES,
)

PERSONAL: Final = re.compile(
    r"(?:(?:according to|from|on|in|per|based on) (?:my|the|our)\b|(?:what|who|whom|when|where|which|"
    r"how many|how often|"
    r"at what|is|are|am|do|does|did|will|have|has|any)\b).*"
)
ACCORDING: Final = re.compile(
    r"(?:^| )(?:according to|from|on|in|per|based on) (?:my|the|our) (?:\w+ )*?(?:calendar|agenda|"
    r"schedule|list|lists)\b"
)
SEARCH_STOP: Final = word_set(
    "what who whom when where which how many much often is are am was were be been do does did will "
    "would have has "
    "had i we me us you he she they it my our there any anyone anybody someone somebody something "
    "anything need to "
    "going go coming come get got on in at for of from with by and or the a an this that these those "
    "time day date "
    "night nights evening evenings morning mornings week today tomorrow meeting meet event events "
    "appointment "
    "appointments plan plans planned scheduled happen happening supposed should must can personal calendar "
    "list next left still up out around about personally own"
)
