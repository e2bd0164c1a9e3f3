//! Opens a journal of which one file is the fuzzer's. The first byte says which; checksums are not looked at when fuzzing. With
//! GANTRY_SEEDS set to a folder, the files of a sound journal are written there as a corpus, and nothing else is done.

#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use gantry_storage::{
    Append, EmbeddedJournal, Journal, JournalOptions, Mark, Note, Position, Reading, Recovered, Recovery, Ref,
    Transaction,
};
use libfuzzer_sys::fuzz_target;

#[derive(Default)]
struct Found(Vec<Reading>);

impl Recovery for Found {
    fn entry(&mut self, entry: Recovered<'_>) {
        self.0.push(Reading { position: entry.position, payload_bytes: entry.payload_bytes });
    }

    fn note(&mut self, _: u64, _: u64) {}
}

type Files = Vec<(String, Vec<u8>)>;

/// A folder in memory, where there is one.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let base = Some(PathBuf::from("/dev/shm")).filter(|base| base.is_dir()).unwrap_or_else(std::env::temp_dir);
        base.join(format!("gantry-fuzz-{}", std::process::id()))
    })
}

fn options() -> JournalOptions {
    JournalOptions { segment_bytes: 64 << 10, disk_free_min_bytes: 0, ..JournalOptions::default() }
}

/// Every kind of frame, in segments before and behind the checkpoint.
fn sound() -> &'static Files {
    static SOUND: OnceLock<Files> = OnceLock::new();
    SOUND.get_or_init(|| {
        let dir = folder().join("sound");
        for round in 0..2 {
            let journal = EmbeddedJournal::open(&dir, options(), &mut Found::default()).unwrap();
            let mut last = Position { segment: 0, offset: 0, slot: 0 };
            for seq in 0..12 {
                let refs = [Ref { lane: 1, seq }, Ref { lane: 300, seq: seq * 1000 }];
                let record = Append { refs: &refs[..1 + seq as usize % 2], meta: b"meta", payload: &[&[7; 20]] };
                let position = journal.append(record).unwrap().position;
                journal.mark(&[Mark { position, value: 2 }]).unwrap();
                if seq % 3 == 0 {
                    journal.transact(&Transaction { appends: vec![record, record], settles: vec![position] }).unwrap();
                } else if seq % 3 == 1 {
                    journal.settle(&[last]).unwrap();
                }
                last = position;
            }
            let ticket = journal.note(Note { lane: 1, value: Some(round) }).unwrap();
            while journal.durable() < ticket {
                std::thread::yield_now();
            }
            if round == 0 {
                journal.close().unwrap();
            }
        }
        let mut files: Files = fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| !entry.file_name().to_string_lossy().starts_with("spare"))
            .map(|entry| {
                let mut bytes = fs::read(entry.path()).unwrap();
                let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
                bytes.truncate(end);
                (entry.file_name().into_string().unwrap(), bytes)
            })
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
    fs::create_dir_all(&dir).unwrap();
    for (index, (name, bytes)) in sound.iter().enumerate() {
        let bytes = if index == which as usize % sound.len() { data } else { bytes };
        fs::write(dir.join(name), bytes).unwrap();
    }
    let mut found = Found::default();
    // Whatever is there: it opens or it says why not, and what it says is alive can be asked for.
    if let Ok(journal) = EmbeddedJournal::open(&dir, options(), &mut found) {
        let results = journal.read(&found.0);
        assert_eq!(results.len(), found.0.len());
        let positions: Vec<Position> = found.0.iter().map(|reading| reading.position).collect();
        journal.settle(&positions).unwrap();
        journal.close().unwrap();
        drop(journal);
        let mut left = Found::default();
        drop(EmbeddedJournal::open(&dir, options(), &mut left).unwrap());
        assert!(left.0.is_empty(), "{left:?}", left = left.0);
    }
});
