"""Refusals as statuses, complete; and what may travel with them."""

from __future__ import annotations

import grpc
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from buildrunner_coordinator.domain.refusals import Reason
from buildrunner_coordinator.rpc.status import CODES, encode_details


def test_every_reason_has_a_status():
    assert set(CODES) == set(Reason)
    assert grpc.StatusCode.OK not in CODES.values()
    assert grpc.StatusCode.UNKNOWN not in CODES.values()


def test_details_hold_reason_domain_and_names():
    encoded = encode_details(grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND", "no", {"task_id": "a", "empty": ""})
    status = Status.FromString(encoded)
    info = ErrorInfo()
    assert status.code == 5 and status.message == "no" and status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("TASK_NOT_FOUND", "parallel.buildrunner.dev")
    assert dict(info.metadata) == {"task_id": "a"}
    assert len(status.details) == 1


def test_a_reason_for_which_trying_again_helps_says_when():
    status = Status.FromString(encode_details(grpc.StatusCode.UNAVAILABLE, "DRAINING", "no", {}))
    retry = RetryInfo()
    assert status.details[1].Unpack(retry) and retry.retry_delay.seconds == 5
