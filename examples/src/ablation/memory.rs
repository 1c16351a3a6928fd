//! How many cells fit into memory at the same time.

use std::fs;

/// Of what is free, this share is left to others and to what is not foreseen: a tenth.
const LEFT_FREE: u64 = 10;

/// How many more processes may be started beside those that run: each is taken to need `peak` bytes at most; those that run have
/// `resident` bytes each, which may still grow to that; and `available` bytes are free beside them.
pub(super) fn more_fit(resident: &[u64], peak: u64, available: u64) -> usize {
    let still_grows: u64 = resident.iter().map(|&one| peak.saturating_sub(one)).sum();
    let free = (available - available / LEFT_FREE).saturating_sub(still_grows);
    (free / peak.max(1)) as usize
}

/// Bytes of memory that a process can still get: what Linux says is available, and what the control group leaves; `None` where the
/// system does not tell.
pub(super) fn available_bytes() -> Option<u64> {
    let free = kibibytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
    let group = |name: &str| -> Option<u64> {
        fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?.trim().parse().ok()
    };
    // Without a limit the file holds a word, and outside a group there is none.
    let left = group("memory.max").zip(group("memory.current")).map(|(most, now)| most.saturating_sub(now));
    Some(left.map_or(free, |left| left.min(free)))
}

/// The resident memory of a process, now and at most so far, in bytes.
pub(super) fn resident_bytes(process: u32) -> Option<[u64; 2]> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    Some([kibibytes(&status, "VmRSS:")?, kibibytes(&status, "VmHWM:")?])
}

/// The bytes of a line such as `MemAvailable:   123 kB`.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn no_more_are_started_than_what_is_free_holds_at_their_peak() {
        // One runs at its peak; nine tenths of 10 GiB hold two more of 4.
        assert_eq!(more_fit(&[4 * GIB], 4 * GIB, 10 * GIB), 2);
        // It will still grow by 3.
        assert_eq!(more_fit(&[GIB], 4 * GIB, 10 * GIB), 1);
        assert_eq!(more_fit(&[GIB, GIB, GIB], 4 * GIB, 10 * GIB), 0);
        assert_eq!(more_fit(&[4 * GIB], 4 * GIB, 4 * GIB), 0);
        assert!(more_fit(&[], 0, GIB) > 100);
    }

    #[test]
    fn lines_of_the_system_are_read() {
        let text = "MemTotal:       1000 kB\nMemAvailable:    300 kB\n";
        assert_eq!(kibibytes(text, "MemAvailable:"), Some(300 * 1024));
        assert_eq!(kibibytes(text, "MemFree:"), None);
        if cfg!(target_os = "linux") {
            let [now, most] = resident_bytes(std::process::id()).unwrap();
            assert!(now <= most && most > 0 && available_bytes().unwrap() > 0);
        }
    }
}
