//! Client programs of other languages, run as their users run them.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::broker::{Broker, Ending, workspace};

/// The longest that a client program may take: some have a thousand tasks to do, on a machine with other work.
const PROGRAM_LIMIT: Duration = Duration::from_secs(240);

/// A Python program of `clients/python`, with the packages that `make test` has installed.
#[must_use]
pub fn python(program: &str) -> Command {
    let mut command = Command::new(installed("python/bin/python"));
    command.arg(program).current_dir(workspace().join("tests/clients/python")).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// A Python program of `clients/python`, with the last boto3 that speaks SQS's Query protocol.
#[must_use]
pub fn python_query(program: &str) -> Command {
    let mut command = Command::new(installed("python_query/bin/python"));
    command.arg(program).current_dir(workspace().join("tests/clients/python")).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// A Node program of `clients/node`.
#[must_use]
pub fn node(program: &str) -> Command {
    let mut command = Command::new("node");
    command
        .arg(program)
        .current_dir(workspace().join("tests/clients/node"))
        .env("NODE_PATH", installed("node/node_modules"));
    command
}

/// The Java program of `clients/java`.
#[must_use]
pub fn java(class: &str) -> Command {
    let classes = installed("java/classes");
    let libraries = installed("java/lib");
    let mut command = Command::new("java");
    command.args(["-cp", &format!("{}:{}/*", classes.display(), libraries.display()), class]);
    command
}

/// A Java program of `clients/spring`: the Spring Boot application which uses the broker as its STOMP relay
/// (`relay.Relay`), or one of those for SQS.
#[must_use]
pub fn spring(class: &str) -> Command {
    let classes = installed("spring/classes");
    let libraries = installed("spring/lib");
    let mut command = Command::new("java");
    command.args(["-cp", &format!("{}:{}/*", classes.display(), libraries.display()), class]);
    command
}

/// RabbitMQ's PerfTest, as it is published.
#[must_use]
pub fn perf_test() -> Command {
    let libraries = installed("perftest");
    let mut command = Command::new("java");
    command.args(["-cp", &format!("{}/*", libraries.display()), "com.rabbitmq.perf.PerfTest"]);
    command
}

/// The Go program of `clients/go`; the scheme of the URL says which of its cases run.
#[must_use]
pub fn go() -> Command {
    Command::new(installed("go/clients"))
}

fn installed(path: &str) -> std::path::PathBuf {
    let path = workspace().join("target/clients").join(path);
    assert!(path.exists(), "{} is missing: `make clients` installs what the tests need", path.display());
    path
}

/// Runs a client program with the broker's URL, restarts the broker when the program asks for it, and returns what it
/// printed. Cases that are beyond RabbitMQ 3.10 are left out where the broker is another one.
///
/// # Panics
/// When it fails or takes too long; with its output.
pub fn run(command: Command, broker: &mut Broker) -> String {
    let url = broker.url();
    run_at(command, &url, broker)
}

/// As [`run`], with another of the broker's listeners.
///
/// # Panics
/// When it fails or takes too long; with its output.
pub fn run_at(mut command: Command, url: &str, broker: &mut Broker) -> String {
    command.arg(url);
    if broker.can_restart() {
        command.arg("--restarts");
    }
    if broker.is_external() {
        command.arg("--common");
    }
    let output = run_as_is(command, |line| {
        let ending = match line.strip_prefix("@restart ")? {
            "kill" => Ending::Kill,
            "stop" => Ending::Stop,
            other => panic!("a client program asks for @restart {other}"),
        };
        broker.restart(ending);
        Some("restarted\n")
    });
    broker.assert_sound();
    output
}

/// Runs a program that needs no restarts, without further arguments.
///
/// # Panics
/// When it fails or takes too long; with its output.
pub fn run_plain(command: Command) -> String {
    run_as_is(command, |_| None)
}

fn run_as_is(mut command: Command, mut answer: impl FnMut(&str) -> Option<&'static str>) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("piped");
    let (send, lines) = mpsc::channel();
    forward(child.stdout.take().expect("piped"), send.clone());
    forward(child.stderr.take().expect("piped"), send);
    let deadline = Instant::now() + PROGRAM_LIMIT;
    let mut output = String::new();
    let in_time = loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                output.push_str(&line);
                output.push('\n');
                if let Some(reply) = answer(&line)
                    && let Err(error) = stdin.write_all(reply.as_bytes())
                {
                    // It has ended meanwhile: its status and its last lines tell more.
                    output.push_str(&format!("(it no longer reads its input: {error})\n"));
                }
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break true,
            Err(mpsc::RecvTimeoutError::Timeout) => break false,
        }
    };
    if !in_time {
        child.kill().expect("killed");
    }
    let status = child.wait().expect("status");
    assert!(in_time, "not done within {PROGRAM_LIMIT:?}: {command:?}\n{output}");
    assert!(status.success(), "{status}: {command:?}\n{output}");
    println!("{output}");
    output
}

fn forward(stream: impl Read + Send + 'static, lines: mpsc::Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
}
