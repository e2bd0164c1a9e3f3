//! Processes that this program starts, and what the kernel tells of them.
//!
//! Every one that runs is in one list, so that it is also stopped when the program is interrupted; dropping a [`Process`]
//! kills it and waits for it.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::error::{Fallible, fail};

static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// A process in a group of its own.
pub(crate) struct Process {
    child: Child,
    pid: Pid,
    log: PathBuf,
    started: Instant,
}

impl Process {
    /// Starts a program; what it says goes to the end of the file `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Fallible<Self> {
        let file = fs::OpenOptions::new().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        // The list is locked over the start: an interruption in between would miss the process.
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let started = Instant::now();
        let child = command.spawn().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        let pid = Pid::from_child(&child);
        running.push(pid);
        Ok(Self { child, pid, log: log.to_owned(), started })
    }

    /// When it was started.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// What it has said so far, earlier processes with the same log included.
    pub(crate) fn said(&self) -> Fallible<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).into_owned())
    }

    /// An error with the end of the log when the process is no more.
    pub(crate) fn check_alive(&mut self) -> Fallible<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => fail(format!("{} ended with {status}:\n{}", self.log.display(), self.last_words())),
        }
    }

    fn last_words(&self) -> String {
        let said = self.said().unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Kills it at once and waits until it is gone.
    pub(crate) fn kill(&mut self) -> Fallible<ExitStatus> {
        let _gone_already = kill_process_group(self.pid, Signal::KILL);
        self.wait()
    }

    fn wait(&mut self) -> Fallible<ExitStatus> {
        let status = self.child.wait()?;
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).retain(|pid| *pid != self.pid);
        Ok(status)
    }

    /// Processor time that it and all its descendants have used.
    pub(crate) fn cpu(&self) -> Fallible<Duration> {
        let mut stats = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let path = entry?.path();
            let is_process = path.file_name().is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit());
            // A process may end while the list is read.
            if let Some(stat) = is_process.then(|| fs::read_to_string(path.join("stat")).ok()).flatten() {
                stats.push(Stat::parse(&stat)?);
            }
        }
        let mut family = vec![self.pid.as_raw_nonzero().get()];
        let mut used = 0;
        while let Some(pid) = family.pop() {
            used += stats.iter().find(|stat| stat.pid == pid).map_or(0, |stat| stat.ticks);
            family.extend(stats.iter().filter(|stat| stat.parent == pid).map(|stat| stat.pid));
        }
        Ok(ticks(used))
    }

    /// Memory that it holds (VmRSS), in bytes.
    pub(crate) fn resident_bytes(&self) -> Fallible<u64> {
        Ok(field(&self.proc("status")?, "VmRSS:")? * 1024)
    }

    /// Bytes it has handed to write calls, and bytes it has caused to be sent to the disk.
    pub(crate) fn written(&self) -> Fallible<Written> {
        let io = self.proc("io")?;
        Ok(Written { called_bytes: field(&io, "wchar:")?, disk_bytes: field(&io, "write_bytes:")? })
    }

    fn proc(&self, file: &str) -> Fallible<String> {
        let path = format!("/proc/{}/{file}", self.pid.as_raw_nonzero());
        fs::read_to_string(&path).map_err(|error| format!("{path}: {error}").into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _already_waited_for = self.kill();
    }
}

/// What a process has written, by /proc/PID/io.
#[derive(Clone, Copy)]
pub(crate) struct Written {
    /// Handed to write calls, sockets included.
    pub(crate) called_bytes: u64,
    /// Sent to the disk.
    pub(crate) disk_bytes: u64,
}

struct Stat {
    pid: i32,
    parent: i32,
    /// User and system time, those of children waited for included.
    ticks: u64,
}

impl Stat {
    /// The name in the middle may hold anything, blanks and parentheses included.
    fn parse(stat: &str) -> Fallible<Self> {
        let parse = || {
            let (pid, rest) = stat.split_once(" (")?;
            let fields: Vec<&str> = rest.rsplit_once(") ")?.1.split(' ').collect();
            let ticks = fields.get(11..15)?.iter().map(|ticks| ticks.parse::<u64>().ok()).sum::<Option<u64>>()?;
            Some(Self { pid: pid.parse().ok()?, parent: fields.get(1)?.parse().ok()?, ticks })
        };
        parse().ok_or_else(|| format!("cannot read {stat:?}").into())
    }
}

fn field(text: &str, name: &str) -> Fallible<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok());
    number.ok_or_else(|| format!("no {name} in {text:?}").into())
}

/// Processor time that this program has used.
pub(crate) fn own_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Processor time that this program and the processes that it has started and waited for have used.
pub(crate) fn family_cpu() -> Fallible<Duration> {
    Ok(ticks(Stat::parse(&fs::read_to_string("/proc/self/stat")?)?.ticks))
}

/// The kernel's unit of processor time.
fn ticks(count: u64) -> Duration {
    Duration::from_secs_f64(count as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Processor time that everything on this machine has used since it started.
pub(crate) fn machine_cpu() -> Fallible<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let total = stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).and_then(|times| {
        // user nice system idle iowait irq softirq
        let times: Vec<u64> = times.split_whitespace().map_while(|ticks| ticks.parse().ok()).collect();
        Some(times.get(..7)?.iter().sum::<u64>() - times[3] - times[4])
    });
    match total {
        Some(count) => Ok(ticks(count)),
        None => fail("/proc/stat cannot be read"),
    }
}

/// Bytes that the files under a folder occupy on the disk.
pub(crate) fn folder_bytes(folder: &Path) -> Fallible<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            // Files come and go under a running broker.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            }
            bytes += metadata.blocks() * 512;
        }
    }
    Ok(bytes)
}

/// Stops everything that runs when this program is interrupted, and removes the folder where it left its data.
pub(crate) fn clean_up_when_interrupted(folder: PathBuf) -> Fallible<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    std::thread::Builder::new().name("interrupt".into()).spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                eprintln!("signals cannot be caught: brokers would outlive an interruption");
                return;
            };
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            // The lock is kept to the end: nothing may start any more.
            let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
            for pid in running.iter() {
                let _gone_already = kill_process_group(*pid, Signal::KILL);
            }
            // A process that is just going away may still write: what it leaves then is all that stays.
            let _gone_as_far_as_possible = fs::remove_dir_all(&folder);
            std::process::exit(130);
        });
    })?;
    Ok(())
}

/// Lifts the limit of open files as far as it goes; gives the limit.
pub(crate) fn raise_open_files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let before = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: before.maximum, maximum: before.maximum };
    match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => before.maximum.unwrap_or(u64::MAX),
        Err(_) => before.current.unwrap_or(u64::MAX),
    }
}

/// A port of the loopback that was free a moment ago, for programs that cannot pick one themselves.
pub(crate) fn free_port() -> Fallible<u16> {
    Ok(std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_whatever_the_name() {
        let text = "42 (a) (b c) S 7 42 42 0 -1 4194560 1 2 3 4 100 20 3 1 20 0 1 0 5 6 7";
        let stat = Stat::parse(text).unwrap();
        assert_eq!((stat.pid, stat.parent, stat.ticks), (42, 7, 124));
    }

    #[test]
    fn a_process_and_its_children_are_measured_and_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sh -c 'while :; do :; done' & while :; do :; done"]);
        let mut process = Process::start(&mut command, &folder.path().join("log")).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while process.cpu().unwrap() < Duration::from_millis(100) {
            assert!(Instant::now() < deadline, "no processor time is counted");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(process.resident_bytes().unwrap() > 0);
        process.check_alive().unwrap();
        process.kill().unwrap();
        assert!(process.check_alive().is_err());
    }
}
