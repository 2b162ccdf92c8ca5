//! Runs a case under callgrind, and reads what it has written.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::table::Count;

/// Counts one case.
pub(crate) fn count(name: &str) -> anyhow::Result<Count> {
    let out = std::env::temp_dir().join(format!("trestle-instructions-{}.out", std::process::id()));
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--collect-atstart=no",
            "--toggle-collect=*cases*counted*",
            "--compress-strings=yes",
        ])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe()?)
        .args(["--run", name])
        // One heap layout, however long the names in the environment are.
        .env_clear()
        .output()
        .context("valgrind is not installed: .ci/install")?;
    if !output.status.success() {
        bail!("{name}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    let packets: u64 = String::from_utf8(output.stdout)?.trim().parse().with_context(|| format!("{name}: no count"))?;
    let cost = read(&out)?;
    std::fs::remove_file(&out)?;
    if cost.ours == 0 {
        bail!("{name}: nothing was counted");
    }
    Ok(Count { ours: cost.ours / packets, libraries: cost.libraries / packets, heap: cost.heap / packets })
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Cost {
    ours: u64,
    libraries: u64,
    heap: u64,
}

/// Sums the costs of a callgrind profile (format version 1) by whose function they are.
fn read(file: &Path) -> anyhow::Result<Cost> {
    Ok(sum(&String::from_utf8_lossy(&std::fs::read(file)?)))
}

fn sum(profile: &str) -> Cost {
    // Names are given once, with a number, and referred to by that.
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut objects: HashMap<&str, &str> = HashMap::new();
    let (mut is_library, mut is_heap, mut object, mut after_call) = (false, false, "", false);
    let mut cost = Cost::default();
    for line in profile.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            let name = resolve(&mut names, name);
            is_library = is_foreign(object, name);
            is_heap = HEAP.contains(&name) || name.starts_with("_int_");
        } else if let Some(name) = line.strip_prefix("ob=") {
            object = resolve(&mut objects, name);
        } else if let Some(name) = line.strip_prefix("cob=") {
            resolve(&mut objects, name);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            resolve(&mut names, name);
        } else if line.starts_with("calls=") {
            // The next line is the inclusive cost of the call. How often is no use: that counts outside as well.
            after_call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '*')) {
            let instructions: u64 = line.split(' ').nth(1).and_then(|count| count.parse().ok()).unwrap_or(0);
            if std::mem::take(&mut after_call) {
                continue;
            }
            *(if is_library { &mut cost.libraries } else { &mut cost.ours }) += instructions;
            cost.heap += if is_heap { instructions } else { 0 };
        }
    }
    cost
}

/// The allocation functions of the C library.
const HEAP: [&str; 7] =
    ["malloc", "calloc", "realloc", "free", "posix_memalign", "aligned_alloc", "malloc_consolidate"];

/// `(12) name` defines 12, `(12)` refers to it.
fn resolve<'a>(names: &mut HashMap<&'a str, &'a str>, name: &'a str) -> &'a str {
    match name.split_once(' ') {
        Some((number, name)) => {
            names.insert(number, name);
            name
        }
        None => names.get(name).copied().unwrap_or(name),
    }
}

/// Of libopus or AWS-LC: C and assembly in our own executable. Rust's names have a path in them.
fn is_foreign(object: &str, name: &str) -> bool {
    let in_executable = object.rsplit('/').next().is_some_and(|file| file.starts_with("instructions"));
    let is_rust = name.contains("::") || name.starts_with('<') || name.starts_with("__rust") || name.starts_with("_R");
    in_executable && !is_rust
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_go_to_whose_function_they_are_in() {
        let profile = "version: 1\nevents: Ir\n\nob=(1) /target/debug/instructions\nfl=(1) a.rs\nfn=(1) trestle_core::take\n\
                       10 5\n+1 7\ncob=(2) /lib/libc.so\ncfn=(2) malloc\ncalls=3 0\n11 100\n12 1\n\n\
                       fn=(3) opus_decode\n0 40\n\nob=(2)\nfn=(2)\n0 100\n\nob=(1)\nfn=(3)\n* 2\n";
        assert_eq!(sum(profile), Cost { ours: 113, libraries: 42, heap: 100 });
    }
}
