//! The application that users of the stage reach: it writes orders and reads them back, with credentials from Secrets Manager that it caches as applications do.
//!
//! ```text
//! GET /ready ─► 200            POST /write ─┐                      secret (cached) ──► login ──► LOGIN log
//! GET /health, GET /read ───────────────────┴─► session: one connection, made anew ◄──┘
//! ```
//!
//! Settings come from the environment: `SHOP_SECRET` (name or ARN), `SHOP_SECRET_TTL` (seconds, 30), `SHOP_PORT` (0: a free one, told on stdout), `SHOP_LOGIN_LOG` (a file that each
//! login is written to), `SHOP_TAG`, and what the SDK reads: `AWS_REGION`, `AWS_ENDPOINT_URL`, credentials. Where stdin is a pipe, its end is the process's end: no shop outlives
//! the stage that started it.

mod credentials;
mod database;
mod logins;
mod routes;
mod settings;

use std::{io::Write, net::Ipv4Addr, os::fd::AsFd, process::ExitCode, sync::Arc};

use tokio::{io::AsyncReadExt, net::TcpListener, net::unix::pipe};

use crate::{credentials::Credentials, database::Database, logins::LoginLog, settings::Settings};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// One thread: dozens of these run on a machine of two cores.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let served = tokio::select! {
        served = serve() => served,
        () = stdin_closed() => Ok(()),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shop: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), AnyError> {
    let settings = Settings::from_environment()?;
    let logins = LoginLog::open(&settings)?;
    let credentials = Credentials::new(&settings).await;
    let database = Arc::new(Database::new(credentials, logins));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, settings.port)).await?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", listener.local_addr()?.port())?;
    stdout.flush()?;
    axum::serve(listener, routes::routes(database, settings.region)).await?;
    Ok(())
}

async fn stdin_closed() {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned();
    if let Ok(mut pipe) = stdin.and_then(pipe::Receiver::from_owned_fd) {
        while pipe.read(&mut [0; 64]).await.is_ok_and(|length| length > 0) {}
        return;
    }
    std::future::pending().await
}
