"""The kit can fail: workers and clients with a planted fault are caught, each by the scenario for it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conformance import specs
from tests.conformance.programs import Programs, find_programs
from tests.conformance.running import FAILED, run
from tests.conformance.scenarios import all_scenarios

MUTANTS = Path(__file__).parent / "mutants"
PATIENCE_S = 20.0

WORKERS = {
    "repeats_nothing": ("lost-acknowledgement", "the report is sent again"),
    "reports_differently": ("lost-acknowledgement", "different reports on one attempt"),
    "runs_duplicates": ("duplicate-assignment", "what ran"),
    "heartbeats_wait_for_handlers": ("heartbeats-under-a-busy-handler", "heartbeats in 5 s"),
    "ignores_cancellations": ("cancel-of-a-handler", "waits is over"),
    "cancels_without_grace": ("cancel-within-the-grace", "what it did when it was told"),
    "forgets_what_it_holds": ("coordinator-restarted-in-order", "what it holds"),
    "comes_back_as_another": ("coordinator-killed", ""),
    "has_no_lease": ("cut-off-beyond-its-lease", "what it runs is killed"),
    "leaves_at_once": ("drain-on-sigterm", ""),
    "goes_on_taking_work": ("drain-asked-by-the-coordinator", "has not ended"),
    "never_starts_anew": ("another-store", ""),
    "passes_its_environment_on": ("environment-of-commands", "CONFORMANCE_SECRET"),
    "loses_standard_error": ("small-output", "the output"),
    "dies_of_an_unknown_disposition": ("newer-coordinator", ""),
    "ends_well_with_a_wrong_token": ("wrong-token", "the exit code is 0"),
}
CLIENTS = {
    "loses_the_names": ("conflict-with-all-names", "the conflicts"),
    "tells_one_conflict": ("conflict-with-all-names", "the conflicts"),
    "loses_reasons": ("refusals-have-names", "the error of"),
    "calls_everything_invalid": ("wrong-token", "the error of"),
    "renews_its_request_ids": ("lost-answers", "TASK_EXISTS"),
    "gives_up_at_once": ("calls-while-it-is-away", "unavailable"),
    "asks_again_and_again": ("waits-for-a-session", "it asked for the session"),
    "watches_without_resuming": ("watch-resumes-behind-a-break", ""),
    "drops_changes": ("watch-tells-everything", "the changes"),
    "tells_changes_twice": ("watch-tells-everything", "the changes"),
    "ignores_the_end_of_its_patience": ("waiting-only-so-long", "gave no answer"),
    "cuts_logs": ("logs-in-full", "sizes of large"),
    "submits_without_conditions": ("submit-with-everything", "needs"),
    "dies_of_an_unknown_state": ("newer-coordinator", ""),
}


@pytest.mark.e2e
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("fault", "scenario", "reason"), [(k, *v) for k, v in WORKERS.items()], ids=list(WORKERS)
)
def test_faults_of_workers_are_caught(
    fault: str, scenario: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _is_caught(replace(_python(), worker=_mutant("worker", fault)), f"worker/{scenario}", reason, monkeypatch)


@pytest.mark.e2e
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("fault", "scenario", "reason"), [(k, *v) for k, v in CLIENTS.items()], ids=list(CLIENTS)
)
def test_faults_of_clients_are_caught(
    fault: str, scenario: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _is_caught(replace(_python(), client=_mutant("client", fault)), f"client/{scenario}", reason, monkeypatch)


def _is_caught(programs: Programs, name: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(specs, "GIVE_UP_S", PATIENCE_S)
    result = run(programs, all_scenarios()[name])
    assert result.state == FAILED, f"{name} has not noticed it"
    assert reason in result.reason, f"{name} failed for another reason: {result.reason}\n{result.evidence}"


def _python() -> Programs:
    return find_programs()[0]


def _mutant(side: str, fault: str) -> tuple[str, ...]:
    return (sys.executable, str(MUTANTS / f"{side}.py"), fault)
