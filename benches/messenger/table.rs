use std::fmt;

/// Runs every contender once in each round, and gives what each of them said, and the CPU time that
/// it took for each of so many operations.
pub(crate) fn take_turns(
    rounds: usize,
    operations: u64,
    contenders: &mut [Box<dyn FnMut() -> f64 + '_>],
) -> Vec<Contender> {
    // The first round warms up.
    for run in contenders.iter_mut() {
        run();
    }
    let mut all = vec![Contender::default(); contenders.len()];
    for round in 0..rounds {
        for turn in 0..all.len() {
            // Nobody is always the first, nor always behind the same one.
            let i = if round % 2 == 0 { turn } else { all.len() - 1 - turn };
            let before = cpu_micros();
            all[i].figure.0.push(contenders[i]());
            all[i].cpu.0.push((cpu_micros() - before) / operations as f64);
        }
    }
    all
}

/// What the threads of this process have run so far. A process' clock would need another crate, and
/// `/proc/self/stat` counts in hundredths of a second.
fn cpu_micros() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanos = threads.filter_map(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<f64>().ok()
    });
    nanos.sum::<f64>() / 1e3
}

/// What one contender has come to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contender {
    pub(crate) figure: Samples,
    /// Microseconds of CPU time for one operation, all threads of both ends together.
    pub(crate) cpu: Samples,
}

/// Figures by round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(pub(crate) Vec<f64>);

impl Samples {
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    fn ratio(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let digits = if self.median().abs() < 100.0 { 2 } else { 0 };
        if self.0.len() < 2 {
            return write!(f, "{:.digits$}", self.median());
        }
        write!(f, "{:.digits$} ({least:.digits$}..{most:.digits$})", self.median())
    }
}

/// What a figure must be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// Ours is at most so many times the other's.
    RatioAtMost(f64),
    /// Ours is at least so many times the other's.
    RatioAtLeast(f64),
    /// Ours is at least this.
    AtLeast(f64),
    /// It is only told.
    None,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RatioAtMost(x) => write!(f, "<= {x} x"),
            Self::RatioAtLeast(x) => write!(f, ">= {x} x"),
            Self::AtLeast(x) => write!(f, ">= {x}"),
            Self::None => f.write_str("-"),
        }
    }
}

/// All that was measured.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<[String; 6]>,
    missed: bool,
}

impl Table {
    /// Adds ours beside what it is compared with, if anything.
    pub(crate) fn add(
        &mut self,
        name: impl Into<String>,
        ours: &Samples,
        other: Option<&Samples>,
        target: Target,
    ) {
        let ratio = other.map(|other| ours.ratio(other));
        let x = ratio.as_ref().map_or(f64::NAN, Samples::median);
        let verdict = match target {
            Target::RatioAtMost(most) => Some(x <= most),
            Target::RatioAtLeast(least) => Some(x >= least),
            Target::AtLeast(least) => Some(ours.median() >= least),
            Target::None => None,
        };
        self.missed |= verdict == Some(false);
        let dash = || "-".to_owned();
        let row = [
            name.into(),
            ours.to_string(),
            other.map_or_else(dash, Samples::to_string),
            ratio.map_or_else(dash, |ratio| ratio.to_string()),
            target.to_string(),
            verdict.map_or("-", |pass| if pass { "PASS" } else { "FAIL" }).to_owned(),
        ];
        self.rows.push(row);
    }

    /// Adds a figure of ours, which has a target, and the CPU time, which has none.
    pub(crate) fn add_contender(
        &mut self,
        name: &str,
        ours: &Contender,
        other: &Contender,
        target: Target,
    ) {
        self.add(name, &ours.figure, Some(&other.figure), target);
        self.add("  CPU time of each, us", &ours.cpu, Some(&other.cpu), Target::None);
    }

    pub(crate) fn passed(&self) -> bool {
        !self.missed
    }

    pub(crate) fn print(&self) {
        let head = ["", "ours", "raw TCP", "ratio", "target", ""].map(str::to_owned);
        let rows: Vec<_> = std::iter::once(&head).chain(&self.rows).collect();
        let widths: [usize; 6] =
            std::array::from_fn(|i| rows.iter().map(|row| row[i].len()).max().unwrap_or(0));
        for row in rows {
            let line: Vec<_> =
                row.iter().zip(widths).map(|(cell, w)| format!("{cell:w$}")).collect();
            println!("{}", line.join("  ").trim_end());
        }
    }
}
