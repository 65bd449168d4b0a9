"""Which pairs lists of ids choose, and what is said of ids that no pair has."""

import pytest

from hdnet.pipeline.steps.select import Chosen, Selection, read_ids
from hdnet.transforms.errors import ManifestError


def seen(*lists, limit=None, pairs="abcdef"):
    selection = Selection(lists, limit)
    for identity in pairs:
        selection.see(1, [identity].copy)
    return selection


@pytest.mark.parametrize(
    ("lists", "limit", "count"),
    [
        ([], None, 6),
        ([], 4, 4),
        ([Chosen("l.csv", {"a", "f"})], None, 2),
        ([Chosen("l.csv", {"a", "f"})], 4, 1),
        ([Chosen("l.csv", {"a", "f"}, listed=False)], None, 4),
        ([Chosen("l.csv", {"a", "b"}), Chosen("s.csv", {"b"}, listed=False)], None, 1),
    ],
)
def test_pairs_are_counted_before_the_run(lists, limit, count):
    assert seen(*lists, limit=limit).count == count


def test_without_lists_no_id_is_made():
    selection = Selection([], limit=2)
    for _ in range(3):
        selection.see(10, lambda: pytest.fail("asked for ids"))
    assert selection.count == 20


def test_ids_without_a_pair_are_counted_and_the_first_ones_named(caplog):
    seen(Chosen("l.csv", [f"z{i}" for i in range(7)] + ["a"])).check("pairs.csv")
    assert caplog.messages == ["l.csv: 7 of 8 ids not in pairs.csv and without effect: z0, z1, z2, z3, z4, ..."]


def test_a_list_without_any_pair_is_an_error():
    with pytest.raises(ManifestError, match=r"^l.csv: 1 of 1 id not in pairs.csv \(z\), so there is no pair to do$"):
        seen(Chosen("l.csv", ["z"])).check("pairs.csv")
    seen(Chosen("l.csv", ["z"], listed=False)).check("pairs.csv")


def test_the_ids_of_a_list_keep_their_order(tmp_path):
    (tmp_path / "l.csv").write_text("verdict,id\nbad,b\ngood,x\nredo,a\n")
    assert read_ids(str(tmp_path / "l.csv")) == ["b", "a"]
