"""Request ids: the same answer to the same request, within limits of time and number."""

from __future__ import annotations

import pytest

from buildrunner_coordinator.domain.model import Time
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.requests import RequestLog

HOUR_US = 3_600_000_000


def _log(per_client: int = 3) -> RequestLog:
    return RequestLog(HOUR_US, per_client)


def test_a_repeated_request_gets_the_first_answer():
    log = _log()
    assert log.lookup("client", "1", b"digest") is None
    log.remember("client", "1", b"digest", b"answer", Time(0, 0))
    assert log.lookup("client", "1", b"digest") == b"answer"


def test_the_same_id_with_another_content_is_refused():
    log = _log()
    log.remember("client", "1", b"digest", b"answer", Time(0, 0))
    with pytest.raises(Refusal) as refused:
        log.lookup("client", "1", b"another")
    assert refused.value.reason is Reason.REQUEST_ID_REUSED


def test_ids_of_two_clients_have_nothing_to_do_with_each_other():
    log = _log()
    log.remember("one", "1", b"digest", b"answer", Time(0, 0))
    assert log.lookup("other", "1", b"another") is None


def test_answers_are_forgotten_after_their_time():
    log = _log()
    log.remember("client", "1", b"digest", b"answer", Time(0, 0))
    log.expire(Time(HOUR_US - 1, 0))
    assert log.lookup("client", "1", b"digest") == b"answer"
    log.expire(Time(HOUR_US, 0))
    assert log.lookup("client", "1", b"digest") is None
    assert log.removed == [("client", "1")]


def test_the_oldest_answer_goes_when_a_client_has_too_many():
    log = _log(per_client=2)
    for number in range(3):
        log.remember("client", str(number), b"digest", b"answer", Time(number, 0))
    assert [row.request_id for row in log.rows()] == ["1", "2"]


def test_an_id_that_was_forgotten_and_used_again_lives_its_own_hour():
    log = _log(per_client=1)
    log.remember("client", "1", b"digest", b"first", Time(0, 0))
    log.remember("client", "2", b"digest", b"second", Time(1, 0))
    log.remember("client", "1", b"digest", b"third", Time(HOUR_US // 2, 0))
    log.expire(Time(HOUR_US, 0))
    assert log.lookup("client", "1", b"digest") == b"third"


def test_answers_survive_a_restart():
    log, again = _log(), _log()
    log.remember("client", "1", b"digest", b"answer", Time(5, 0))
    for row in log.rows():
        again.restore(row)
    assert again.lookup("client", "1", b"digest") == b"answer"
