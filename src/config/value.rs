//! Text to value as Ceph's option types do it (`src/common/options.cc`, `strtol.cc`).

use std::time::Duration;

/// The items between `,`, `;`, `=`, blanks and tabs: Ceph's `get_str_list`.
pub(super) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ';', '=', ' ', '\t']).filter(|item| !item.is_empty())
}

/// The paths between `,` and `;`. Blanks belong to the path, as in Ceph: ` /b` in `/a, /b` is
/// taken as a relative one.
pub(super) fn paths(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ';']).filter(|item| !item.is_empty())
}

/// `true` and `false` in any case, or a number that is not zero; `yes` and `on` are neither.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        t if t.eq_ignore_ascii_case("true") => Some(true),
        t if t.eq_ignore_ascii_case("false") => Some(false),
        t => t.parse::<i64>().ok().map(|n| n != 0),
    }
}

/// Decimal digits with at most one of `K M G T P E` behind them, each a thousand of the one
/// before.
pub(super) fn si_number(text: &str) -> Option<u64> {
    scaled(text, "KMGTPE", |power| 1000u64.pow(power))
}

/// As [`si_number`] by 1024, also as `Ki` or `KB`, and `B` for bytes.
pub(super) fn iec_size(text: &str) -> Option<u64> {
    let unit = match text.strip_suffix(['i', 'B']) {
        Some(unit) if unit.ends_with(['K', 'M', 'G', 'T', 'P', 'E']) => unit,
        Some(unit) if text.ends_with('B') => unit,
        _ => text,
    };
    scaled(unit, "KMGTPE", |power| 1024u64.pow(power))
}

fn scaled(text: &str, units: &str, scale: impl Fn(u32) -> u64) -> Option<u64> {
    let power = text.chars().next_back().and_then(|last| units.find(last)).map(|at| at as u32 + 1);
    let digits = match power {
        Some(_) => text.get(..text.len() - 1)?,
        None => text,
    };
    // Ceph reads the digits as a signed number.
    let number = u64::try_from(digits.parse::<i64>().ok()?).ok()?;
    number.checked_mul(power.map_or(1, scale))
}

/// Seconds with a fraction, or a time span such as `1h 30m`: both, for Ceph has options of either
/// kind and their name does not tell.
pub(super) fn duration(text: &str) -> Option<Duration> {
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => timespan(text).map(Duration::from_secs),
    }
}

/// Numbers with units, seconds where the last one has none; nothing at all is zero
/// (`parse_timespan`).
fn timespan(text: &str) -> Option<u64> {
    let mut total = 0u64;
    let mut rest = text.trim_ascii_start();
    while !rest.is_empty() {
        let (number, behind) = split_where(rest, |c| !c.is_ascii_digit());
        let (unit, behind) = split_where(behind.trim_ascii_start(), |c| !c.is_ascii_alphabetic());
        rest = behind.trim_ascii_start();
        let seconds = match unit {
            "" if rest.is_empty() => 1,
            "s" | "sec" | "second" | "seconds" => 1,
            "m" | "min" | "minute" | "minutes" => 60,
            "h" | "hr" | "hour" | "hours" => 3600,
            "d" | "day" | "days" => 86_400,
            "w" | "wk" | "week" | "weeks" => 7 * 86_400,
            "mo" | "month" | "months" => 30 * 86_400,
            "y" | "yr" | "year" | "years" => 365 * 86_400,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(seconds)?)?;
    }
    Some(total)
}

fn split_where(text: &str, stop: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(stop).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Each row was shown by `ceph-conf -c FILE --show-config-value OPTION` of 16.2.15; where Ceph
    // takes the text for wrong it prints the option's default.

    #[test]
    fn booleans() {
        // ms_bind_ipv4, whose default is true, and ms_bind_ipv6, whose default is false.
        for yes in ["true", "True", "TRUE", "1", "2", "-1"] {
            assert_eq!(boolean(yes), Some(true), "{yes}");
        }
        for no in ["false", "False", "0", "00", "-0"] {
            assert_eq!(boolean(no), Some(false), "{no}");
        }
        for bad in ["", "yes", "YES", "on", "no", "off", "y", "t", "maybe", "1K", "0K"] {
            assert_eq!(boolean(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers() {
        // osd_max_object_namespace_len.
        for (text, number) in [
            ("5", 5),
            ("+5", 5),
            ("010", 10),
            ("5K", 5_000),
            ("5M", 5_000_000),
            ("5E", 5_000_000_000_000_000_000),
            ("18E", 18_000_000_000_000_000_000),
            ("9223372036854775K", 9_223_372_036_854_775_000),
        ] {
            assert_eq!(si_number(text), Some(number), "{text}");
        }
        for bad in ["", "5k", "5Mi", "5 K", "5B", "-1", "0x10", "5.5", "19E", "K", "5Z", "é"] {
            assert_eq!(si_number(bad), None, "{bad}");
        }
        assert_eq!(si_number("9223372036854775808"), None);
    }

    #[test]
    fn sizes() {
        // rgw_max_chunk_size.
        for (text, number) in [
            ("5", 5),
            ("5B", 5),
            ("5K", 5120),
            ("5Ki", 5120),
            ("5KB", 5120),
            ("5Mi", 5 << 20),
            ("8E", 8 << 60),
            ("9223372036854775K", 9_444_732_965_739_289_600),
        ] {
            assert_eq!(iec_size(text), Some(number), "{text}");
        }
        for bad in ["", "5k", "5KiB", "5i", "5Bi", "16E", "-5", "5 K", "B", "5Z"] {
            assert_eq!(iec_size(bad), None, "{bad}");
        }
        // Ceph looks at one character and takes this for 5 K.
        assert_eq!(iec_size("5K5"), None);
    }

    #[test]
    fn times() {
        // client_mount_timeout (a time span) and mgr_connect_retry_interval (a float).
        for (text, seconds) in [
            ("5", 5.0),
            ("1.5", 1.5),
            ("1e3", 1000.0),
            ("", 0.0),
            ("5s", 5.0),
            ("5m", 300.0),
            ("5 min", 300.0),
            ("1h30m", 5400.0),
            ("1h 30m", 5400.0),
            ("1 h 2", 3602.0),
            ("1h1h", 7200.0),
            ("2 hours", 7200.0),
            ("1wk", 604_800.0),
            ("1mo", 2_592_000.0),
            ("1yr", 31_536_000.0),
        ] {
            assert_eq!(duration(text), Some(Duration::from_secs_f64(seconds)), "{text}");
        }
        for bad in ["-5", "abc", "5M", "500ms", "5us", "1secs", "1mon", "2 1h", "1h,2m", "1h and"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
        // Ceph overflows here and shows -26609163847152512.
        assert_eq!(duration("99999999999999999y"), None);
        assert_eq!(duration("nan"), None);
        assert_eq!(duration("inf"), None);
    }

    #[test]
    fn lists() {
        assert_eq!(
            list("cephx, none;a=b\tc").collect::<Vec<_>>(),
            ["cephx", "none", "a", "b", "c"]
        );
        // strace of `ceph` shows open("/ka") and open(" /kb").
        assert_eq!(paths("/ka, /kb,,/kc /kd;").collect::<Vec<_>>(), ["/ka", " /kb", "/kc /kd"]);
    }
}
