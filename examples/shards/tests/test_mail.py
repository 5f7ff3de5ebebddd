import time


def test_mail_of_one() -> None:
    time.sleep(0.2)  # as long as real work would take


def test_mail_of_none() -> None:
    assert not []
