//! The worker under test of tests/conformance: commands and the handlers named there.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use buildrunner_parallel::v1::Payload;
use buildrunner_parallel::{locate, serve, HandlerError, TaskContext, WorkerOptions};
use serde_json::{json, Value};

type Outcome = Result<Payload, HandlerError>;

fn number(task: &TaskContext, name: &str) -> Result<u64, HandlerError> {
    let payload: Value = serde_json::from_slice(&task.payload().data)?;
    payload[name].as_u64().ok_or_else(|| format!("the payload has no number '{name}'").into())
}

fn busy(task: &TaskContext) -> Outcome {
    let ms = number(task, "ms")?;
    let until = Instant::now() + Duration::from_millis(ms);
    let mut sum = 0u64;
    while Instant::now() < until {
        sum = std::hint::black_box(sum.wrapping_add(1));
    }
    Ok(Payload::json(json!({"ms": ms}).to_string()))
}

fn wait(task: &TaskContext) -> Outcome {
    let ms = number(task, "ms")?;
    task.sleep(Duration::from_millis(ms));
    Ok(Payload::json(json!({"ms": ms}).to_string()))
}

fn progress(task: &TaskContext) -> Outcome {
    let steps = number(task, "steps")?;
    for step in 1..=steps {
        task.progress(100.0 * step as f64 / steps as f64, &format!("step {step}"));
        task.sleep(Duration::from_millis(50));
    }
    Ok(Payload::json(json!({"steps": steps}).to_string()))
}

fn fail(task: &TaskContext) -> Outcome {
    let payload: Value = serde_json::from_slice(&task.payload().data)?;
    Err(payload["message"].as_str().unwrap_or_default().into())
}

fn options() -> Result<WorkerOptions, HandlerError> {
    let mut options = WorkerOptions::default()
        .handler("conformance.echo", |task| Ok(task.payload()))
        .handler("conformance.busy", busy)
        .handler("conformance.wait", wait)
        .handler("conformance.progress", progress)
        .handler("conformance.fail", fail);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} has no value"))?;
        match name.as_str() {
            "--slots" => options.slots = value.parse()?,
            "--label" => options.labels.push(value),
            "--session" => options.session_id = Some(value),
            _ => return Err(format!("there is no option {name}; known are --slots, --label and --session").into()),
        }
    }
    Ok(options)
}

async fn run() -> Result<(), HandlerError> {
    Ok(serve(locate()?, options()?).await?)
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("worker: {error}");
            ExitCode::FAILURE
        }
    }
}
