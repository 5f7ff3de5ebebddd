//! What a worker says to its coordinator: the same thing until somebody answers, and who it is where that is not known.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::run::{boot_time, TaskRun};
use super::serving::Serving;
use crate::calls::{stub, unary, Backoff, QUICK};
use crate::error::{Error, ErrorKind, Result};
use crate::v1::log_service_client::LogServiceClient;
use crate::v1::worker_service_client::WorkerServiceClient;
use crate::v1::*;

/// How long a heartbeat may take; the next one is on its way then.
const BEAT: Duration = Duration::from_secs(5);
/// How long an acknowledgement of output may take.
const PIECE: Duration = Duration::from_secs(30);
const SMALL_OUTPUT: i64 = 32 << 10;

/// One call in this worker's name, until somebody answers: `as_worker!(serving, claim_tasks, request, DEADLINE)`.
macro_rules! as_worker {
    ($serving:expr, $method:ident, $request:expr) => {
        as_worker!($serving, $method, $request, $crate::calls::QUICK)
    };
    ($serving:expr, $method:ident, $request:expr, $deadline:expr) => {{
        let mut request = $request;
        let mut backoff = $crate::calls::Backoff::new();
        loop {
            let (worker_id, seen) = $serving.who();
            request.worker_id = worker_id;
            let sent = request.clone();
            match $crate::calls::unary!(
                $serving.calls,
                WorkerServiceClient,
                $method,
                sent,
                $deadline,
                std::time::Duration::ZERO
            ) {
                Err(error) if error.reason() == "WORKER_NOT_FOUND" => $serving.register(seen).await?,
                Err(error) if error.is_passing() => tokio::time::sleep(backoff.next()).await,
                answered => break answered,
            }
        }
    }};
}
pub(crate) use as_worker;

impl Serving {
    /// Hello: at first, and again to a coordinator that was started anew, with all that is held. `seen` is the number of
    /// the registration that was refused: whoever comes second finds it done.
    pub(crate) async fn register(&self, seen: u64) -> Result<()> {
        let _one_at_a_time = self.registering.lock().await;
        if self.who().1 != seen {
            return Ok(());
        }
        let mut backoff = Backoff::new();
        loop {
            let sent = boot_time();
            let request = RegisterRequest { hello: Some(self.hello()) };
            let answer = match unary!(self.calls, WorkerServiceClient, register, request, QUICK, Duration::ZERO) {
                Ok(answer) => answer,
                Err(error) if error.is_passing() => {
                    sleep(backoff.next()).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let welcome =
                answer.welcome.ok_or_else(|| Error::new(ErrorKind::Internal, "the coordinator's welcome is empty"))?;
            if self.welcomed(welcome, &answer.adopted_attempt_ids, sent) {
                return Ok(());
            }
            let address = &self.calls.target().address;
            self.log(&format!("a coordinator with an older state than before answers at {address}"));
            sleep(backoff.next()).await;
        }
    }

    pub(crate) async fn beat_once(&self) -> Result<()> {
        let (request, sent, seen) = self.next_heartbeat();
        let sequence = request.heartbeat.as_ref().map_or(0, |heartbeat| heartbeat.sequence);
        match unary!(self.calls, WorkerServiceClient, heartbeat, request, BEAT, Duration::ZERO) {
            Ok(answer) => {
                if answer.reply.as_ref().is_some_and(|reply| reply.sequence == sequence) {
                    self.beaten(sent, seen);
                    self.obey(answer);
                }
                Ok(())
            }
            Err(error) if error.reason() == "WORKER_NOT_FOUND" => self.register(seen).await,
            Err(error) if error.is_passing() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The same report, until it was taken or never will be.
    pub(crate) async fn deliver(&self, run: &TaskRun, mut durable: i64) -> Result<()> {
        let mut report = run.report();
        let total = run.with_output(super::output::OutputBook::total_bytes);
        let in_report = durable == 0 && total <= SMALL_OUTPUT;
        if in_report {
            report.output = run.with_output(|output| output.from(0));
        }
        while !run.is_disowned() {
            if !in_report && !self.write_output(run, &mut durable, true).await? {
                return Ok(());
            }
            let request = ReportTasksRequest { reports: vec![report.clone()], ..Default::default() };
            match as_worker!(self, report_tasks, request) {
                Ok(answer) => match answer.acknowledgements.first() {
                    Some(ack) if ack.disposition() == Disposition::OutputMissing => durable = ack.output_offset,
                    _ => return Ok(()),
                },
                Err(error) => {
                    let refused = matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Limit);
                    if !refused || report.outcome() == Outcome::NotStarted {
                        return Err(error);
                    }
                    // Something in it cannot be sent, such as a result of millions of bytes: then at least that.
                    self.log(&format!("a report was refused: {error}"));
                    report = TaskReport {
                        attempt_id: report.attempt_id,
                        fence: report.fence,
                        outcome: Outcome::NotStarted.into(),
                        error: super::run::one_line(&format!("its report was refused: {error}"), 4096),
                        ..Default::default()
                    };
                }
            }
        }
        Ok(())
    }

    /// Sends output from `durable` on: all that is kept when it is `whole`, else what of the beginning is there by now.
    /// False when nobody wants it any more.
    pub(crate) async fn write_output(&self, run: &TaskRun, durable: &mut i64, whole: bool) -> Result<bool> {
        let (chunks, end) = run.with_output(|output| match whole {
            true => (output.from(*durable), output.total_bytes()),
            false => (output.settled_from(*durable), output.settled_bytes()),
        });
        let mut backoff = Backoff::new();
        while *durable < end && !run.is_disowned() {
            let (worker_id, seen) = self.who();
            let missing: Vec<_> = chunks
                .iter()
                .filter(|chunk| chunk.offset + chunk.data.len() as i64 > *durable)
                .map(|chunk| WriteOutputRequest {
                    worker_id: worker_id.clone(),
                    outputs: vec![AttemptOutput {
                        attempt_id: run.assignment().attempt_id.clone(),
                        fence: run.assignment().fence,
                        chunks: vec![chunk.clone()],
                    }],
                })
                .collect();
            match self.write_pieces(missing, durable).await {
                Ok(true) => return Ok(false),
                Ok(false) => {}
                Err(error) if error.reason() == "WORKER_NOT_FOUND" => self.register(seen).await?,
                Err(error) if error.kind() == ErrorKind::Unauthenticated => return Err(error),
                Err(error) if error.is_passing() => {}
                Err(error) => self.log(&format!("output was not taken: {error}")),
            }
            if *durable < end {
                sleep(backoff.next()).await;
            }
        }
        Ok(!run.is_disowned())
    }

    /// One stream of pieces; `durable` follows what is acknowledged. True when they are stale.
    async fn write_pieces(&self, pieces: Vec<WriteOutputRequest>, durable: &mut i64) -> Result<bool> {
        let failed = |status| self.calls.error(&status);
        let late = |_| self.calls.error(&tonic::Status::deadline_exceeded(""));
        let mut client = stub!(self.calls, LogServiceClient);
        let opening = client.write_output(self.calls.request(tokio_stream::iter(pieces)));
        let mut stream = timeout(PIECE, opening).await.map_err(late)?.map_err(failed)?.into_inner();
        let mut stale = false;
        while let Some(answer) = timeout(PIECE, stream.message()).await.map_err(late)?.map_err(failed)? {
            for ack in answer.acknowledgements {
                stale |= ack.stale;
                *durable = (*durable).max(ack.offset);
            }
        }
        Ok(stale)
    }

    /// So that what has not been claimed yet goes to others, and people see why nothing comes here.
    pub(crate) async fn tell_of_draining(&self) -> Result<()> {
        let request = DrainWorkerRequest {
            request_id: crate::calls::random_id(),
            worker_id: self.who().0,
            reason: "the worker was told to".to_owned(),
        };
        unary!(self.calls, WorkerServiceClient, drain_worker, request, QUICK, Duration::ZERO).map(drop)
    }

    pub(crate) async fn say_goodbye(&self) -> Result<()> {
        let request = UnregisterRequest { worker_id: self.who().0, reason: "drained".to_owned() };
        unary!(self.calls, WorkerServiceClient, unregister, request, QUICK, Duration::from_secs(5)).map(drop)
    }

    /// Starts and progress.
    pub(crate) async fn carry(self: Arc<Self>) {
        loop {
            sleep(Duration::from_millis(50)).await;
            let request = self.news();
            if request.started.is_empty() && request.progress.is_empty() {
                continue;
            }
            let sent: Result<_> = async { as_worker!(self, report_tasks, request) }.await;
            if let Err(error) = sent {
                self.log(&format!("progress was not taken: {error}"));
            }
        }
    }
}
