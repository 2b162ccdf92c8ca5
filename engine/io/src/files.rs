//! Open files. Every port is one, two ports make a leg, and two legs a call; the usual soft limit of 1,024 is reached at
//! some 200 calls.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Sockets of a call of two legs, RTP and RTCP each.
pub const FILES_PER_CALL: u64 = 4;

/// How many files this process may have open, and might before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLimit {
    /// The soft limit as it was.
    pub before: u64,
    /// As it is now: the hard limit, if the system allows.
    pub now: u64,
}

/// Raises the soft limit to the hard one. If the system refuses, the limit stays as it was.
pub fn raise_limit() -> FileLimit {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = |of: Option<u64>| of.unwrap_or(u64::MAX);
    FileLimit { before: limit(current), now: limit(if raised.is_ok() { maximum } else { current }) }
}

/// Makes the process's table of open files as long as `files`, once and for all.
///
/// The kernel doubles that table when it is full, and a process with several threads then waits, all of them, some 10 ms
/// for the old one to be out of use. So this is called before there are threads.
///
/// # Errors
/// What the system says; above all if `files` is beyond the limit.
pub fn grow_table(files: u64) -> io::Result<()> {
    let highest = files.saturating_sub(1).try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
    // Any open file will do to be known by a high number for a moment.
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
