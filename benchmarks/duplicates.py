"""Precision and recall of near-duplicate families over planted duplicates, and the speed of finding them.

    python benchmarks/duplicates.py [--json] [--pairs]

Plants, with a fixed seed, changed copies of real passages, texts of templates with other values, and passages around
common legal notices; then builds families as a lake does: in a bucket of texts with one band value only the longest is
measured against the others, and from the longest text on each joins the most similar family head that it duplicates.
``--pairs`` also prints pairs of the base corpus, which nobody planted, and wrong ones, to be judged by reading.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from corpora import MUSIQUE, synthetic

from memory.duplicates import NO_WORDS, Shingled, bands, compare, prepare

SEED = 11
EACH = 200
SHORTEST = 30
"""Words of a passage that a copy is planted of; 30 are what segmentation leaves of a section's end."""
LEGAL_EACH = 50
TEMPLATED_EACH = 60

NEGATIVE = ("templated", "boilerplate around")
HARD = ("hard: rephrased", "hard: one word edited", "hard: a sentence left out")

INTRODUCTIONS = [
    "As the report says:",
    "A colleague sent me this yesterday, which may help:",
    "From the encyclopedia, for those who asked in the last meeting of the group:",
    "On 5 May 2021 Maria Keller wrote about this in her weekly column:",
    "See below.",
    "Wir zitieren aus der Quelle, die uns gestern genannt wurde:",
]

LEGAL = {
    "English": "This message and its attachments are confidential and intended only for the person to whom they are "
    "addressed. If you have received it by mistake, please tell the sender at once and delete it from your system. You "
    "may not copy it, use it for any purpose or disclose its contents to anyone else. We accept no liability for any "
    "damage that is caused by viruses which this message may carry.",
    "German": "Diese Nachricht und ihre Anhänge sind vertraulich und nur für die Person bestimmt, an die sie gerichtet "
    "sind. Falls Sie sie irrtümlich erhalten haben, benachrichtigen Sie bitte sofort den Absender und löschen Sie sie. "
    "Das Kopieren, jede Verwendung und die Weitergabe des Inhalts an Dritte sind nicht gestattet. Für Schäden durch "
    "Viren, die diese Nachricht enthalten könnte, übernehmen wir keine Haftung.",
    "French": "Ce message et ses pièces jointes sont confidentiels et destinés uniquement à la personne à laquelle ils "
    "sont adressés. Si vous l'avez reçu par erreur, veuillez en avertir aussitôt l'expéditeur et le supprimer de votre "
    "système. Il est interdit de le copier, de l'utiliser ou d'en révéler le contenu à des tiers. Nous déclinons toute "
    "responsabilité pour les dommages causés par des virus que ce message pourrait contenir.",
    "Polish": "Niniejsza wiadomość oraz jej załączniki są poufne i przeznaczone wyłącznie dla osoby, do której zostały "
    "skierowane. Jeżeli otrzymali ją Państwo przez pomyłkę, prosimy o niezwłoczne powiadomienie nadawcy i usunięcie "
    "wiadomości. Zabrania się kopiowania, wykorzystywania oraz ujawniania jej treści osobom trzecim. Nie ponosimy "
    "odpowiedzialności za szkody spowodowane przez wirusy, które wiadomość może zawierać.",
}

TEMPLATES = [
    "Ticket {number}: {name} of {place} reported on {date} that the {thing} does not start after the update. Support "
    "restarted the service, checked the log files of the last two days and asked the customer to try again. The "
    "customer confirmed that it works and the ticket was closed with priority {small}.",
    "Invoice {number} of {date}. Customer: {name}, {place}. For the delivery of {small} pieces of {thing} we charge "
    "{price} EUR plus value added tax at the rate in force. Please pay the amount within 14 days without deduction to "
    "the account named below and give the number of the invoice with your payment. Thank you for your order.",
    "| Article | Price | Stock |\n|---|---|---|\n| {thing} small | {price} | {small} |\n| {thing} large | {price} | "
    "{small} |\nAll prices are in EUR per piece and include packaging. Delivery takes three to five working days "
    "within the country, and orders above the minimum value are sent free of charge.",
    "Sehr geehrte Frau {name}, Ihr Vertrag {number} über die Lieferung von Strom für die Wohnung in {place} endet am "
    "{date}. Wenn Sie nicht widersprechen, verlängert er sich zu den bisherigen Bedingungen um ein weiteres Jahr. Der "
    "Preis je Kilowattstunde beträgt dann {price} Cent. Mit freundlichen Grüßen, Ihr Kundendienst.",
    "{name}様、いつもご利用いただきありがとうございます。ご注文番号{number}の商品は{date}に{place}の倉庫から"
    "発送されました。お届けまで三日ほどかかる場合がございます。合計金額は{price}円です。ご不明な点がございましたら、"
    "お気軽にお問い合わせください。",
    "the {thing} in hall {small} was inspected by the night shift and found to be in good order. no leak was seen, the "
    "bearings were greased as planned and the filter was replaced by a new one. the next inspection is due in three "
    "months, unless the operator asks for an earlier one. signed by {name}.",
]

NAMES = "Anna Berg|Tom Okafor|Li Wei|Maria Rossi|Jan Kowalski|Eva Novak|Omar Haddad|Ruth Cohen|Ines Silva".split("|")
PLACES = "Leeds Graz Turin Gdynia Porto Malmö Lyon Basel Utrecht Košice Tartu Bergen".split()
THINGS = "pump|scanner|label printer|heat exchanger|valve|router|badge reader|compressor|drill|conveyor".split("|")

REPHRASED = [
    ("The library closes at eight in the evening.", "The library shuts at 8 pm."),
    ("Employees must rotate their passwords every ninety days.", "Passwords are to be changed by staff each quarter."),
    ("The bridge was opened to traffic in 1932.", "In 1932, traffic first crossed the bridge."),
    ("Water boils at 100 degrees Celsius at sea level.", "At sea level the boiling point of water is 100 °C."),
    ("The committee rejected the proposal.", "The proposal was turned down by the committee."),
    ("Send the signed form to the office by Friday.", "By Friday the office needs the form with your signature."),
    ("The engine failed because of a worn seal.", "A worn seal made the engine fail."),
    ("Berlin is the capital of Germany.", "Germany's capital is Berlin."),
    ("She won the prize twice, in 2003 and 2009.", "In 2003 and again in 2009 the prize went to her."),
    ("The shop accepts returns within thirty days.", "You can bring goods back to the shop for thirty days."),
    ("Das Werk beschäftigt rund 400 Menschen.", "Etwa 400 Menschen arbeiten in dem Werk."),
    ("No smoking in the workshop.", "Smoking is not allowed in the workshop."),
]


@dataclass(frozen=True, slots=True)
class Planted:
    """A text of the corpus: those of one ``truth`` are duplicates."""

    text: str
    truth: str
    kind: str = "base"
    original: int = -1
    """Index of the text that this one was made from; -1 for none."""


def base_passages() -> list[str]:
    """Passages of the evaluation data where they are there, else made from a seed; no two the same."""
    with tempfile.TemporaryDirectory() as folder:
        file = MUSIQUE if MUSIQUE.exists() else synthetic(Path(folder) / "corpus.json", 4_000, 80)
        return list(dict.fromkeys(record["text"] for record in json.loads(file.read_text(encoding="utf-8"))))


def changed_white_space(text: str, chance: random.Random) -> str:
    """Lines broken anywhere, spaces doubled."""
    return re.sub(" ", lambda _: chance.choice([" ", " ", "  ", "\n", "\u00a0"]), text)


def changed_case(text: str, chance: random.Random) -> str:
    """All capitals, or none."""
    return text.upper() if chance.random() < 0.5 else text.lower()


def changed_punctuation(text: str, chance: random.Random) -> str:
    """Other quotation marks and dashes, commas dropped, full stops made semicolons."""
    text = text.replace('"', "”").replace(" - ", " — ").replace(". ", chance.choice([". ", "; ", " | "]))
    return re.sub(r",(?=\s)", lambda _: chance.choice([",", "", " ,"]), text)


def truncated(text: str, chance: random.Random) -> str:
    """The first 50 to 80 % of the words, with dots."""
    words = text.split()
    return " ".join(words[: round(len(words) * chance.uniform(0.5, 0.8))]) + " ..."


def quoted(where: str) -> Callable[[str, random.Random], str]:
    """60 to 100 % of the words from one place, after an introduction of at most a fifth of the text."""

    def quote(text: str, chance: random.Random) -> str:
        words = text.split()
        size = len(words) if where == "whole" else round(len(words) * chance.uniform(0.6, 1.0))
        start = {"whole": 0, "start": 0, "middle": (len(words) - size) // 2, "end": len(words) - size}[where]
        fitting = [each for each in INTRODUCTIONS if len(each.split()) <= len(words) / 5]
        return f'{chance.choice(fitting)} "{" ".join(words[start : start + size])}"'

    return quote


def one_word_edited(text: str, chance: random.Random) -> str:
    """One plain word replaced by another: perhaps a correction, perhaps another meaning."""
    words = text.split()
    places = [place for place, word in enumerate(words) if word.islower() and word.isalpha()]
    words[chance.choice(places or range(len(words)))] = "otherwise"
    return " ".join(words)


def sentence_left_out(text: str, chance: random.Random) -> str:
    """One sentence of the inside less; the text itself where it has fewer than three."""
    sentences = re.split(r"(?<=[.!?])\s+", text)
    if len(sentences) > 2:
        del sentences[chance.randrange(1, len(sentences) - 1)]
    return " ".join(sentences)


MADE: dict[str, Callable[[str, random.Random], str]] = {
    "copied, white space": changed_white_space,
    "copied, case": changed_case,
    "copied, punctuation": changed_punctuation,
    "truncated": truncated,
    "quoted, whole": quoted("whole"),
    "quoted, start": quoted("start"),
    "quoted, middle": quoted("middle"),
    "quoted, end": quoted("end"),
    "hard: one word edited": one_word_edited,
    "hard: a sentence left out": sentence_left_out,
}


def values(chance: random.Random, number: int) -> dict[str, str]:
    """What a template is filled with."""
    return {
        "number": f"{7_000 + number}",
        "name": chance.choice(NAMES),
        "place": chance.choice(PLACES),
        "date": f"{chance.randint(1, 28)}.{chance.randint(1, 12)}.{chance.randint(2019, 2026)}",
        "thing": chance.choice(THINGS),
        "small": str(chance.randint(1, 40)),
        "price": f"{chance.randint(5, 900)}.{chance.randint(10, 99)}",
    }


def plant() -> list[Planted]:
    """The corpus: base passages, what is made from them, templates and legal notices; shuffled."""
    chance = random.Random(SEED)
    passages = base_passages()
    chance.shuffle(passages)
    own = [" ".join(text.split()[:60]) for text in passages[: len(LEGAL) * LEGAL_EACH]]
    passages = passages[len(own) :]
    corpus = [Planted(text, f"base {number}") for number, text in enumerate(passages)]
    long = [number for number, text in enumerate(passages) if len(text.split()) >= SHORTEST]
    for kind, change in MADE.items():
        chosen = chance.sample(long, EACH)
        corpus += [Planted(change(passages[number], chance), f"base {number}", kind, number) for number in chosen]
    for number, template in enumerate(TEMPLATES):
        filled: dict[str, int] = {}
        while len(filled) < TEMPLATED_EACH:
            text = template.format(**values(chance, len(filled)))
            if text not in filled:
                filled[text] = len(corpus)
                corpus.append(Planted(text, f"template {number} {len(filled)}", "templated"))
        for text, index in chance.sample(sorted(filled.items()), 10):
            corpus.append(Planted(changed_case(text, chance), corpus[index].truth, "copied from a template", index))
    contents = iter(own)
    for language, notice in LEGAL.items():
        for number in range(LEGAL_EACH):
            content = " ".join(next(contents).split()[: chance.randint(8, 60)])
            text = f"{content}\n\n{notice}" if number % 3 else f"{notice}\n\n{content}"
            corpus.append(Planted(text, f"around {language} {number}", "boilerplate around"))
        first = len(corpus)
        corpus.append(Planted(notice, f"notice {language}", "boilerplate itself"))
        for _ in range(5):
            changed = changed_white_space(notice, chance)
            corpus.append(Planted(changed, f"notice {language}", "boilerplate itself", first))
    for number, (one, other) in enumerate(REPHRASED):
        corpus.append(Planted(one, f"rephrased {number}"))
        corpus.append(Planted(other, f"rephrased {number}", "hard: rephrased", len(corpus) - 1))
    return corpus


def measured_pairs(texts: Sequence[str], values: Iterable[Sequence[int]]) -> set[tuple[int, int]]:
    """(leader, member) of every bucket: a bucket's leader is its longest text, of equally long ones the first."""
    buckets: dict[int, list[int]] = defaultdict(list)
    for index, row in enumerate(values):
        for value in row:
            if value != int(NO_WORDS):
                buckets[value].append(index)
    pairs = set()
    for members in buckets.values():
        leader = min(members, key=lambda index: (-len(texts[index]), index))
        pairs.update((leader, member) for member in members if member != leader)
    return pairs


def families(texts: Sequence[str], prepared: Sequence[Shingled], pairs: set[tuple[int, int]]) -> list[int]:
    """The head of each text: from the longest on, a text joins the most similar head that it is a duplicate of."""
    similar: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for leader, member in pairs:
        found = compare(prepared[leader], prepared[member])
        if found.is_duplicate:
            similar[leader].append((found.jaccard, member))
            similar[member].append((found.jaccard, leader))
    heads = [-1] * len(texts)
    for index in sorted(range(len(texts)), key=lambda index: (-len(texts[index]), index)):
        joined = [(-score, other) for score, other in similar[index] if heads[other] == other]
        heads[index] = min(joined)[1] if joined else index
    return heads


def contains_notice(member: Planted, head: Planted) -> bool:
    """A notice may join a passage that contains it: neither right nor wrong, as nothing of it is lost."""
    return member.kind == "boilerplate itself" and head.kind == "boilerplate around"


def measure() -> dict[str, Any]:
    """All figures."""
    corpus = plant()
    texts = [each.text for each in corpus]
    bands(texts[:1])
    begun = time.perf_counter()
    rows = bands(texts)
    banding = time.perf_counter() - begun
    begun = time.perf_counter()
    prepared = [prepare(text) for text in texts]
    preparing = time.perf_counter() - begun
    pairs = measured_pairs(texts, rows.tolist())
    begun = time.perf_counter()
    for leader, member in pairs:
        compare(prepared[leader], prepared[member])
    comparing = time.perf_counter() - begun
    heads = families(texts, prepared, pairs)

    kinds: dict[str, dict[str, int]] = {}
    for index, each in enumerate(corpus):
        if each.kind == "base" or (each.kind == "boilerplate itself" and each.original < 0):
            continue
        figures = kinds.setdefault(each.kind, {"planted": 0, "found": 0, "measured": 0, "duplicate": 0, "wrong": 0})
        figures["planted"] += 1
        head = heads[index]
        figures["wrong"] += corpus[head].truth != each.truth and not contains_notice(each, corpus[head])
        if each.original >= 0:
            figures["found"] += head == heads[each.original]
            pair = (each.original, index)
            figures["measured"] += pair in pairs or pair[::-1] in pairs
            figures["duplicate"] += compare(prepared[each.original], prepared[index]).is_duplicate
    joined = [(index, head) for index, head in enumerate(heads) if head != index]
    right, wrong, unplanted, contained = 0, [], [], 0
    for index, head in joined:
        one, other = corpus[index], corpus[head]
        if one.truth == other.truth:
            right += 1
        elif contains_notice(one, other):
            contained += 1
        elif one.truth.startswith("base") and other.truth.startswith("base"):
            unplanted.append((one.text, other.text))
        else:
            wrong.append((one.text, other.text))
    positive = [f for kind, f in kinds.items() if kind not in (*NEGATIVE, *HARD)]
    return {
        "corpus": MUSIQUE.name if MUSIQUE.exists() else "synthetic",
        "texts": len(texts),
        "kinds": kinds,
        "joined": len(joined),
        "right": right,
        "wrong": len(wrong),
        "precision": right / max(1, right + len(wrong)),
        "recall": sum(f["found"] for f in positive) / sum(f["planted"] for f in positive),
        "notice_joined_to_passage_around_it": contained,
        "unplanted": len(unplanted),
        "pairs": {"wrong": wrong, "unplanted": unplanted},
        "measured_pairs": len(pairs),
        "measured_share": len(pairs) / (len(texts) * (len(texts) - 1) / 2),
        "mean_words": float(np.mean([len(each.words) for each in prepared])),
        "bands_per_second": len(texts) / banding,
        "prepare_per_second": len(texts) / preparing,
        "compare_per_second": len(pairs) / comparing,
    }


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--pairs", action="store_true")
    arguments = parser.parse_args()
    figures = measure()
    pairs = figures.pop("pairs")
    if arguments.json:
        print(json.dumps(figures | ({"pairs": pairs} if arguments.pairs else {}), indent=2, ensure_ascii=False))
        return
    print(f"{figures['texts']:,} texts of {figures['mean_words']:.0f} words; base: {figures['corpus']}")
    print("  kind                        planted  found  recall   measured  duplicate  joined wrongly")
    for kind, row in figures["kinds"].items():
        negative = kind in NEGATIVE
        share = "     -      -" if negative else f"{row['found']:6} {row['found'] / row['planted']:6.1%}"
        pair = "       -          -" if negative else f"{row['measured']:8} {row['duplicate']:10}"
        print(f"  {kind:26}  {row['planted']:7} {share}   {pair}  {row['wrong']:14}")
    print(f"  recall without the hard kinds      {figures['recall']:.3f}")
    print(f"  precision                          {figures['precision']:.3f} ({figures['wrong']} wrong)")
    print(f"  notices joined to one around them  {figures['notice_joined_to_passage_around_it']}")
    print(f"  pairs of the base, not planted     {figures['unplanted']}")
    print(f"  pairs measured                     {figures['measured_pairs']:,}, {figures['measured_share']:.3%} of all")
    print(f"  bands()                            {figures['bands_per_second']:,.0f} texts/s")
    print(f"  prepare()                          {figures['prepare_per_second']:,.0f} texts/s")
    print(f"  compare()                          {figures['compare_per_second']:,.0f} pairs/s")
    if arguments.pairs:
        for name, found in pairs.items():
            for one, other in found:
                print(f"\n{name}:\n- {one}\n- {other}")


if __name__ == "__main__":
    main()
