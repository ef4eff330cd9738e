"""Entities are merged on evidence only, in clusters that no order of rows changes, under the user's word."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.candidates import neighbours, numbers, spelled_alike, spelling
from graph.clusters import CLUSTERS, clusters
from graph.normalise import normalise
from graph.resolution import DECISIONS, decide

SOME = settings(max_examples=80, deadline=None)

Row = tuple[str, str, str]
"""Name, kind and type of an entity; its id is `name/type`."""


def entity_table(*rows: Row, passages: int = 1) -> pl.DataFrame:
    return pl.DataFrame(
        [(f"{name}/{type_}", normalise(name), name, kind, type_, passages) for name, kind, type_ in rows],
        schema={
            "entity_id": pl.String,
            "entity_key": pl.String,
            "name": pl.String,
            "kind": pl.String,
            "type": pl.String,
            "passages": pl.Int64,
        },
        orient="row",
    )


def statements(one: str, other: str, *rows: tuple[str, str]) -> pl.DataFrame:
    return pl.DataFrame(
        [(*row, 1) for row in rows], schema={one: pl.String, other: pl.String, "supports": pl.Int64}, orient="row"
    )


def context_table(contexts: dict[str, str]) -> pl.DataFrame:
    return pl.DataFrame(
        [(entity, key) for entity, keys in contexts.items() for key in keys.split()],
        schema={"entity_id": pl.String, "other_key": pl.String},
        orient="row",
    )


def decided(
    *rows: Row,
    acronyms: tuple[tuple[str, str], ...] = (),
    aliases: tuple[tuple[str, str], ...] = (),
    near: tuple[tuple[str, str], ...] = (),
    contexts: dict[str, str] | None = None,
) -> dict[tuple[str, str], tuple[str, str]]:
    """Method and verdict of each pair."""
    pairs = [(min(pair), max(pair), "embedding", 0.95) for pair in near]
    table = decide(
        entity_table(*rows),
        statements("short_id", "long_id", *acronyms),
        statements("left_id", "right_id", *aliases),
        pl.DataFrame(pairs, schema={name: DECISIONS[name] for name in list(DECISIONS)[:4]}, orient="row"),
        context_table(contexts or {}),
    )
    assert table.schema == pl.Schema(DECISIONS)
    assert (table["left_id"] < table["right_id"]).all()
    assert (table["reason"] != "").all()
    return {(left, right): (method, verdict) for left, right, method, _, verdict, _ in table.iter_rows()}


def verdict_of(one: Row, other: Row, how: str, contexts: dict[str, str] | None = None) -> str:
    """Verdict on the one pair, proposed in one way."""
    ids = tuple(sorted((f"{one[0]}/{one[2]}", f"{other[0]}/{other[2]}")))
    found = decided(one, other, contexts=contexts, **({how: ((ids[0], ids[1]),)} if how else {}))  # type: ignore[arg-type]
    return found[ids[0], ids[1]][1]


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Rock & Roll", "Rock and Roll"),
        ("C.S. Lewis", "C. S. Lewis"),
        ("E-Mail", "Email"),
        ("Face Book", "FaceBook"),
        ("Žižkov-Tower", "zizkov tower"),
    ],
)
def test_spacing_hyphens_dots_and_ampersands_do_not_change_the_letters(one: str, other: str) -> None:
    assert spelling(one) == spelling(other)
    assert verdict_of((one, "name", ""), (other, "name", ""), "") == "same"


@SOME
@given(st.lists(st.text("aBn the.,-/&'_é1", min_size=1, max_size=12), unique=True, max_size=12))
def test_pairs_by_spelling_are_those_whose_letters_are_equal(names: list[str]) -> None:
    written = [form for name in names for form in (name, f"The {name}", name.upper())]
    entities = entity_table(*((name, "name", "") for name in sorted(set(written))))
    expected = {
        (min(one, other), max(one, other))
        for one in entities["name"]
        for other in entities["name"]
        if one != other and spelling(one) == spelling(other) != "" and normalise(one) != normalise(other)
    }
    found = spelled_alike(entities).select("left_id", "right_id").rows()
    assert {(left.removesuffix("/"), right.removesuffix("/")) for left, right in found} == {
        tuple(sorted(pair, key=lambda name: f"{name}/")) for pair in expected
    }


@pytest.mark.parametrize(
    ("one", "other"), [("Beatle", "Beatles"), ("C", "C++"), ("World War I", "World War II"), ("Мир", "Мы")]
)
def test_other_letters_are_another_spelling(one: str, other: str) -> None:
    assert spelling(one) != spelling(other)


def test_numbers_are_read_from_digits_numerals_words_and_ordinals() -> None:
    assert numbers("Boeing747") == numbers("Boeing 747") == ("747",)
    assert numbers("World War II") == numbers("Second World War") == ("2",)
    assert numbers("Henry VIII") == ("8",)
    assert numbers("Louis XIV") == ("14",)
    assert numbers("Malcolm X") == ("10",)
    assert (numbers("LX Legislature"), numbers("LXI Legislature")) == (("60",), ("61",))
    assert numbers("Hepatitis C") == ()
    assert numbers("1,000 Islands") == ("1000",)
    assert numbers("3.5") != numbers("35")
    assert numbers("I, Robot") == numbers("Roe v. Wade") == numbers("Vivid") == ()


# --- verdicts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Windows 10", "Windows 11"),
        ("World War I", "World War II"),
        ("2019", "2020"),
        ("Apollo 11", "Apollo"),
        ("First Amendment", "Second Amendment"),
        ("Henry V", "Henry VI"),
        ("9-11", "911"),
    ],
)
def test_names_of_other_numbers_are_kept_apart_however_near_they_are(one: str, other: str) -> None:
    assert verdict_of((one, "name", ""), (other, "name", ""), "near") == "different"


@pytest.mark.parametrize("how", ["acronyms", "aliases"])
def test_not_even_a_statement_joins_names_of_other_numbers(how: str) -> None:
    assert verdict_of(("World War I", "name", "event"), ("WW2", "acronym", ""), how) == "different"
    assert verdict_of(("World War I", "name", "event"), ("The Great War", "name", "event"), how) == "same"


@pytest.mark.parametrize("how", ["acronyms", "aliases", "near"])
@pytest.mark.parametrize(("type_", "other"), [("person", "place"), ("date", "work"), ("place", "event")])
def test_contradicting_types_are_kept_apart(how: str, type_: str, other: str) -> None:
    assert verdict_of(("Jordan", "name", type_), ("Jordann", "name", other), how) == "different"


def test_dates_and_identifiers_are_the_same_only_where_their_keys_are_equal() -> None:
    assert verdict_of(("2019", "date", ""), ("2019", "date", "date"), "") == "same"
    assert verdict_of(("May 2019", "date", ""), ("Mai 2019", "date", ""), "near") == "different"
    days = entity_table(("July 2013", "date", ""), ("17 July 2013", "date", ""))
    days = days.with_columns(entity_key=pl.Series(["2013-07", "2013-07-17"]), name=pl.lit("July 2013"))
    assert spelled_alike(days).is_empty()
    assert verdict_of(("user_name", "identifier", ""), ("username", "identifier", ""), "") == "similar"
    assert verdict_of(("parse_url", "identifier", ""), ("parse_uri", "identifier", ""), "near") == "different"


def test_near_names_are_merged_only_where_their_letters_nearly_agree() -> None:
    organisation = "World Health Organisation", "name", "organisation"
    assert verdict_of(organisation, ("World Health Organization", "name", "organisation"), "near") == "same"
    assert verdict_of(organisation, ("United Nations Agency", "name", "organisation"), "near") == "similar"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("New York Giant", "New York Giants"),
        ("South American Library", "South America Library"),
        ("British Overseas Territory", "British Overseas Territories"),
        ("Alexander Winterbottom", "Alexandra Winterbottom"),
        ("East Virginia State University", "West Virginia State University"),
        ("John F. Kennedy Memorial Library", "John G. Kennedy Memorial Library"),
        ("Hepatitis Virus Research Group A", "Hepatitis Virus Research Group B"),
    ],
)
def test_one_telling_word_keeps_nearly_equal_names_from_a_merge(one: str, other: str) -> None:
    assert verdict_of((one, "name", "organisation"), (other, "name", "organisation"), "near") == "similar"


def test_persons_of_nearly_one_name_are_merged_only_in_one_context() -> None:
    one, other = ("Jonathan Millerson", "name", "person"), ("Jonathon Millerson", "name", "person")
    ids = "Jonathan Millerson/person", "Jonathon Millerson/person"
    assert verdict_of(one, other, "near") == "similar"
    assert verdict_of(one, other, "near", {ids[0]: "york quartet", ids[1]: "quartet viola"}) == "same"


@pytest.mark.parametrize("how", ["aliases", "near"])
def test_a_lone_last_name_is_at_most_similar_to_a_full_one(how: str) -> None:
    assert verdict_of(("Lennon", "name", ""), ("John Lennon", "name", "person"), how) == "similar"
    assert verdict_of(("Thames", "name", "place"), ("River Thames", "name", "place"), "aliases") == "same"


def test_an_acronym_of_one_name_is_merged_and_of_two_names_with_neither() -> None:
    who, health, band = "WHO/", "World Health Organization/", "Wild Horses Orchestra/"
    rows = [("WHO", "acronym", ""), ("World Health Organization", "name", ""), ("Wild Horses Orchestra", "name", "")]
    assert decided(*rows, acronyms=((who, health),))[who, health] == ("acronym", "same")
    both = decided(*rows, acronyms=((who, health), (who, band)))
    assert set(both.values()) == {("acronym", "similar")}
    told = decided(
        *rows,
        acronyms=((who, health), (who, band)),
        contexts={who: "geneva vaccine", health: "geneva vaccine tedros", band: "oslo tuba"},
    )
    assert {pair: verdict for pair, (_, verdict) in told.items()} == {
        (who, health): "same",
        tuple(sorted((who, band))): "similar",
    }


def test_an_acronym_of_common_words_is_at_most_similar() -> None:
    assert verdict_of(("US", "acronym", ""), ("up first prize", "name", ""), "acronyms") == "similar"


def test_two_spellings_of_a_long_form_do_not_make_an_acronym_ambiguous() -> None:
    rows = [
        ("WHO", "acronym", ""),
        ("World Health Organization", "name", ""),
        ("World Health Organisation", "name", ""),
    ]
    found = decided(*rows, acronyms=(("WHO/", f"{rows[1][0]}/"), ("WHO/", f"{rows[2][0]}/")))
    assert {verdict for _, verdict in found.values()} == {"same"}


def test_a_name_under_two_types_is_one_entity_only_where_the_contexts_agree() -> None:
    one, other = ("Mercury", "name", ""), ("Mercury", "name", "organisation")
    assert verdict_of(one, other, "") == "different"
    assert verdict_of(one, other, "", {"Mercury/": "a b", "Mercury/organisation": "c d"}) == "different"
    assert verdict_of(one, other, "", {"Mercury/": "a b", "Mercury/organisation": "b c"}) == "same"
    assert verdict_of(one, other, "", {"Mercury/": "mercury", "Mercury/organisation": "mercury"}) == "different"
    assert verdict_of(("France", "name", "place"), ("France", "name", "organisation"), "") == "different"


def test_an_untyped_name_of_two_things_goes_with_the_one_that_its_contexts_tell() -> None:
    rows = [("Washington", "name", ""), ("Washington", "name", "person"), ("Washington", "name", "place")]
    name, person, place = "Washington/", "Washington/person", "Washington/place"
    both = decided(*rows, contexts={name: "a b", person: "a c", place: "b d"})
    assert both == {
        (name, person): ("key", "similar"),
        (name, place): ("key", "similar"),
        (person, place): ("key", "different"),
    }
    told = decided(*rows, contexts={name: "a b", person: "a b", place: "c d"})
    assert told[name, person] == ("key", "same")
    assert told[name, place] == ("key", "similar")


def test_what_a_third_would_bring_together_against_types_or_numbers_is_decided_to_be_different() -> None:
    rows = [("Great War", "name", ""), ("World War I", "name", "event"), ("World War II", "name", "event")]
    found = decided(*rows, aliases=(("Great War/", "World War I/event"), ("Great War/", "World War II/event")))
    assert found["World War I/event", "World War II/event"] == ("conflict", "different")


def test_pairs_of_unknown_entities_are_left_out_and_no_evidence_gives_no_decision() -> None:
    assert decided(("Oslo", "name", ""), aliases=(("Oslo/", "gone/"),), near=(("Oslo/", "gone/"),)) == {}
    assert decided() == {}


WORDS = ["Acme", "Acme Inc", "A.C.M.E.", "ACME", "Acme 2", "acme-inc", "Anna Lee", "Ana Lee"]


@SOME
@given(data=st.data())
def test_decisions_do_not_depend_on_the_order_of_rows(data: st.DataObject) -> None:
    pick = st.tuples(st.sampled_from(WORDS), st.just("name"), st.sampled_from(["", "person", "organisation"]))
    rows = entity_table(*data.draw(st.lists(pick, unique=True, min_size=2, max_size=8)))
    id_ = st.sampled_from(rows["entity_id"].to_list())
    pairs = st.lists(st.tuples(id_, id_), max_size=5, unique=True)
    acronyms = statements("short_id", "long_id", *data.draw(pairs))
    aliases = statements("left_id", "right_id", *data.draw(pairs))
    near = pl.DataFrame(
        sorted({(min(p), max(p), "embedding", 0.9) for p in data.draw(pairs) if p[0] != p[1]}),
        schema={name: DECISIONS[name] for name in list(DECISIONS)[:4]},
        orient="row",
    )
    contexts = context_table(
        {entity: data.draw(st.sampled_from(["", "a", "a b", "b c"])) for entity in rows["entity_id"]}
    )
    tables = [rows, acronyms, aliases, near, contexts]
    shuffled = [table.sample(fraction=1.0, shuffle=True, seed=data.draw(st.integers(0, 99))) for table in tables]
    assert decide(*tables).equals(decide(*shuffled))


# --- neighbours -----------------------------------------------------------------------------------------------------


@SOME
@given(seed=st.integers(0, 2**16), cuts=st.lists(st.integers(0, 24), max_size=4), block=st.integers(1, 9))
def test_neighbours_found_in_batches_are_those_of_one_batch(seed: int, cuts: list[int], block: int) -> None:
    rng = np.random.default_rng(seed)
    # Few directions, so that pairs near the threshold, equal vectors and a zero vector occur.
    vectors = rng.integers(-1, 2, (24, 3)).astype(np.float32) * rng.uniform(0.5, 2, (24, 1)).astype(np.float32)
    ids = [f"{number:02d}" for number in rng.permutation(24)]
    edges = [0, *sorted(cuts), 24]
    batches = [neighbours(ids[a:b], vectors[a:b], ids[:a], vectors[:a], block=block) for a, b in pairwise(edges)]
    together = pl.concat(batches).sort("left_id", "right_id")
    assert together.equals(neighbours(ids, vectors, [], vectors[:0]))
    lengths = np.linalg.norm(vectors.astype(float), axis=1)
    expected = {
        tuple(sorted((ids[i], ids[j])))
        for i in range(24)
        for j in range(i)
        if lengths[i] * lengths[j] > 0
        and vectors[i].astype(float) @ vectors[j] >= (0.8 - 1e-9) * lengths[i] * lengths[j]
    }
    assert set(together["left_id", "right_id"].rows()) == expected


def test_new_entities_among_the_old_ones_do_no_harm() -> None:
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1]], np.float32)
    found = neighbours(["b"], vectors[1:2], ["a", "b", "c"], vectors)
    assert found["left_id", "right_id", "method"].rows() == [("a", "b", "embedding")]


def test_vectors_of_other_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match="2 and 3 dimensions"):
        neighbours(["a"], np.ones((1, 2), np.float32), ["b"], np.ones((1, 3), np.float32))
    with pytest.raises(ValueError, match="one vector"):
        neighbours(["a", "b"], np.ones((1, 2), np.float32), [], np.ones((0, 2), np.float32))


# --- clusters -------------------------------------------------------------------------------------------------------

IDS = [f"e{number}" for number in range(7)]
PAIR = (
    st.tuples(st.sampled_from(IDS), st.sampled_from(IDS)).filter(lambda p: p[0] != p[1]).map(lambda p: tuple(sorted(p)))
)
VERDICTS = st.dictionaries(
    PAIR, st.tuples(st.sampled_from(["same", "similar", "different"]), st.sampled_from([0.5, 0.9]))
)
SPOKEN = st.lists(st.tuples(PAIR, st.sampled_from(["merge", "split"])), max_size=5)

Verdicts = dict[tuple[str, ...], tuple[str, float]]
Spoken = list[tuple[tuple[str, ...], str]]


def named(passages: list[int]) -> pl.DataFrame:
    return pl.DataFrame(
        {"entity_id": IDS, "name": [id_ * (1 + at % 2) for at, id_ in enumerate(IDS)], "passages": passages}
    )


def verdict_table(verdicts: Verdicts) -> pl.DataFrame:
    rows = [(*pair, "alias", score, verdict, "") for pair, (verdict, score) in verdicts.items()]
    return pl.DataFrame(rows, schema=DECISIONS, orient="row")


def override_table(spoken: Spoken) -> pl.DataFrame:
    rows = [(*pair, verdict, number) for number, (pair, verdict) in enumerate(spoken)]
    schema = {"left_id": pl.String, "right_id": pl.String, "verdict": pl.String, "number": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def canonical(table: pl.DataFrame) -> dict[str, str]:
    assert table.schema == pl.Schema(CLUSTERS)
    return dict(table["entity_id", "canonical_id"].rows())


PASSAGES = st.lists(st.integers(1, 3), min_size=len(IDS), max_size=len(IDS))


@SOME
@given(passages=PASSAGES, verdicts=VERDICTS, spoken=SPOKEN, seed=st.integers(0, 99))
def test_clusters_do_not_depend_on_the_order_of_rows(
    passages: list[int], verdicts: Verdicts, spoken: Spoken, seed: int
) -> None:
    tables = [named(passages), verdict_table(verdicts), override_table(spoken)]
    shuffled = [table.sample(fraction=1.0, shuffle=True, seed=seed) for table in tables]
    assert clusters(*tables).equals(clusters(*shuffled))


@SOME
@given(passages=PASSAGES, verdicts=VERDICTS)
def test_members_were_decided_to_be_the_same_as_their_leader_and_different_pairs_are_apart(
    passages: list[int], verdicts: Verdicts
) -> None:
    found = canonical(clusters(named(passages), verdict_table(verdicts), override_table([])))
    assert list(found) == IDS
    best = dict(zip(IDS, passages, strict=True))
    for entity, leader in found.items():
        assert found[leader] == leader
        assert best[leader] >= best[entity]
        assert entity == leader or verdicts[tuple(sorted((entity, leader)))][0] == "same"
    for (left, right), (verdict, _) in verdicts.items():
        assert verdict != "different" or found[left] != found[right]


@SOME
@given(passages=PASSAGES, verdicts=VERDICTS, spoken=SPOKEN)
def test_the_users_word_wins_and_taking_it_back_restores(
    passages: list[int], verdicts: Verdicts, spoken: Spoken
) -> None:
    entities, decisions = named(passages), verdict_table(verdicts)
    found = canonical(clusters(entities, decisions, override_table(spoken)))
    if spoken:
        (left, right), verdict = spoken[-1]  # no later word contradicts the last one
        assert (found[left] == found[right]) == (verdict == "merge")
    merges = [pair for pair, verdict in spoken if verdict == "merge"]
    splits = [pair for pair, verdict in spoken if verdict == "split"]
    if not splits:
        assert all(found[left] == found[right] for left, right in merges)
    if not merges:
        assert all(found[left] != found[right] for left, right in splits)
    without = canonical(clusters(entities, decisions, override_table([])))
    assert canonical(clusters(entities, decisions, override_table(spoken).clear())) == without


def test_a_split_holds_even_through_a_third() -> None:
    entities = named([9, 1, 1, 1, 1, 1, 1])
    decisions = verdict_table({("e0", "e1"): ("same", 0.9), ("e0", "e2"): ("same", 0.5)})
    assert len(set(list(canonical(clusters(entities, decisions, override_table([]))).values())[:3])) == 1
    split = canonical(clusters(entities, decisions, override_table([(("e1", "e2"), "split")])))
    assert split["e1"] == split["e0"] != split["e2"]


def test_the_later_of_two_contradicting_words_wins_also_through_a_third() -> None:
    entities, none = named([1] * len(IDS)), verdict_table({})
    spoken: Spoken = [(("e0", "e2"), "merge"), (("e2", "e4"), "merge"), (("e0", "e4"), "split")]
    found = canonical(clusters(entities, none, override_table(spoken)))
    assert found["e2"] == found["e4"] != found["e0"]
    again = canonical(clusters(entities, none, override_table([*spoken, (("e0", "e2"), "merge")])))
    assert again["e0"] == again["e2"] != again["e4"]


def test_merged_entities_act_as_one_and_say_how_they_joined() -> None:
    entities = named([9, 1, 1, 1, 1, 1, 1])
    decisions = verdict_table({("e1", "e2"): ("same", 0.9)})
    table = clusters(entities, decisions, override_table([(("e0", "e1"), "merge")]))
    assert table.head(4).rows() == [
        ("e0", "e0", "leader", 1.0),
        ("e1", "e0", "override", 1.0),
        ("e2", "e0", "alias", 0.9),
        ("e3", "e3", "leader", 1.0),
    ]


def test_words_about_entities_that_are_gone_say_nothing() -> None:
    entities = named([1] * len(IDS))
    spoken: Spoken = [(("e0", "gone"), "merge"), (("e1", "gone"), "merge")]
    found = canonical(clusters(entities, verdict_table({}), override_table(spoken)))
    assert found == {entity: entity for entity in IDS}


def test_two_stars_do_not_join_along_a_chain() -> None:
    chain = dict.fromkeys(pairwise(IDS), ("same", 0.9))
    found = canonical(clusters(named([7, 6, 5, 4, 3, 2, 1]), verdict_table(chain), override_table([])))
    assert Counter(found.values()) == {"e0": 2, "e2": 2, "e4": 2, "e6": 1}
