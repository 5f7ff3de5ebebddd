use buildrunner_parallel::{v1::TaskSpec, Client, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let client = Client::connect().await?;
    let session = client.create_session("From Rust", Default::default()).await?.session_id;
    client.submit(&session, vec![TaskSpec::command("hello", ["echo", "hello from a worker"])]).await?;
    client.start_session(&session).await?;
    client.close_session(&session).await?;
    client.wait_session(&session).await?;
    print!("{}", String::from_utf8_lossy(&client.read_output(&session, "hello").await?.stdout));
    Ok(())
}
