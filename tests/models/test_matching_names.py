"""Parameters and modules chosen by patterns."""

import pytest

from hat.models import matching_names

NAMES = ["backbone.conv.weight", "backbone.norm.bias", "head.fc.weight", "head.fc.bias"]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ("*", NAMES),
        ("head.*", ["head.fc.weight", "head.fc.bias"]),
        ("*.bias", ["backbone.norm.bias", "head.fc.bias"]),
        ("head.fc.bias", ["head.fc.bias"]),
        (["*.bias", "backbone.*"], ["backbone.conv.weight", "backbone.norm.bias", "head.fc.bias"]),
        ([], []),
    ],
)
def test_names_are_chosen_in_their_own_order(patterns, expected):
    assert matching_names(NAMES, patterns) == expected


def test_names_may_come_from_an_iterator():
    assert matching_names(iter(NAMES), ["head.*", "*.fc.*"]) == ["head.fc.weight", "head.fc.bias"]


def test_case_matters():
    with pytest.raises(ValueError, match=r"'Head\.\*' matches none"):
        matching_names(NAMES, "Head.*")


def test_a_pattern_without_a_match_is_refused_with_the_nearest_name():
    with pytest.raises(
        ValueError, match=r"'backbone\.conv\.wieght' .* Did you mean 'backbone\.conv\.weight'\?"
    ):
        matching_names(NAMES, "backbone.conv.wieght")


def test_one_of_several_patterns_without_a_match_is_refused():
    with pytest.raises(ValueError, match=r"'neck\.\*' matches none of 4 names"):
        matching_names(NAMES, ["head.*", "neck.*"])
