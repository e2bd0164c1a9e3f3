//! Opens a log of which one file is the fuzzer's. The first byte says which; checksums are not looked at when fuzzing. With
//! GANTRY_SEEDS set to a folder, the files of a sound log are written there as a corpus, and nothing else is done.

#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use gantry_storage::{
    EmbeddedLogs, LogCursor, LogFilter, LogOptions, LogReading, LogRecord, LogRetention, Logs, LogsOptions,
};
use libfuzzer_sys::fuzz_target;

type Files = Vec<(String, Vec<u8>)>;

const ID: u64 = 1;
const OPTIONS: LogOptions = LogOptions { segment_bytes: 4096 };

/// A folder in memory, where there is one.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let base = Some(PathBuf::from("/dev/shm")).filter(|base| base.is_dir()).unwrap_or_else(std::env::temp_dir);
        base.join(format!("gantry-fuzz-log-{}", std::process::id()))
    })
}

/// Two whole segments and one that is written to, with tags and gaps.
fn sound() -> &'static Files {
    static SOUND: OnceLock<Files> = OnceLock::new();
    SOUND.get_or_init(|| {
        let dir = folder().join("sound");
        let log = EmbeddedLogs::new(&dir, LogsOptions::default()).open(ID, OPTIONS).unwrap();
        let tags: [Option<&[u8]>; 3] = [None, Some(b"tag"), Some(b"")];
        for offset in 0..60 {
            let payload: &[&[u8]] = &[&[7; 100]];
            let record = LogRecord { offset: offset * 2, timestamp_ms: 1000 + offset, tag: tags[offset as usize % 3], payload };
            log.append(&[record]).unwrap();
            log.sync().unwrap();
        }
        let mut files: Files = fs::read_dir(dir.join(format!("{ID:016x}")))
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
            .collect();
        files.sort();
        files
    })
}

fuzz_target!(|data: &[u8]| {
    let sound = sound();
    if let Some(seeds) = std::env::var_os("GANTRY_SEEDS") {
        for (index, (name, bytes)) in sound.iter().enumerate() {
            fs::write(Path::new(&seeds).join(name), [&[index as u8], bytes.as_slice()].concat()).unwrap();
        }
        let _ = fs::remove_dir_all(folder());
        std::process::exit(0);
    }
    let Some((&which, data)) = data.split_first() else { return };
    let dir = folder().join("tried");
    let _ = fs::remove_dir_all(&dir);
    let files = dir.join(format!("{ID:016x}"));
    fs::create_dir_all(&files).unwrap();
    for (index, (name, bytes)) in sound.iter().enumerate() {
        let bytes = if index == which as usize % sound.len() { data } else { bytes };
        fs::write(files.join(name), bytes).unwrap();
    }
    let logs = EmbeddedLogs::new(&dir, LogsOptions::default());
    // Whatever is there: it opens or it says why not, can be read to its end, and goes on.
    let Ok(log) = logs.open(ID, OPTIONS) else { return };
    for filter in [None, Some(LogFilter { tags: vec![b"tag".as_slice().into()], untagged: false })] {
        let mut cursor = LogCursor::at(0);
        while cursor.offset < log.range().next {
            let before = cursor;
            let reading = LogReading { records_max: 10, bytes_max: 1000, filter: filter.as_ref() };
            let result = log.read(&mut cursor, reading);
            assert!(cursor != before, "it gets on: {result:?}");
        }
    }
    let _ = log.find_time(1030);
    let next = log.range().next;
    if next < u64::MAX {
        log.append(&[LogRecord { offset: next, timestamp_ms: 0, tag: None, payload: &[b"goes on"] }]).unwrap();
        log.sync().unwrap();
        log.retain(LogRetention { bytes_max: Some(0), before_ms: None }).unwrap();
        drop(log);
        let again = logs.open(ID, OPTIONS);
        assert!(again.is_err() || again.unwrap().range().next == next + 1);
    }
});
