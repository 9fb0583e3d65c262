"""Yes and no to an open question, in every language that people are asked in.

Only the whole of what is said counts, whatever the language of the house. What could be either, or no
answer at all, stands in no table: "bitte", "merci", "na ja", "c'est bon".
"""

from collections.abc import Mapping
from typing import Final

_YES: Final = "confirm"
_NO: Final = "cancel"

# The rules that the answers refer to, with the words as ``fold`` leaves them.
RULES: Final[Mapping[str, str]] = {
    "en_yes": "(yes|yeah|yep|yup|yea|aye|sure|ok|okay|certainly|absolutely|definitely|of course"
    "|affirmative|correct|positive|by all means|sounds good|please|yes sir)",
    "en_no": "(no|nope|nah|nay|negative|no no|not at all|certainly not|absolutely not|of course not)",
    "en_go": "(do it|do that|do so|go ahead|go for it|proceed|make it so|do go ahead)",
    "en_allow": "(confirm|confirmed|approve|approved|accept|accepted|allow|authorize|authorise)",
    "en_deny": "(cancel|stop|abort|deny|denied|reject|decline|refuse|forget|drop)",
    "en_not": "(do not|do not do it|do not do that|do not bother|leave it|skip it|never)",
    "en_mind": "(never mind|nevermind|forget it|not now|not yet|no way|no need|hold on|wait)",
    "de_yes": "(ja|jawohl|klar|na klar|sicher|naturlich|selbstverstandlich|gerne|genau|einverstanden"
    "|in ordnung|ok|okay)",
    "de_no": "(nein|nee|no|nicht|auf keinen fall|sicher nicht|naturlich nicht|lieber nicht|besser nicht)",
    "de_go": "(mach das|mach es|machs|tu das|tu es)",
    "de_allow": "(bestatigen|bestatige|bestatigt|genehmigen|genehmige|genehmigt|erlauben|erlaube|erlaubt)",
    "de_deny": "(abbrechen|brich ab|brich es ab|brich das ab|ablehnen|abgelehnt|lehne ab|stopp|halt"
    "|vergiss es|lass es|lass das|mach das nicht|mach es nicht|tu das nicht|jetzt nicht|noch nicht|warte)",
    "fr_yes": "(oui|ouais|daccord|entendu|bien sur|absolument|exactement|certainement|volontiers|ok|okay)",
    "fr_no": "(non|nan|pas du tout|surtout pas|certainement pas|bien sur que non|jamais)",
    "fr_go": "(vas y|allez y|fais le|faites le)",
    "fr_allow": "(confirmer|confirme|confirmez|approuver|approuve|approuvez|autoriser|autorise|autorisez"
    "|japprouve|jautorise)",
    "fr_deny": "(annuler|annule|annulez|arrete|arretez|refuser|refuse|refusez|stop|oublie|oubliez"
    "|laisse tomber|laissez tomber|pas maintenant|pas encore|ne le fais pas|ne le faites pas|attends|attendez)",
    "fr_please": "(sil te plait|sil vous plait)",
}

_BY_LANGUAGE: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "en": {
        _YES: (
            "<en_yes> [<en_yes>] [kitty] [please]",
            "[<en_yes>] [please] <en_go> [please] [kitty]",
            "[<en_yes>] [please] [i] <en_allow> [it|that|this|the request] [please]",
            "[<en_yes>] that is (right|correct|fine|ok|okay)",
            "[<en_yes>] (you (may|can)|i am sure|please do)",
            "<en_yes> thank you",
        ),
        _NO: (
            "<en_no> [<en_no>] [kitty] [please] [thank you|thanks]",
            "[<en_no>] [please] <en_deny> [it|that|this|the request|about it|everything|please|all]",
            "[<en_no>] [please] <en_not> [please]",
            "[<en_no>] (<en_mind>|[i] changed my mind)",
            "[<en_no>] (cancel|stop) (cancel|stop)",
            "[<en_no>] (neither|none) [of (them|those|these)]",
            "(do not|please do not) (confirm|approve|proceed|go ahead) [it|that]",
        ),
    },
    "de": {
        _YES: (
            "<de_yes> [kitty] [bitte]",
            "[<de_yes>] [bitte] <de_go> [bitte] [kitty]",
            "[<de_yes>] [bitte] [ich] <de_allow> [es|das|die anfrage] [bitte]",
            "[<de_yes>] das ist (richtig|in ordnung|ok|okay)",
        ),
        _NO: (
            "<de_no> [<de_no>] [kitty] [bitte|danke]",
            "[<de_no>] [bitte] <de_deny> [bitte] [kitty]",
        ),
    },
    "fr": {
        _YES: (
            "<fr_yes> [<fr_yes>] [kitty] [merci|<fr_please>]",
            "[<fr_yes>] <fr_go> [kitty] [<fr_please>]",
            "[<fr_yes>] [je] <fr_allow> [<fr_please>]",
        ),
        _NO: (
            "<fr_no> [<fr_no>] [kitty] [merci|<fr_please>]",
            "[<fr_no>] [je] <fr_deny> [<fr_please>]",
        ),
    },
}

# What is said for yes and for no. No template takes words of two languages.
ANSWERS: Final[Mapping[str, tuple[str, ...]]] = {
    meaning: tuple(one for said in _BY_LANGUAGE.values() for one in said[meaning])
    for meaning in (_YES, _NO)
}
