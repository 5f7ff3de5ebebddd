import time


def test_search_of_one() -> None:
    time.sleep(0.6)  # as long as real work would take


def test_search_of_none() -> None:
    assert not []
