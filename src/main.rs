//! `gantry`, the program: configuration, listeners, TLS, health, metrics, shutdown. Messages are the broker's business.

mod config;
mod connections;
#[cfg(test)]
mod echo;
mod http;
mod listener;
mod log;
mod management;
mod metrics;
mod process;
mod protocols;
mod shutdown;
mod start;
mod tls;
mod tokens;
mod web;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tokio::runtime::Runtime;

use crate::config::Config;
use crate::shutdown::Signals;
use crate::start::StartError;
use crate::tls::Tls;

/// A message broker for the clients of RabbitMQ, ActiveMQ and AWS.
#[derive(Parser)]
#[command(name = "gantry", version)]
struct CommandLine {
    /// The configuration; gantry.toml, where that is there, is read without being named.
    #[arg(long, global = true, env = "GANTRY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// Where everything is kept; goes before data_dir of the configuration.
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Checks the configuration and the certificates that it names, and starts nothing.
    Check,
}

fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    let config = match configure(&command_line) {
        Ok(config) => config,
        Err(error) => return refuse(&error),
    };
    match command_line.command {
        Some(Command::Check) => check(&config),
        None => run(config),
    }
}

fn configure(command_line: &CommandLine) -> Result<Config, String> {
    let environment: Vec<_> = std::env::vars_os().collect();
    let mut config = Config::load(command_line.config.as_deref(), &environment).map_err(|errors| errors.to_string())?;
    if let Some(data_dir) = &command_line.data_dir {
        config.data_dir.clone_from(data_dir);
    }
    Ok(config)
}

/// Before there is a log, errors go where those of the command line go.
fn refuse(error: &str) -> ExitCode {
    eprintln!("gantry: {error}");
    ExitCode::FAILURE
}

fn check(config: &Config) -> ExitCode {
    match Tls::load(&config.tls, Duration::from_secs(config.limits.handshake_timeout_s)) {
        Ok(_) => {
            println!("the configuration is valid");
            ExitCode::SUCCESS
        }
        Err(error) => refuse(&format!("TLS: {error}")),
    }
}

fn run(config: Config) -> ExitCode {
    let directives = std::env::var("GANTRY_LOG").ok().filter(|directives| !directives.is_empty());
    let log = match log::start(&config.log, directives.as_deref()) {
        Ok(log) => log,
        Err(error) => return refuse(&error),
    };
    let exit_code = match Runtime::new() {
        Ok(runtime) => {
            let exit_code = runtime.block_on(live(config));
            // What still runs (a recovery that a signal has interrupted) is not waited for: a crash would not wait either.
            runtime.shutdown_background();
            exit_code
        }
        Err(error) => {
            tracing::error!("cannot start the runtime: {error}");
            ExitCode::FAILURE
        }
    };
    log.flush();
    exit_code
}

/// From the start to a signal and the end.
async fn live(config: Config) -> ExitCode {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!("cannot listen for signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    tracing::info!("gantry {} on {}", env!("CARGO_PKG_VERSION"), config.data_dir.display());
    let started: Result<_, StartError> = tokio::select! {
        started = start::start(config) => started,
        ended = signals.next() => {
            tracing::info!("{} during the start", ended.name());
            return ExitCode::SUCCESS;
        }
    };
    let running = match started {
        Ok(running) => running,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = signals.next().await;
    tracing::info!("{}: stopping", ended.name());
    tokio::select! {
        stopped = running.stop() => match stopped {
            Ok(()) => {
                tracing::info!("stopped");
                ExitCode::SUCCESS
            }
            Err(error) => {
                tracing::error!("{error}");
                ExitCode::FAILURE
            }
        },
        again = signals.next() => {
            tracing::warn!("{} again: ending at once", again.name());
            ExitCode::from(again.exit_code())
        }
    }
}
