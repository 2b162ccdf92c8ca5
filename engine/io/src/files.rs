//! The limit of open files. A call of two legs has four ports, each an open file; the usual soft limit of 1,024 is reached at
//! some 200 calls.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Sockets of a call of two legs, RTP and RTCP each.
pub const FILES_PER_CALL: u64 = 4;

/// The limit of open files of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLimit {
    /// The soft limit before [`raise_limit`].
    pub before: u64,
    /// The soft limit now: the hard limit, if the system allows.
    pub now: u64,
}

/// Raises the soft limit to the hard one. If the system refuses, the limit does not change.
pub fn raise_limit() -> FileLimit {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = |of: Option<u64>| of.unwrap_or(u64::MAX);
    FileLimit { before: limit(current), now: limit(if raised.is_ok() { maximum } else { current }) }
}

/// Grows the process's table of open files to `files` entries; it never shrinks.
///
/// The kernel doubles that table when it is full, and all threads of a process then wait some 10 ms until the old one is no
/// longer used. So this is called before threads are started.
///
/// # Errors
/// The error of the system; above all if `files` is beyond the limit.
pub fn grow_table(files: u64) -> io::Result<()> {
    let highest = files.saturating_sub(1).try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
    // Any open file can be duplicated to a high descriptor for a moment.
    let any = std::fs::File::open("/dev/null")?;
    rustix::io::fcntl_dupfd_cloexec(&any, highest)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
        size.trim().parse().unwrap()
    }

    #[test]
    fn the_limit_is_raised_and_the_table_grows_up_to_it() {
        let limit = raise_limit();
        assert!(limit.now >= limit.before);
        let soft = getrlimit(Resource::Nofile).current;
        assert_eq!(soft.unwrap_or(u64::MAX), limit.now);
        assert_eq!(raise_limit().before, limit.now, "it stays so");

        let wanted = limit.now.min(2 * table());
        grow_table(wanted).unwrap();
        assert!(table() >= wanted, "{} of {wanted}", table());
        if soft.is_some() {
            assert!(grow_table(limit.now + 1).is_err());
        }
        assert!(grow_table(u64::MAX).is_err());
    }
}
