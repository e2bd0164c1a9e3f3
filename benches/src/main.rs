//! `gantry-benches`: starts the broker and the peers that are installed, puts the same load on each in one run, and prints
//! one table of what was measured and how it compares.
//!
//! `amqp`, `mqtt`, `stomp`, `web`, `web_stomp`, `sqs` and `sns` are the load generator's clients, `webhooks` is who SNS
//! calls (`sockets` is what those of many
//! connections share), `load` has the workloads, `peer` knows how brokers are started, `process` what the kernel tells of them,
//! and `table` prints.

mod amqp;
mod error;
mod load;
mod mqtt;
mod peer;
mod process;
mod sns;
mod sockets;
mod sqs;
mod stomp;
mod table;
mod web;
mod web_stomp;
mod webhooks;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;

use error::{Fallible, fail};
use load::{Bench, WORKLOADS, Workload};
use peer::{Broker, ElasticMq, Gantry, Mosquitto, Moto, RabbitMq, Rumqttd};
use table::Results;

/// Where cargo leaves the program.
const GANTRY: &str = "target/release/gantry";

/// Other programs that take more than this part of the processors make a figure doubtful.
const OTHERS_SHARE_MAX: f64 = 0.05;

/// Measures gantry and its peers under the same load, in one run.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Only these workloads (a comma between them); --list tells their names.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<String>,

    /// Tells the workloads.
    #[arg(long)]
    list: bool,

    /// Short runs: whether it works, not how fast it is.
    #[arg(long)]
    quick: bool,

    /// Which peers to measure (a comma between them), `all` that are installed, or `none`.
    #[arg(long, value_delimiter = ',', default_value = "all", value_name = "NAME")]
    peers: Vec<String>,

    /// Leaves gantry out, to look at a peer alone.
    #[arg(long)]
    without_gantry: bool,

    /// Runs everything this many times and takes the medians.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=99))]
    repeat: u32,

    /// The gantry to measure.
    #[arg(long, env = "GANTRY_BIN", default_value = GANTRY, value_name = "FILE")]
    gantry: PathBuf,

    /// Where the brokers keep their data: a folder on the disk to be measured. Emptied of it afterwards.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,

    /// Writes what was measured to this file too, single values included.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("gantry-benches: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `false` when a workload failed.
fn run(options: &Options) -> Fallible<bool> {
    if options.list {
        for workload in &WORKLOADS {
            println!("{:<18}{}", workload.name, workload.about);
        }
        return Ok(true);
    }
    let workloads = chosen(&options.only)?;
    let brokers = brokers(options)?;
    let data = options.data.clone().unwrap_or_else(std::env::temp_dir);
    fs::create_dir_all(&data)?;
    let data = tempfile::Builder::new().prefix("gantry-bench-").tempdir_in(&data)?;
    process::clean_up_when_interrupted(data.path().to_owned())?;
    process::raise_open_files();

    let facts = facts(&brokers, data.path(), options)?;
    let mut results = Results::default();
    let mut notes = BTreeSet::new();
    let mut failures = Vec::new();
    for round in 1..=options.repeat {
        for workload in &workloads {
            // Peers first: their load is also put on gantry.
            for broker in brokers.iter().rev().filter(|broker| broker.speaks(workload.protocol)) {
                eprintln!("round {round} of {}: {} on {}", options.repeat, workload.name, broker.name());
                let folder = tempfile::tempdir_in(data.path())?;
                let mut bench = Bench {
                    broker: broker.as_ref(),
                    protocol: workload.protocol,
                    folder: folder.path(),
                    quick: options.quick,
                    earlier: &results,
                    notes: Vec::new(),
                };
                let bystanders = Bystanders::watch()?;
                let outcome = (workload.run)(&mut bench);
                let said = bench.notes.into_iter().chain(bystanders.note()?);
                notes.extend(said.map(|note| format!("{} on {}: {note}", workload.name, broker.name())));
                match outcome {
                    Ok(figures) => results.add(workload.name, broker.name(), figures),
                    Err(error) => {
                        let failure = format!("{} on {}, round {round}: {error}", workload.name, broker.name());
                        eprintln!("FAILED: {failure}");
                        failures.push(failure);
                    }
                }
            }
        }
    }

    let names: Vec<&'static str> = brokers.iter().map(|broker| broker.name()).collect();
    for fact in &facts {
        println!("{fact}  ");
    }
    println!("\n{}", results.markdown(&names, !options.without_gantry));
    for workload in &workloads {
        println!("- `{}`: {}", workload.name, workload.about);
    }
    for note in &notes {
        println!("- {note}");
    }
    for failure in &failures {
        println!("- FAILED: {failure}");
    }
    if let Some(file) = &options.json {
        let notes: Vec<&String> = notes.iter().collect();
        let all = json!({ "facts": facts, "figures": results.json(&names), "notes": notes, "failures": failures });
        fs::write(file, format!("{all:#}\n"))?;
    }
    Ok(failures.is_empty())
}

fn chosen(only: &[String]) -> Fallible<Vec<&'static Workload>> {
    if let Some(unknown) = only.iter().find(|name| !WORKLOADS.iter().any(|workload| workload.name == **name)) {
        return fail(format!("no workload {unknown}; --list tells them"));
    }
    Ok(WORKLOADS.iter().filter(|workload| only.is_empty() || only.iter().any(|name| name == workload.name)).collect())
}

type Find = fn() -> Option<Box<dyn Broker>>;

/// Whom gantry can be compared with, if they are installed.
const PEERS: [(&str, Find); 5] = [
    ("rabbitmq", || RabbitMq::find().map(|peer| Box::new(peer) as Box<dyn Broker>)),
    ("mosquitto", || Mosquitto::find().map(|peer| Box::new(peer) as Box<dyn Broker>)),
    ("rumqttd", || Rumqttd::find().map(|peer| Box::new(peer) as Box<dyn Broker>)),
    ("elasticmq", || ElasticMq::find().map(|peer| Box::new(peer) as Box<dyn Broker>)),
    ("moto", || Moto::find().map(|peer| Box::new(peer) as Box<dyn Broker>)),
];

/// Gantry first, unless it is left out.
fn brokers(options: &Options) -> Fallible<Vec<Box<dyn Broker>>> {
    let mut brokers: Vec<Box<dyn Broker>> = Vec::new();
    if !options.without_gantry {
        brokers.push(Box::new(Gantry::at(&options.gantry)?));
    }
    for peer in &options.peers {
        match peer.as_str() {
            "none" => {}
            "all" => brokers.extend(PEERS.iter().filter_map(|(_, find)| find())),
            name => match PEERS.iter().find(|(peer, _)| *peer == name) {
                Some((_, find)) => match find() {
                    Some(peer) => brokers.push(peer),
                    None => return fail(format!("{name} is not installed")),
                },
                None => {
                    let names: Vec<&str> = PEERS.iter().map(|(name, _)| *name).collect();
                    return fail(format!("no peer {name}; there is {}", names.join(", ")));
                }
            },
        }
    }
    if brokers.is_empty() {
        return fail("there is nothing to measure");
    }
    Ok(brokers)
}

/// Other programs on this machine, while a workload runs.
struct Bystanders {
    since: Instant,
    machine: Duration,
    ours: Duration,
}

impl Bystanders {
    fn watch() -> Fallible<Self> {
        Ok(Self { since: Instant::now(), machine: process::machine_cpu()?, ours: process::family_cpu()? })
    }

    /// Tells that they took a part of the processors that makes the figures doubtful. To be called when the broker is gone.
    fn note(&self) -> Fallible<Option<String>> {
        let now = Self::watch()?;
        let others = (now.machine - self.machine).saturating_sub(now.ours - self.ours);
        let cores = std::thread::available_parallelism()?.get() as f64;
        let share = others.as_secs_f64() / (now.since - self.since).as_secs_f64() / cores;
        let percent = share * 100.0;
        Ok((share > OTHERS_SHARE_MAX)
            .then(|| format!("DOUBTFUL, other programs took {percent:.0} % of the processors")))
    }
}

/// What a reader must know to judge the figures.
fn facts(brokers: &[Box<dyn Broker>], data: &Path, options: &Options) -> Fallible<Vec<String>> {
    let cores = std::thread::available_parallelism()?;
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("", |(_, name)| name);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut facts = vec![format!(
        "{cores} cores ({model}) shared by broker and load generator, Linux {}, data on {}; median of {}",
        kernel.trim(),
        file_system(data)?,
        options.repeat,
    )];
    for broker in brokers {
        facts.push(format!("{}: {}", broker.name(), broker.version()?));
    }
    if options.quick {
        facts.push("QUICK: short runs that show that it works, not how fast it is".into());
    }
    Ok(facts)
}

fn file_system(folder: &Path) -> Fallible<&'static str> {
    let folder = fs::File::open(folder)?;
    Ok(match rustix::fs::fstatfs(&folder)?.f_type {
        0x0102_1994 => "tmpfs (memory: syncs cost NOTHING there)",
        0xEF53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683E => "btrfs",
        0x794C_7630 => "overlayfs",
        _ => "another file system",
    })
}
