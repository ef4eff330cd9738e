"""Word classes of English by closed lists and endings: just enough to tell what joins two names in a clause.

A class is one letter, and depends on the word and the class before it alone. What is in no list is a noun or adjective.
"""

from __future__ import annotations

BE, MODAL, VERB, PARTICIPLE, PREPOSITION, DETERMINER, ADVERB = "B", "U", "V", "G", "P", "D", "A"
RELATIVE, SUBORDINATOR, CONJUNCTION, PRONOUN, POSSESSIVE, SPEAKER, TO, NOUN = "R", "S", "C", "H", "O", "I", "T", "N"
MENTION = "M"

POSSESSIVES = frozenset("his her its their".split())
VERBAL = frozenset(BE + MODAL + VERB + PARTICIPLE)
COPULAS = frozenset("is was are were be been became become becomes remains remained being".split())

_BASE = """accept abandon abolish absorb accompany accuse achieve acquire act adapt add adjoin administer admire admit
adopt advance advise advocate affect aim allow alter amend amount anger annex announce answer apologize appeal
appear apply appoint approve arise arrange arrest arrive ask assassinate assemble assert assess assign assist
associate assume attack attain attempt attend attract author average award back ban base battle bear become
begin believe belong benefit betray bomb boost border borrow break bring broadcast build burn buy calculate call
campaign capture carry cause cease celebrate chair challenge change characterize charge chart check circulate
cite claim clear climb close coach code coin collect combine commence commission commit compare compete complain
complete compose comprise concern conduct confirm confront connect conquer consist consult contain contest
continue contribute control convert convince cooperate coordinate correspond count cover create criticize cross
cultivate damage date deal debut decide declare decline decrease dedicate defeat defend define delay deliver
demand demolish demonstrate deny depart depend depict deploy deposit derive describe deserve design destroy
detail detect determine develop devote die differ diminish direct disappear discharge discover discuss dismiss
dissolve distribute divide dominate donate double draft drain draw drive drop earn eat edit educate elect
elevate eliminate embrace emerge emigrate emphasize employ enable encompass encounter encourage end endorse
enforce engage enjoy enlist ensure enter equip erect erupt escape establish estimate evolve examine exceed
exchange exclude execute exercise exhibit exist expand expect explain explore export expose express extend
extract face facilitate fail fall favor favour fear feature fight film finance finish fire fit fix flee flow
focus follow force foresee forge form foster found free fulfil function fund gain generate get give go govern
graduate grant greet grow guarantee guard guide halt handle happen harm head hear help highlight hire hit hold
honor honour hope host house hunt identify illustrate impact implement imply import impose impress improve
include incorporate increase indicate infect influence inform inhabit inherit inject injure insert insist
inspect inspire install instruct integrate intend interact interview introduce invade invent invest invite
involve isolate issue join journey judge justify keep kill know label lack land last launch lead learn leave
lecture legalize lend let license lie lift limit link list live load lobby locate look lose lower maintain make
manage manufacture mark marry maximize mean measure meet mention mentor merge migrate minimize modify monitor
motivate mount move murder name narrate need negotiate neighbor nominate note obey observe obtain occupy occur
offer omit open operate oppose organize originate outline oversee owe own pack paint park participate pass pay
perform pick pilot pioneer place plan play point pollute populate portray possess postpone power practice pray
preach precede predict prefer prepare present preserve press prevent print privatize proceed proclaim produce
prohibit project promote prompt propose prosecute protect protest prove provide provoke publish purchase pursue
qualify question quit raise range rank reach react read realize rebel rebuild recall recapture receive recognize
recommend record recover recruit redesign reduce refer reflect reform refuse register regulate reign reinforce
reject rejoin relate release relocate rely remain remember remind remove rename renew renovate rent repair
repeat repel replace report represent request require rescue resemble reside resign resist resolve respond rest
restore restrict result resume retire return reunite reveal review revise revive reward ride rise rival rob
rotate ruin rule run sail sample save say scale schedule score search secure see seek seize select sell send
separate serve set settle shape share shift ship shoot shut sign simplify sing sit slow smoke solve sound spark
spawn speak specialize spend sponsor spread stage stand star start state stay stem stimulate stop store
strengthen stretch strike strip structure study submit succeed sue suffer suggest suit supply support surrender
surround survive suspect suspend sustain swim switch symbolize tackle take target tax teach tell tend terminate
test thank think threaten tie title top touch tour trace track trade train transfer transform translate transmit
transport travel treat trigger try turn uncover undergo undertake unite unveil update upgrade urge use utilize
vacate value vary view violate visit voice vote wait walk want warn watch wear wed weigh welcome win wish
witness work worship write yield""".split()
_IRREGULAR = """ate awoke bade beat became began begun bent bet bid bought bound bred broke broken brought built came
caught chose chosen cost cut dealt did died done drew drawn drove driven fed fell fallen felt fled flew flown forbade
forgot fought found founded froze frozen gave given gone got grew grown had has have heard held hid hidden hit hung
kept knew known laid lay led left lent lost made meant met paid ran rang read rode risen rose said sang sank sat saw
seen sent shot shown slew slain sold sought sought spent split spoke spoken sprang spread stole stolen stood stuck
struck sung sunk swam swept swore sworn taken taught thought threw thrown told took went withdrew withdrawn woke won
wore worn wove woven wrote written born set put""".split()

_LISTS = {
    BE: "is are was were be been being isn't wasn't aren't weren't 's",
    MODAL: "will would can could may might shall should must cannot do does",
    PREPOSITION: """about above across after against along alongside amid among around as at before behind below
        beneath beside between beyond by despite due during except for from in including inside into like near of on
        onto opposite outside over past per since through throughout towards toward under underneath until upon via
        with within without following versus circa""",
    TO: "to",
    DETERMINER: """a an the this that these those some any every several many few no one two three four
        five six seven eight nine ten another such other most various numerous""",
    POSSESSIVE: " ".join(sorted(POSSESSIVES)),
    PRONOUN: "he she it they",
    SPEAKER: "i i'm i've i'd i'll we we're you you're me my our your us",
    RELATIVE: "who which whom whose",
    SUBORDINATOR: "where when while because although though whereas if unless whether so what why how than",
    CONJUNCTION: "and or but nor &",
    ADVERB: """not also only just even never ever always often usually sometimes then now later still already first
        originally previously formerly currently recently once twice again together there here thus therefore however
        moreover instead mainly mostly more less very too widely most well up out down off away back both all each
        thereby""",
    NOUN: """need speed seed feed bed red breed hundred deed weed greed shed sled family ally assembly italy july
        king ring thing spring string wing morning evening building meeting ceiling something nothing anything
        everything sibling wedding painting being early daily monthly weekly yearly only holy ugly reply supply
        means series species united""",
}


def _lexicon() -> dict[str, str]:
    """The class of each listed word; of a verb the base, the form with -s and what is irregular."""
    words = dict.fromkeys(_IRREGULAR, VERB)
    for base in _BASE:
        if base[-1] == "y" and base[-2] not in "aeou":
            third = base[:-1] + "ies"
        else:
            third = base + ("es" if base[-1] in "sxhz" else "s")
        words |= {base: VERB, third: VERB}
    for kind, listed in _LISTS.items():
        words |= dict.fromkeys(listed.split(), kind)
    return words


_WORDS = _lexicon()
_BASES = frozenset(_BASE)
_BEFORE_A_NOUN = frozenset(DETERMINER + POSSESSIVE + PREPOSITION + SPEAKER)


def word_class(word: str, before: str) -> str:
    """The class of a word after a word of class `before` (empty at the beginning of a unit)."""
    low = word.lower()
    known = _WORDS.get(low)
    if known is not None and known != VERB:
        return known
    if before in _BEFORE_A_NOUN:
        gerund = before == PREPOSITION and known is None and len(low) > 5 and low.endswith("ing")
        return PARTICIPLE if gerund else NOUN
    if known is not None:
        # "the German state", "its record label": what could be a plural's verb is a noun more often.
        return NOUN if before in (NOUN, MENTION, BE, "") and low in _BASES else VERB
    if not low.isascii() or word[0].isupper() or "-" in low:
        return NOUN
    if low.endswith("ed") and len(low) > 3:
        return VERB
    if low.endswith("ing") and len(low) > 5:
        return PARTICIPLE if before not in (NOUN, MENTION) or _is_form_of_a_verb(low[:-3]) else NOUN
    if low.endswith("ly") and len(low) > 4:
        return ADVERB
    return NOUN


def _is_form_of_a_verb(stem: str) -> bool:
    """Whether what is left of an "-ing" is a known verb: `shar`, `runn`, `follow`."""
    return stem in _BASES or stem + "e" in _BASES or (stem[-1:] == stem[-2:-1] and stem[:-1] in _BASES)
