//! Counting test results from what test runners print.

use std::fmt;
use std::ops::AddAssign;

/// How many tests passed, failed and were left out by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Passed.
    pub passed: u64,
    /// Failed.
    pub failed: u64,
    /// Skipped, with their names in the runner's output.
    pub skipped: u64,
}

impl Tally {
    /// One test that passed.
    pub const SUCCESS: Tally = Tally { passed: 1, failed: 0, skipped: 0 };
    /// One failure, for a runner that ended badly without naming a failed test.
    pub const FAILURE: Tally = Tally { passed: 0, failed: 1, skipped: 0 };

    /// Did something run, and nothing fail.
    pub fn is_success(self) -> bool {
        self.failed == 0 && self.passed > 0
    }

    /// Reads one line of `cargo test`: `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    pub fn of_cargo_line(line: &str) -> Option<Tally> {
        let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let count = |what: &str| -> Option<u64> {
            counts.split(';').find_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok())
        };
        Some(Tally {
            passed: count("passed")?,
            failed: count("failed")?,
            skipped: count("ignored").unwrap_or(0),
        })
    }

    /// Reads the totals at the end of a TAP report of `node --test`.
    pub fn of_tap(report: &str) -> Option<Tally> {
        let count = |what: &str| -> Option<u64> {
            let mut lines = report.lines().rev();
            lines.find_map(|line| line.strip_prefix("# ")?.strip_prefix(what)?.trim().parse().ok())
        };
        let failed = count("fail ")? + count("cancelled ").unwrap_or(0);
        Some(Tally { passed: count("pass ")?, failed, skipped: count("skipped ").unwrap_or(0) })
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_lines() {
        let line = "test result: FAILED. 12 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(Tally::of_cargo_line(line), Some(Tally { passed: 12, failed: 2, skipped: 1 }));
        assert_eq!(Tally::of_cargo_line("test id::texts ... ok"), None);
    }

    #[test]
    fn tap_reports() {
        let report = "TAP version 13\nok 1 - a\n1..1\n# tests 4\n# suites 0\n# pass 1\n# fail 1\n# cancelled 1\n# skipped 1\n# todo 0\n";
        assert_eq!(Tally::of_tap(report), Some(Tally { passed: 1, failed: 2, skipped: 1 }));
        assert_eq!(Tally::of_tap("TAP version 13\n"), None);
    }
}
