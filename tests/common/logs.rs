//! A logger that keeps what it is told, for tests of what is logged.

use std::sync::{Mutex, MutexGuard, Once};

use log::{Level, LevelFilter, Log, Metadata, Record};

/// A line of the log.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) level: Level,
    pub(crate) text: String,
}

struct Capture(Mutex<Vec<Line>>);

static CAPTURE: Capture = Capture(Mutex::new(Vec::new()));

/// Keeps what is logged from now on, down to that level.
pub(crate) fn capture(level: LevelFilter) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&CAPTURE).expect("the only logger of this test");
        log::set_max_level(level);
    });
}

/// What has been logged so far.
pub(crate) fn lines() -> Vec<Line> {
    CAPTURE.lines().clone()
}

/// How many lines have both texts in them.
pub(crate) fn count(who: &str, what: &str) -> usize {
    let found = |line: &&Line| line.text.contains(who) && line.text.contains(what);
    CAPTURE.lines().iter().filter(found).count()
}

impl Capture {
    fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Log for Capture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("ceph_msgr")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let text = record.args().to_string();
            self.lines().push(Line { level: record.level(), text });
        }
    }

    fn flush(&self) {}
}
