//! Counts the instructions of the packet path with callgrind, and compares them with `bench/instructions.json`. On a shared machine
//! times vary from run to run; counts of instructions do not.
//!
//! ```text
//! instructions                 counts all cases, and fails if one has grown by more than 5 %
//! instructions --accept        writes the new counts
//! instructions --only WORD     counts and compares only the cases with WORD in their name
//! ```
//!
//! Each case runs in its own process: this program under valgrind. Only the code inside of `cases::counted` is counted, not the
//! set-up. Each case has two figures. "ours" is the code of Trestle and the standard libraries of Rust and C. "libraries" is libopus
//! and AWS-LC, which select their code by the features of the processor. Valgrind reports a processor without SHA and AVX-512, so
//! the selection is the same on all machines with AVX2.

mod callgrind;
mod cases;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (accept, only) = match words.as_slice() {
        [] => (false, None),
        ["--accept"] => (true, None),
        ["--only", word] => (false, Some(*word)),
        ["--run", name] => {
            // This is the counted process. The parent reads the number of packets from its output.
            println!("{}", cases::run(name).context("no such case")?);
            return Ok(ExitCode::SUCCESS);
        }
        _ => bail!("usage: instructions [--accept | --only WORD]"),
    };
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("instructions.json");
    // With --accept the old file is not read: it may be malformed.
    let known = if accept { table::Table::new() } else { table::read(&file)? };
    let mut counted = table::Table::new();
    let mut has_failed = false;
    println!("{:<42} {:>9} {:>9} {:>9} {:>9}      heap", "instructions per packet", "ours", "", "libraries", "");
    for name in cases::names().filter(|name| only.is_none_or(|word| name.contains(word))) {
        let count = callgrind::count(&name)?;
        let before = known.get(&name);
        let (ours, libraries) = (before.map(|count| count.ours), before.map(|count| count.libraries));
        let verdict = if accept { None } else { table::judge(before, &count) };
        println!(
            "{name:<42} {:>9} {:>9} {:>9} {:>9} {:>8}  {}",
            count.ours,
            table::change(ours, count.ours),
            count.libraries,
            table::change(libraries, count.libraries),
            count.heap,
            verdict.unwrap_or_default(),
        );
        has_failed |= verdict.is_some();
        counted.insert(name, count);
    }
    if accept {
        table::write(&file, &counted)?;
        println!("written to {}", file.display());
        return Ok(ExitCode::SUCCESS);
    }
    if has_failed {
        println!(
            "\nMore than 5 % over bench/instructions.json. To accept this: .ci/instructions --accept, with the reason in the commit message."
        );
    }
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
