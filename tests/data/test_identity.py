from hypothesis import given, settings
from hypothesis import strategies as st

from quintet.data.frames import EventLog, Relations
from quintet.data.identity import merged_ids

NODES = st.sampled_from([f"n{k}" for k in range(9)])


def walked(log_users, edges):
    """Every id and the id of its person, by walking the edges one at a time."""
    seniority = list(dict.fromkeys([*log_users, *(end for edge in edges for end in edge)]))
    person = {one: {one} for one in seniority}
    for source, target in edges:
        joined = person[source] | person[target]
        for one in joined:
            person[one] = joined
    return {one: min(group, key=seniority.index) for one, group in person.items()}


@settings(max_examples=20, deadline=None)
@given(
    st.lists(NODES, min_size=1, max_size=6),
    st.lists(st.tuples(NODES, NODES), min_size=1, max_size=8),
)
def test_people_are_what_identity_edges_connect(log_users, edges):
    log = EventLog.read({"user": log_users, "item": ["i"] * len(log_users)})
    source, target = zip(*edges, strict=True)
    merged = merged_ids(log, Relations.read({"source": source, "target": target}, kind="identity"))
    expected = {one: first for one, first in walked(log_users, edges).items() if one != first}
    found = zip(merged["other"].to_pylist(), merged["canonical"].to_pylist(), strict=True)
    assert dict(found) == expected


def test_other_edges_and_missing_ends_merge_nobody():
    log = EventLog.read({"user": ["a", "b"], "item": [1, 2]})
    edges = Relations.read(
        {"source": ["a", "a"], "target": ["b", None], "kind": ["user-user", "identity"]}
    )
    assert not len(merged_ids(log, edges))
