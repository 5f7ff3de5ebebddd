"""A coordinator of files: pools.json says what is wanted, registered/ who there is, *.jsonl what was said.

`fake.json` in the state directory may tell it to fail: {"exit": CODE, "say": LINE}.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from buildrunner_parallel.flocks import FileLock
from buildrunner_parallel.v1 import (
    coordinator_service_pb2,
    coordinator_service_pb2_grpc,
    event_service_pb2,
    event_service_pb2_grpc,
    types_pb2,
    worker_service_pb2,
    worker_service_pb2_grpc,
)

over = threading.Event()


def note(data: Path, name: str, **fields: Any) -> None:
    with (data / f"{name}.jsonl").open("a") as file:
        file.write(json.dumps(fields) + "\n")


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    def Check(self, request: Any, context: Any) -> Any:
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


class Events(event_service_pb2_grpc.EventServiceServicer):
    def __init__(self, data: Path) -> None:
        self.data = data

    def pools(self) -> list[types_pb2.Pool]:
        try:
            items = json.loads((self.data / "pools.json").read_text())
        except (OSError, ValueError):
            return []
        return [types_pb2.Pool(**item) for item in items]

    def Watch(self, request: Any, context: grpc.ServicerContext) -> Any:
        last: list[types_pb2.Pool] | None = None
        revision = 0
        while context.is_active() and not over.wait(0.03):
            pools = self.pools()
            if pools != last:
                revision += 1
                changes = [event_service_pb2.Change(pool=pool) for pool in pools]
                yield event_service_pb2.WatchResponse(
                    revision=revision, snapshot=True, reset=True, changes=changes
                )
                last = pools
        yield event_service_pb2.WatchResponse(revision=revision + 1, closing=True)


class Workers(worker_service_pb2_grpc.WorkerServiceServicer):
    def __init__(self, data: Path) -> None:
        self.data = data

    def ListWorkers(self, request: Any, context: Any) -> Any:
        workers = []
        for file in (self.data / "registered").glob("*.json"):
            try:
                document = json.loads(file.read_text())
            except FileNotFoundError:  # it has left meanwhile
                continue
            busy = document.pop("busy", False)
            tasks = [types_pb2.TaskRef(task_id="t")] if busy else []
            workers.append(types_pb2.Worker(**document, tasks=tasks))
        return worker_service_pb2.ListWorkersResponse(workers=workers)

    def ReportWorkerDeath(self, request: Any, context: grpc.ServicerContext) -> Any:
        file = self.data / "registered" / f"{request.worker_id}.json"
        if not file.exists():
            context.abort(grpc.StatusCode.NOT_FOUND, "no such worker")
        file.unlink()
        note(
            self.data,
            "deaths",
            worker_id=request.worker_id,
            pid=request.pid,
            gone=request.processes_gone,
            reason=request.reason,
        )
        return worker_service_pb2.ReportWorkerDeathResponse(lost_attempts=1)

    def DrainWorker(self, request: Any, context: Any) -> Any:
        try:
            document = json.loads((self.data / "registered" / f"{request.worker_id}.json").read_text())
        except FileNotFoundError:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such worker")
        note(self.data, "drains", worker_id=request.worker_id)
        os.kill(document["pid"], signal.SIGTERM)
        return worker_service_pb2.DrainWorkerResponse()


class Coordinator(coordinator_service_pb2_grpc.CoordinatorServiceServicer):
    def Shutdown(self, request: Any, context: Any) -> Any:
        over.set()
        return coordinator_service_pb2.ShutdownResponse()


def serve(data: Path) -> int:
    lock = FileLock(data / "coordinator.lock")
    if not lock.try_acquire():
        print("another coordinator holds this state", file=sys.stderr)
        return 3
    note(data, "starts", pid=os.getpid())
    if (data / "loads").exists():
        time.sleep(float((data / "loads").read_text()))
    socket = data / "c.sock"
    socket.unlink(missing_ok=True)
    server = grpc.server(ThreadPoolExecutor(8))
    health_pb2_grpc.add_HealthServicer_to_server(Health(), server)
    event_service_pb2_grpc.add_EventServiceServicer_to_server(Events(data), server)
    worker_service_pb2_grpc.add_WorkerServiceServicer_to_server(Workers(data), server)
    coordinator_service_pb2_grpc.add_CoordinatorServiceServicer_to_server(Coordinator(), server)
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    (data / "registered").mkdir(exist_ok=True)
    (data / "token").write_text("secret")
    partial = data / "coordinator.json.new"
    partial.write_text(json.dumps({"schema_version": 1, "address": f"unix:{socket}", "pid": os.getpid()}))
    partial.replace(data / "coordinator.json")
    over.wait()
    server.stop(1).wait()
    (data / "coordinator.json").unlink(missing_ok=True)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--keeper", action="store_true")
    data = parser.parse_args().data
    if (data / "fake.json").exists():
        told = json.loads((data / "fake.json").read_text())
        note(data, "starts", pid=os.getpid())
        print(told["say"], file=sys.stderr)
        return int(told["exit"])
    # Not in the handler itself: it may come while this thread holds the lock of the event that it waits for.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=over.set).start())
    return serve(data)


if __name__ == "__main__":
    sys.exit(main())
