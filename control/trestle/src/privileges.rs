//! Privileges of the process: the user it runs as, no way to more of them, and no memory image with keys on disk.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use nix::unistd::{Gid, Uid, User, getgid, getgroups, getuid, initgroups, setgid, setuid};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Forbids what no part of Trestle does: to gain privileges by executing a program, and to write or show the memory, which contains
/// keys. To be called before there are threads.
///
/// # Errors
/// Those of the system.
pub(crate) fn restrict(core_dumps: bool) -> anyhow::Result<()> {
    rustix::thread::set_no_new_privs(true).context("cannot set no_new_privs")?;
    if !core_dumps {
        let none = Rlimit { current: Some(0), maximum: Some(0) };
        setrlimit(Resource::Core, none).context("core-dumps: cannot set the limit to 0")?;
        set_dumpable_behavior(DumpableBehavior::NotDumpable).context("core-dumps: cannot make the memory private")?;
    }
    Ok(())
}

/// The user of the setting `user`.
///
/// # Errors
/// There is no such user, or this process cannot become it.
pub(crate) fn find_user(name: Option<&str>) -> anyhow::Result<Option<User>> {
    let Some(name) = name else {
        if getuid().is_root() {
            tracing::warn!(
                "Trestle runs as root and needs no privileges; use the systemd unit in packaging/systemd, or set `user` to a user \
                 of its own"
            );
        }
        return Ok(None);
    };
    let found = User::from_name(name).with_context(|| format!("user: cannot look up {name:?}"))?;
    let Some(user) = found else {
        bail!("user: there is no user {name:?}; create it (useradd --system {name}), or write another name");
    };
    ensure!(!user.uid.is_root(), "user: {name:?} is root; write a user without privileges, or leave the setting out");
    let is_already = getuid() == user.uid;
    ensure!(
        is_already || getuid().is_root(),
        "user: only root can change the user; start Trestle as root or as {name:?}"
    );
    Ok(Some(user).filter(|_| !is_already))
}

/// Gives a file to `user` and its group, before this process becomes that user.
///
/// # Errors
/// Those of the system.
pub(crate) fn give_file(user: &User, path: &Path) -> anyhow::Result<()> {
    let (uid, gid) = (Some(user.uid.as_raw()), Some(user.gid.as_raw()));
    std::os::unix::fs::lchown(path, uid, gid).with_context(|| format!("user: cannot give {} to it", path.display()))
}

/// Becomes `user`, with its groups and without any capability, for all threads, and checks that there is no way back.
///
/// # Errors
/// The system refuses, or the result is not as asked for.
pub(crate) fn become_user(user: &User, core_dumps: bool) -> anyhow::Result<()> {
    let name = std::ffi::CString::new(user.name.as_str()).context("user")?;
    initgroups(&name, user.gid).context("user: cannot set the groups")?;
    setgid(user.gid).context("user: cannot set the group")?;
    setuid(user.uid).context("user: cannot set the user")?;
    if core_dumps {
        // A change of the user makes the memory private.
        set_dumpable_behavior(DumpableBehavior::Dumpable).context("core-dumps")?;
    }
    let has_root = getgroups().context("user: cannot read the groups")?.contains(&Gid::from_raw(0));
    let is_as_asked = getuid() == user.uid && getgid() == user.gid && !(has_root && user.gid.as_raw() != 0);
    ensure!(is_as_asked && setuid(Uid::from_raw(0)).is_err(), "user: the privileges of root are not gone");
    tracing::info!(user = user.name, "privileges of root dropped");
    Ok(())
}
